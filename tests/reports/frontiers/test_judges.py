"""Agreement of a second judge with the first, which adds no objective."""

from __future__ import annotations

from dataclasses import replace

import pandas as pd
import pytest

from harness.records import Objective, to_frame
from reports.analysis import analyse
from reports.findings import findings
from reports.frontiers.judges import opinions
from reports.page.tables import tables
from tests.reports import synthetic
from tests.reports.synthetic import METHODS

SECOND = Objective("win_rate_second", "Win rate by the second judge", "maximize", "probability", (0.0, 1.0), "user")


def judged(change, second=SECOND, methods=3):
    """Records with a second judge whose values are `change` of the first's."""
    records = synthetic.make(METHODS[:methods], ("tiny",), prompts=30, with_generations=False)
    mine = records.items[records.items.objective == "win_rate"]
    items = pd.concat([records.items, mine.assign(objective=second.name, value=change(mine.value))], ignore_index=True)
    objectives = to_frame([*synthetic.OBJECTIVES, second], Objective)
    return analyse(replace(records, items=items, objectives=objectives), 100)


def test_a_judge_that_agrees_ranks_alike():
    result = judged(lambda value: value)
    (agreement,) = result.judges
    assert (agreement.agree, agreement.kappa, agreement.tau) == (1.0, pytest.approx(1.0), pytest.approx(1.0))
    assert all(one == two for one, two in agreement.ranks.values()) and agreement.items == 3 * 2 * 30
    assert any("Both put" in finding.text for finding in findings(result))


def test_a_judge_of_the_opposite_taste_turns_the_ranking_round():
    (agreement,) = judged(lambda value: 1 - value).judges
    assert agreement.agree == 0.0 and agreement.kappa < 0 and agreement.tau == pytest.approx(-1.0)
    assert {one + two for one, two in agreement.ranks.values()} == {4}


def test_two_points_are_enough_for_a_ranking_and_one_is_not():
    (agreement,) = judged(lambda value: value, methods=2).judges
    assert len(agreement.ranks) == 2 and agreement.tau == pytest.approx(1.0)
    assert judged(lambda value: value, methods=1).judges == ()


def test_a_judge_that_calls_everything_a_win_agrees_by_chance_alone():
    """It agrees with the first on the first's wins, which is what κ takes off: κ = 0."""
    (agreement,) = judged(lambda value: 0 * value + 1).judges
    assert 0 < agreement.agree < 1 and agreement.kappa == pytest.approx(0.0, abs=1e-12)


def test_losses_of_a_second_judge_rank_alike_in_their_own_direction():
    (agreement,) = judged(lambda value: 1 - value, replace(SECOND, direction="minimize")).judges
    assert agreement.tau == pytest.approx(1.0) and all(one == two for one, two in agreement.ranks.values())
    assert agreement.tau_interval == pytest.approx((1.0, 1.0))


def test_a_second_opinion_is_shown_and_is_no_axis_of_the_frontier():
    result = judged(lambda value: value)
    assert SECOND.name not in {objective.name for objective in result.objectives}
    assert {table.name for table in tables(result)} >= {"judges", "reranked"}
    assert not judged(lambda value: value * float("nan")).judges


def test_the_second_judge_of_an_experiment_is_found_by_its_name():
    """Assembled records call everything without a reference point descriptive."""
    user, other = synthetic.OBJECTIVES[:2]
    second = replace(SECOND, role="descriptive")
    assert opinions([user, other, second]) == opinions([user, second]) == [user, second]
    assert opinions([user, other]) == [] and opinions([other, second]) == []


def test_one_judge_has_no_panel(analysis):
    assert analysis.judges == ()

"""Objectives: directions, rewards, and the values of failed and empty generations."""

from __future__ import annotations

import math

import pytest

from harness.records import Generation, Objective, Status
from suites.benchmarks.tasks import BENCHMARKS
from suites.items import is_empty, is_scorable, item_score
from suites.objectives import training_reward, training_rewards
from suites.registry import objectives

OBJECTIVES = objectives()
UNBOUNDED = {"length", "user_regret", "user_bayes_regret"}


def generation(response: str = "Fine, thank you.", status: Status = Status.OK) -> Generation:
    return Generation("p0#0", "p0", "How are you?", response, 4, status, cell="a")


def test_directions_are_those_the_field_uses():
    directions = {name: declared.direction for name, declared in OBJECTIVES.items() if name not in BENCHMARKS}
    assert {OBJECTIVES[name].direction for name in BENCHMARKS} == {"maximize"}
    assert (
        directions.items()
        >= {
            "win_rate": "maximize",
            "win_rate_second": "maximize",
            "toxicity": "minimize",
            "toxicity_held_out": "minimize",
            "safety_violations": "minimize",
            "readability": "maximize",
            "readability_consensus": "maximize",
            "grade_fk": "minimize",
            "grade_consensus": "minimize",
            "length": "minimize",
            "accuracy": "maximize",
            "alignment_tax": "minimize",
        }.items()
    )


@pytest.mark.parametrize("name", [name for name in OBJECTIVES if name not in UNBOUNDED])
def test_reward_is_one_at_the_best_and_zero_at_the_worst(name):
    objective = OBJECTIVES[name]
    assert training_reward(objective, objective.best) == 1.0
    assert training_reward(objective, objective.worst) == 0.0


def test_reward_of_a_probability_is_itself_or_its_complement():
    assert training_reward(OBJECTIVES["accuracy"], 0.3) == 0.3
    assert training_reward(OBJECTIVES["toxicity"], 0.3) == 0.7


def test_reward_needs_bounds_and_numbers():
    with pytest.raises(ValueError, match="'length' is unbounded"):
        training_reward(OBJECTIVES["length"], 3.0)
    with pytest.raises(ValueError, match="nan is not a number"):
        training_reward(OBJECTIVES["toxicity"], math.nan)
    with pytest.raises(ValueError, match="none of the 2 responses"):
        training_rewards(OBJECTIVES["toxicity"], [None, None])


@pytest.mark.parametrize("status", [Status.ERROR, Status.UNPARSABLE, Status.SKIPPED])
def test_a_failed_generation_has_no_value(status):
    row = item_score(OBJECTIVES["toxicity"], generation("", status), 0.0)
    assert (row.value, row.status) == (None, status)
    assert not is_scorable(generation("", status)) and not is_empty(generation("", status))


@pytest.mark.parametrize("response", ["", " ", "\n\t\u00a0"])
@pytest.mark.parametrize("name", list(OBJECTIVES))
def test_an_empty_generation_is_the_worst(response, name):
    row = item_score(OBJECTIVES[name], generation(response), 0.5)
    assert row.status is Status.EMPTY
    assert row.value == (0.0 if name in UNBOUNDED else OBJECTIVES[name].worst)


def test_a_truncated_generation_keeps_value_and_status_and_cell():
    row = item_score(OBJECTIVES["toxicity"], generation(status=Status.TRUNCATED), 0.25)
    assert (row.value, row.status, row.cell, row.item, row.cluster) == (0.25, Status.TRUNCATED, "a", "p0#0", "p0")


def test_what_could_not_be_scored_says_so():
    assert item_score(OBJECTIVES["win_rate"], generation(), None, Status.ERROR).status is Status.ERROR


def test_an_objective_of_ones_own_works_too():
    assert training_reward(Objective("latency", "Latency", "minimize", "seconds", (0.0, 4.0)), 1.0) == 0.75

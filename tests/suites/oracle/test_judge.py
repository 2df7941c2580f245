"""The users as a judge: exact probabilities, and a loss for off-grammar text."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import expit

from suites.oracle.judge import OracleJudge


def asked(world, n, seed=0):
    rng = np.random.default_rng(seed)
    rows, first, second = rng.integers(288, size=n), *rng.integers(256, size=(2, n))
    texts = [
        (world.prompts[x].text, world.responses(x)[a], world.responses(x)[b])
        for x, a, b in zip(rows, first, second, strict=True)
    ]
    return rows, first, second, [list(column) for column in zip(*texts, strict=True)]


def test_a_panel_answers_with_bradley_terry_probabilities_in_either_order(world):
    rows, a, b, (prompts, first, second) = asked(world, 500)
    verdicts = OracleJudge(world).prefer(prompts, first, second)
    expected = expit((world.utility[rows, a] - world.utility[rows, b]) / world.spec.temperature)
    np.testing.assert_allclose([v.p_first for v in verdicts], expected, rtol=1e-12)
    swapped = OracleJudge(world).prefer(prompts, second, first)
    np.testing.assert_allclose([v.p_first + s.p_first for v, s in zip(verdicts, swapped, strict=True)], 1.0, rtol=1e-12)


def test_mean_verdict_against_every_response_is_the_win_matrix(world, problem):
    x = world.indices("test")[0]
    texts = world.responses(x)
    verdicts = OracleJudge(world).prefer([world.prompts[x].text] * 256, [texts[77]] * 256, list(texts))
    assert np.dot(world.mu[x], [v.p_first for v in verdicts]) == pytest.approx(problem.raw[0, 0, 77], rel=1e-12)


def test_off_the_grammar_loses_and_two_off_it_tie(world):
    text, prompt = world.responses(0)[3], world.prompts[0].text
    verdicts = OracleJudge(world).prefer([prompt] * 4, [text, "", "no idea", text + " ."], ["no idea", text, "", text])
    assert [v.p_first for v in verdicts] == [1.0, 0.0, 0.5, 0.0]


def test_single_users_vote_like_the_panel_on_average(world):
    _, _, _, texts = asked(world, 20_000, seed=1)
    panel = np.array([v.p_first for v in OracleJudge(world).prefer(*texts)])
    votes = np.array([v.p_first for v in OracleJudge(world, user=1).prefer(*texts)])
    assert set(votes) <= {0.0, 0.5, 1.0}
    decided = panel != 0.5
    error = (votes - panel)[decided].sum() / np.sqrt((panel * (1 - panel))[decided].sum())
    assert abs(error) < 4
    again, other = (np.array([v.p_first for v in OracleJudge(world, user=u).prefer(*texts)]) for u in (1, 2))
    assert (votes == again).all() and (votes != other).any()


def test_names_what_it_is(world):
    assert OracleJudge(world).revision != OracleJudge(world, user=0).revision
    assert OracleJudge(world).prefer([], [], []) == []
    with pytest.raises(ValueError, match="no prompt of the oracle world"):
        OracleJudge(world).prefer(["how are you ?"], ["a"], ["b"])
    with pytest.raises(ValueError, match="2 prompts for 1"):
        OracleJudge(world).prefer(["a", "b"], ["a"], ["b"])

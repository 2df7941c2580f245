"""AlpacaEval 2's published figures from its per-prompt preferences."""

from __future__ import annotations

import pytest

from suites.alpaca import length_control
from tests.parity.alpaca_eval import RAW, TOLERANCES, Published

MISSING_ROWS = ("alpaca-7b_verbose", "gpt35_turbo_instruct", "phi-2")
GAMED = "gpt4_gamed"


@pytest.fixture(scope="module")
def published(shared) -> Published:
    return Published(shared("alpaca_eval_numeric"))


def test_raw_win_rates_standard_errors_and_counts(published):
    assert len(published.preferences) == 24 and len(published.leaderboard) == 23
    for model, printed in published.leaderboard.iterrows():
        rates = published.raw(model)
        assert [rates[name] for name in RAW] == pytest.approx([printed[name] for name in RAW], abs=TOLERANCES["raw"])


def test_length_controlled_rates_from_the_published_weights(published):
    for model, printed in published.leaderboard["length_controlled_winrate"].items():
        assert published.from_weights(model, "position") == pytest.approx(printed, abs=TOLERANCES["weights"]), model


def test_the_published_rates_of_incomplete_models_rest_on_other_prompts_difficulties(published):
    """From the first missing row on, the library looks the difficulty of the next prompt up."""
    incomplete = {model for model, rows in published.preferences.items() if len(rows) < 805}
    assert incomplete == set(MISSING_ROWS)
    for model in incomplete:
        rows = published.preferences[model]
        own, looked_up = (rows["preference"].corr(_series(published, rows[by])) for by in ("row", "position"))
        assert own > looked_up + 0.2
        assert abs(published.from_weights(model, "row") - published.from_weights(model, "position")) > 0.01


def test_refitted_with_the_difficulties_of_other_prompts_an_incomplete_model_has_the_published_rate(published):
    model = "gpt35_turbo_instruct"
    printed = published.leaderboard["length_controlled_winrate"][model]
    as_published = length_control.length_controlled(*published.arguments(model, "position"))
    assert as_published.win_rate == pytest.approx(printed, abs=TOLERANCES["refit"])
    own = length_control.length_controlled(*published.arguments(model))
    assert printed - own.win_rate > 2
    assert own.weights["instruction_difficulty"] > 2 * as_published.weights["instruction_difficulty"]


@pytest.mark.parity
def test_refitted_length_controlled_rates(published):
    """The gamed rows are a stand-in; what they miss of the real ones matters most for the model that is gamed itself."""
    for model, printed in published.leaderboard["length_controlled_winrate"].items():
        tolerance = 0.31 if model == GAMED else TOLERANCES["refit"]
        assert published.refitted(model, "position") == pytest.approx(printed, abs=tolerance), model


@pytest.mark.parity
def test_the_published_standard_error_leaves_the_fit_out(published):
    model = "FuseChat-Gemma-2-9B-Instruct"
    refits = length_control.standard_error(*published.arguments(model), draws=60)
    assert refits > 1.5 * published.leaderboard["lc_standard_error"][model]


def _series(published, numbers):
    import pandas as pd

    return pd.Series(published.difficulties.of(numbers), index=numbers.index)

"""alpaca-eval's annotator and metrics, made to work without a network and without side effects.

The library is used as it is: its `PairwiseAnnotator` asks our judge through a registered completion
function, its `get_winrate` and `get_length_controlled_winrate` give the figures. What it does besides (the root
logger set to INFO, annotations and GLM weights written beside its own code, a download for features
that a new prompt set does not have) is undone here.
"""

from __future__ import annotations

import contextlib
import logging
import tempfile
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from suites.contain import contained_logging, replaced

if TYPE_CHECKING:
    import pandas as pd

_JUDGE = "judge"
_CONFIG = """
judge:
  prompt_template: judge/pair.txt
  fn_completions: test_completions
  fn_completion_parser: null
  is_randomize_output_order: false
  is_shuffle: false
  batch_size: 1
"""
MIN_ITEMS_FOR_GLM = 20
"""Fewer comparisons than this leave folds of the GLM's 5-fold cross-validation with 3 or fewer items."""


def annotate(
    first: Sequence[str], second: Sequence[str], p_first: Callable[[list[int]], list[float | None]]
) -> list[float | None]:
    """Annotate ordered pairs by alpaca-eval's `PairwiseAnnotator`.

    The judge is asked by the position of a pair, not by a text template, so a response that happens to contain a
    placeholder cannot be mistaken for one, and equal pairs are not merged. Equal texts are never sent:
    the library gives them 1.5.

    Parameters
    ----------
    first, second : sequence of str
    p_first : callable
        From positions to P(first is better), None where there is no verdict.

    Returns
    -------
    list of float or None
        alpaca-eval's preference in [1, 2] (1: first is better, 1.5: draw), None for a missing verdict. The
        library keeps fractions as they are.
    """
    if not first:
        return []

    def completions(prompts: list[str], **_) -> dict[str, list]:
        answers = [None if p is None else 2.0 - p for p in p_first([int(prompt) for prompt in prompts])]
        nothing = [0.0] * len(prompts)
        return {
            "completions": answers,
            "completions_all": answers,
            "price_per_example": nothing,
            "time_per_example": nothing,
        }

    pairs = [
        {"pair": str(i), "output_1": a, "output_2": b} for i, (a, b) in enumerate(zip(first, second, strict=True))
    ]
    with _contained(), tempfile.TemporaryDirectory() as folder:
        from alpaca_eval.annotators import PairwiseAnnotator

        (Path(folder) / _JUDGE).mkdir()
        (Path(folder) / _JUDGE / "configs.yaml").write_text(_CONFIG)
        (Path(folder) / _JUDGE / "pair.txt").write_text("{pair}")
        annotator = PairwiseAnnotator(
            annotators_config=_JUDGE, base_dir=folder, caching_path=None, input_keys=("pair",)
        )
        annotator.annotators[_JUDGE].fn_completions = completions
        annotated = annotator.annotate_pairs(pairs, chunksize=None)
    preferences = {int(row["pair"]): row["preference"] for row in annotated}
    return [_number(preferences[i]) for i in range(len(pairs))]


def raw_win_rate(preferences: Sequence[float]) -> dict[str, float]:
    """alpaca-eval's `get_winrate` on preferences in [1, 2]; rates as percentages."""
    with _contained():
        from alpaca_eval.metrics import get_winrate

        return {name: float(value) for name, value in get_winrate([{"preference": p} for p in preferences]).items()}


def length_controlled_win_rate(frame: pd.DataFrame) -> float | None:
    """alpaca-eval's length-controlled win rate in percent, None where its GLM has nothing to work on.

    The GLM is the library's ``length_controlled_minimal``, logit P(win) = a + b tanh(Δlength / sd(Δlength)),
    evaluated at no length difference. The published ``length_controlled_v1`` also has a difficulty per
    AlpacaEval instruction and rows of gamed baselines, which exist for AlpacaEval's 805 prompts only; the minimal
    formula does not read them, but the library loads their file all the same, so it is handed a local
    stand-in with zeros. Its `lc_standard_error` is not passed on: it leaves the fit's uncertainty out
    (and is 0 for this GLM).

    Parameters
    ----------
    frame : DataFrame
        Columns ``preference`` in [1, 2], ``output_1`` (reference) and ``output_2`` (policy).
    """
    import pandas as pd

    difference = frame["output_1"].str.len() - frame["output_2"].str.len()
    if len(frame) < MIN_ITEMS_FOR_GLM or difference.nunique() < 2:
        return None
    if frame["preference"].nunique() == 1:  # length explains nothing, and a clean sweep has no finite fit
        return 100 * float(frame["preference"].iloc[0] - 1)
    table = frame.assign(
        index=range(len(frame)), generator_1="reference", generator_2="policy", annotator=_JUDGE
    ).reset_index(drop=True)
    features = pd.DataFrame(
        {
            "index": range(len(frame)),
            "preference": 0.5,
            "std_delta_len": 0.0,
            "instruction_difficulty": 0.0,
            "not_gamed_baseline": False,
            "model": "none",
        }
    )
    with _contained(), tempfile.TemporaryDirectory() as folder:
        import sklearn
        from alpaca_eval.metrics import glm_winrate

        file = Path(folder) / "df_gamed.csv"
        features.to_csv(file, index=False)
        with sklearn.config_context(), replaced(glm_winrate, "hf_hub_download", lambda **_: file):
            figures = glm_winrate.get_length_controlled_winrate(
                table, glm_name="length_controlled_minimal", save_weights_dir=None, is_warn_extreme_changes=False
            )
    return float(figures["length_controlled_winrate"])


@contextlib.contextmanager
def _contained() -> Iterator[None]:
    """Import and run alpaca-eval without what it does to logging: on import it sets the root logger to INFO.

    Its warnings, on missing verdicts and filtered rows, are silenced because those are rows with a status here.
    """
    with contained_logging(), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*pkg_resources.*")
        warnings.filterwarnings("ignore", category=FutureWarning, module=r"sklearn|alpaca_eval")
        import alpaca_eval  # noqa: F401

        logging.getLogger().setLevel(logging.ERROR)
        yield


def _number(value) -> float | None:
    return None if value is None or value != value else float(value)

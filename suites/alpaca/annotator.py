"""The annotator and raw win rate of alpaca-eval, without a network and without side effects.

The library's `PairwiseAnnotator` calls our judge through a registered completion function, and its `get_winrate`
computes the figures. Its side effects (the root logger set to INFO, annotations written beside its own code) are
undone here. `suites.alpaca.length_control` has its length-controlled rates.
"""

from __future__ import annotations

import contextlib
import logging
import math
import tempfile
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from suites.isolation import contained_logging

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


def annotate(
    first: Sequence[str], second: Sequence[str], p_first: Callable[[list[int]], list[float | None]]
) -> list[float | None]:
    """Annotate ordered pairs by alpaca-eval's `PairwiseAnnotator`.

    A pair is identified by its position, not by a text template, so a placeholder inside a response is not
    replaced, and equal pairs are not merged. Equal texts are never sent: the library gives them 1.5.

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

    def completions(prompts: list[str], **_: Any) -> dict[str, list[Any]]:
        answers = [None if p is None else 2.0 - p for p in p_first([int(prompt) for prompt in prompts])]
        nothing = [0.0] * len(prompts)
        return {
            "completions": answers,
            "completions_all": answers,
            "price_per_example": nothing,
            "time_per_example": nothing,
        }

    pairs = [{"pair": str(i), "output_1": a, "output_2": b} for i, (a, b) in enumerate(zip(first, second, strict=True))]
    with contained(), tempfile.TemporaryDirectory() as folder:
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
    """alpaca-eval's `get_winrate` on preferences in [1, 2]; rates as percentages.

    A preference that is missing is an error here: the library would leave it out of the rate and of ``n_total``
    with at most a line in the log.
    """
    if missing := sum(_number(preference) is None for preference in preferences):
        raise ValueError(f"{missing} of {len(preferences)} preferences are missing; give those that are there")
    with contained():
        from alpaca_eval.metrics import get_winrate

        return {name: float(value) for name, value in get_winrate([{"preference": p} for p in preferences]).items()}


@contextlib.contextmanager
def contained() -> Iterator[None]:
    """Import and run alpaca-eval with the root logger restored afterwards; on import the library sets it to INFO.

    Its warnings, on missing verdicts and filtered rows, are silenced because those are rows with a status here.
    """
    with contained_logging(), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*pkg_resources.*")
        warnings.filterwarnings("ignore", category=FutureWarning, module=r"sklearn|alpaca_eval")
        import alpaca_eval  # noqa: F401

        logging.getLogger().setLevel(logging.ERROR)
        yield


def _number(value: float | None) -> float | None:
    return None if value is None or math.isnan(value) else float(value)

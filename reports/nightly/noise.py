"""Noise between two runs of the same code, and the smallest difference that can be detected over it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import optimize, stats

from harness.records import Objective
from reports.frontiers import frontier
from reports.statistics.estimates import Components
from reports.statistics.resampling import generator

POWER = 0.8
FLOOR_DRAWS = 400


@dataclass(frozen=True)
class Floor:
    """The noise floor of one objective at one model size, and what it was measured from."""

    value: float
    source: str


def noise_floor(baseline: list[Components], items: pd.DataFrame, paired: list[float]) -> Floor | None:
    r"""Standard deviation of the difference between two runs of the same code with other seeds.

    The runs share prompts and number of seeds S, and differ in what the seeds decide: data order,
    initialisation, sampled responses. So the floor is :math:`\sqrt{2\,\overline{s^2}/S}` with s² the variance between
    the baseline's seeds, averaged over the points of one model size. With one seed only the sampled
    responses can be seen, from repeated samples of one prompt: :math:`\sqrt{2\,\overline{s_w^2}/N}` with s_w² the pooled
    variance within prompts and N items. Where prompts have one sample as well, the root mean square of the
    standard errors of the paired differences takes its place.

    Parameters
    ----------
    baseline : list of Components
        Of the baseline's points at this size.
    items : DataFrame
        The baseline's values: columns `cell, cluster, value`.
    paired : list of float
        Standard errors of the paired differences (0 where both runs are equal).

    Examples
    --------
    Two seeds that scored 0.4 and 0.6: s² = 0.02, and the floor is sqrt(2 · 0.02 / 2).

    >>> from reports.statistics.estimates import components
    >>> part = components(np.array([0.4, 0.6]), np.zeros((2, 3)))
    >>> noise_floor([part], pd.DataFrame(columns=["cell", "cluster", "value"]), [])
    Floor(value=0.1414, source='seeds')
    """
    seeds = [part.seeds for part in baseline if part.seeds is not None]
    if seeds:
        return Floor(float(np.sqrt(2 * np.mean(seeds))), "seeds")
    prompts = items.groupby(["cell", "cluster"]).value.agg(["count", "var"])
    repeated = prompts[prompts["count"] > 1]
    if len(repeated):
        pooled = np.average(repeated["var"], weights=repeated["count"] - 1)
        each = prompts["count"].groupby(level="cell").sum()
        return Floor(float(np.sqrt(2 * pooled * (1 / each).mean())), "samples")
    return Floor(float(np.sqrt(np.mean(np.square(paired)))), "pairs") if paired else None


def hypervolume_floor(points: np.ndarray, floors: Sequence[float], objectives: Sequence[Objective], seed: int) -> float:
    """How far a hypervolume moves when every mean moves by its own noise floor; points are (n, objectives)."""
    moved = generator(seed, "noise floor").standard_normal((FLOOR_DRAWS, *points.shape)) * np.asarray(floors)
    return float(frontier.hypervolumes(points + moved, objectives).std(ddof=1))


def detectable(floor: float, error: float, df: float, threshold: float, level: float, tests: int) -> float:
    """Smallest true loss that fails with 80 % probability.

    A failure needs a two-sided p below `level` in the first of `tests` steps of Holm's procedure, and a loss of
    `threshold` noise floors. The first is the noncentrality at which Student's t with `df` degrees of freedom
    passes its critical value in 80 % of nights, times the standard error.

    Examples
    --------
    One test and many degrees of freedom: (1.96 + 0.84) standard errors. Few degrees of freedom ask for more.

    >>> detectable(0.01, 0.01, df=10_000, threshold=1.0, level=0.05, tests=1)
    0.0280
    >>> detectable(0.01, 0.01, df=3, threshold=1.0, level=0.05, tests=1)
    0.0426
    """
    critical = stats.t.isf(level / 2 / max(tests, 1), df)
    reach = stats.norm.ppf(POWER)
    top = 3 * critical + 10
    needed = optimize.brentq(lambda shift: stats.nct.sf(critical, df, shift) - POWER, 0, top)
    return float(max(needed * error, threshold * floor + reach * error))

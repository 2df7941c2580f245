"""Estimates with intervals that are as wide as what is known.

A mean over seeds s and prompts i is modelled as crossed random effects, value = μ + seed_s + prompt_i
+ rest_si. Two questions have two answers: *these checkpoints* (the seeds are fixed, only prompts vary)
and *this method* (another seed would have been another checkpoint).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import stats

LEVEL = 0.95
ENOUGH_DF = 2


@dataclass(frozen=True)
class Estimate:
    """A number with its uncertainty.

    `se`, `low` and `high` are None where they cannot be estimated, never 0. `n` counts observed items,
    `n_missing` those without a value, and `method` says how the interval was made.
    """

    value: float
    se: float | None
    low: float | None
    high: float | None
    level: float
    n: int
    n_missing: int
    method: str


@dataclass(frozen=True)
class Components:
    """Variance components of a mean over S seeds and K prompts.

    Parameters
    ----------
    value : float
        Mean over seeds of the cells' means.
    prompts : float or None
        Variance of `value` over the draw of prompts with the seeds fixed: var_i(ū_i)/K, where ū_i is
        prompt i's influence averaged over seeds. Clustered by prompt by construction. None for K < 2.
        0 for K = 0: a figure per cell has no prompts.
    seeds : float or None
        var_s(mean_s)/S, which estimates (σ²_seed + σ²_rest/K)/S. None for S < 2.
    rest : float
        σ²_rest/(S·K), which `prompts` and `seeds` both contain.
    """

    value: float
    prompts: float | None
    seeds: float | None
    rest: float
    n_prompts: int
    n_seeds: int

    @property
    def seed_variance(self) -> float | None:
        """Unbiased σ²_seed, the variance of one seed's effect; it can come out negative."""
        return None if self.seeds is None else self.n_seeds * (self.seeds - self.rest)


@dataclass(frozen=True)
class SeedNoise:
    """σ²_seed pooled over several points.

    `df` are its degrees of freedom where seeds dominate (each method counts once), `df_rest` where
    the noise of single items dominates (each point counts).
    """

    variance: float
    df: int
    df_rest: int

    @property
    def of_difference(self) -> SeedNoise:
        """The same for a difference of two independent seeds' effects; what seeds share would only make it smaller."""
        return SeedNoise(2 * self.variance, self.df, self.df_rest)


@dataclass(frozen=True)
class Spread:
    """A standard error and the degrees of freedom of its square."""

    se: float
    df: float


def components(means: np.ndarray, influence: np.ndarray) -> Components:
    """Variance components from the cells' means (S,) and influences (S, K).

    Examples
    --------
    One seed and four prompts: the usual s²/n.

    >>> values = np.array([[1.0, 0.0, 1.0, 1.0]])
    >>> found = components(values.mean(1), values - values.mean(1, keepdims=True))
    >>> found.value, found.prompts, found.seeds
    (0.75, 0.0625, None)
    """
    seeds, prompts = influence.shape
    average = influence.mean(0)
    rest = 0.0
    if seeds > 1 and prompts > 1:
        rest = float(((influence - average) ** 2).sum() / ((seeds - 1) * (prompts - 1)) / (seeds * prompts))
    return Components(
        value=float(means.mean()),
        prompts=0.0 if prompts == 0 else (float(average.var(ddof=1) / prompts) if prompts > 1 else None),
        seeds=float(means.var(ddof=1) / seeds) if seeds > 1 else None,
        rest=rest,
        n_prompts=prompts,
        n_seeds=seeds,
    )


def pool(parts: list[Components], groups: list[str]) -> SeedNoise | None:
    """σ²_seed pooled over points, not below 0; None if no point has two seeds.

    Two or three seeds say little about a variance; all points of one model size together say more. The
    effects of seeds along one sweep are not independent (the data order is the same), so for them each
    group (method) counts once. With fewer than `ENOUGH_DF` degrees of freedom the share of `rest` is not
    taken off: a difference of two such uncertain figures would be 0 half of the time.
    """
    known = [(part, group) for part, group in zip(parts, groups, strict=True) if part.seeds is not None]
    if not known:
        return None
    most: dict[str, int] = {}
    for part, group in known:
        most[group] = max(most.get(group, 0), part.n_seeds - 1)
    df, extra = sum(most.values()), [part.n_seeds - 1 for part, _ in known]
    variances = [part.seed_variance if df >= ENOUGH_DF else part.n_seeds * part.seeds for part, _ in known]
    return SeedNoise(max(0.0, float(np.average(variances, weights=extra))), df, sum(extra))


def checkpoints(part: Components) -> Spread | None:
    """Standard error of the mean of exactly these checkpoints over the draw of prompts."""
    if not part.prompts:
        return None
    return Spread(float(np.sqrt(part.prompts)), part.n_prompts - 1)


def method(part: Components, noise: SeedNoise | None) -> Spread | None:
    """Standard error of the method's mean over the draw of seeds and prompts; None with one seed.

    SE² = prompts + σ²_seed/S with Satterthwaite's degrees of freedom. The prompts' part already holds
    the share of `rest`, so nothing is counted twice.
    """
    if noise is None or part.prompts is None or part.n_seeds < 2:
        return None
    seed = noise.variance / part.n_seeds
    square = part.prompts + seed
    # The pooled mean square is seed + rest; its square splits into what either kind of noise brings.
    if square == 0:
        return None
    spoken = seed**2 / noise.df + part.rest * (part.rest + 2 * seed) / noise.df_rest
    spoken += part.prompts**2 / max(part.n_prompts - 1, 1)
    return Spread(float(np.sqrt(square)), float(square**2 / spoken))


def interval(value: float, spread: Spread | None, bounds: tuple[float, float], n: int, level: float = LEVEL):
    """`(low, high, name)`; inside finite bounds by Wilson's score with the effective sample size.

    For a quantity in [a, b], p = (value − a)/(b − a) and n_eff = p(1 − p)/se²; the score interval
    solves |p − π| = t·sqrt(π(1 − π)/n_eff), which never leaves the bounds and is the usual one in
    their middle. At the bounds themselves (se = 0) the number of prompts takes the place of n_eff.

    Examples
    --------
    Twenty wins of twenty:

    >>> low, high, name = interval(1.0, None, (0.0, 1.0), 20)
    >>> round(low, 3), high, name
    (0.839, 1.0, 'Wilson score')
    """
    low, high = bounds
    tail = 0.5 + level / 2
    finite = np.isfinite(low) and np.isfinite(high)
    share = (value - low) / (high - low) if finite else None
    if spread is None:
        if not finite or n == 0 or 0 < share < 1:
            return None, None, "not estimable"
        effective, quantile = float(n), stats.norm.ppf(tail)
    else:
        quantile = stats.t.ppf(tail, spread.df)
        if not finite:
            return float(value - quantile * spread.se), float(value + quantile * spread.se), "t"
        if not 0 < share < 1:
            effective = float(max(n, 1))
        else:
            effective = max(1.0, share * (1 - share) * (high - low) ** 2 / spread.se**2)
    square = quantile**2
    middle = (share + square / (2 * effective)) / (1 + square / effective)
    half = quantile * np.sqrt(share * (1 - share) / effective + square / (4 * effective**2)) / (1 + square / effective)
    bottom, top = max(0.0, middle - half), min(1.0, middle + half)
    scale = high - low
    return float(low + scale * bottom), float(low + scale * top), "Wilson score"


def estimate(
    value: float,
    spread: Spread | None,
    bounds: tuple[float, float] = (-np.inf, np.inf),
    n: int = 0,
    n_missing: int = 0,
    n_clusters: int | None = None,
    what: str = "",
    level: float = LEVEL,
) -> Estimate:
    """An `Estimate` from a value and its spread."""
    low, high, name = interval(value, spread, bounds, n if n_clusters is None else n_clusters, level)
    return Estimate(value, spread.se if spread else None, low, high, level, n, n_missing, f"{name}{what}")


def p_value(value: float, spread: Spread | None) -> float | None:
    """Two-sided p of the hypothesis that the true value is 0; None where nothing can be tested."""
    return None if spread is None else float(2 * stats.t.sf(abs(value) / spread.se, spread.df))


def missing_bounds(total: float, count: float, missing: float, bounds: tuple[float, float]) -> tuple[float, float]:
    """The mean if every missing item had the lowest, or the highest, possible value.

    Examples
    --------
    >>> missing_bounds(total=6.0, count=8, missing=2, bounds=(0.0, 1.0))
    (0.6, 0.8)
    """
    if not missing:
        return total / count, total / count
    everything = count + missing
    return tuple(float((total + missing * bound) / everything) for bound in bounds)

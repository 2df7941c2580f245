"""Estimates with intervals that are as wide as what is known.

A mean over seeds s and prompts i is modelled as crossed random effects, value = μ + seed_s + prompt_i
+ rest_si. Two questions have two answers: *these checkpoints* (the seeds are fixed, only prompts vary)
and *this method* (another seed would have been another checkpoint).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

LEVEL = 0.95
DOUBT = 0.25
"""A method borrows less from the others once its adjusted p-value of being noisier than they are is below this."""


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
    """σ²_seed of one method, its own estimate moderated by the other methods'.

    It is unbiased and so can come out below 0. `df` are its degrees of freedom where seeds dominate (each method
    counts once), `df_rest` where the noise of single items dominates (each point counts).
    """

    variance: float
    df: float
    df_rest: float

    def __add__(self, other: SeedNoise) -> SeedNoise:
        """Of a difference of two independent seeds' effects; what seeds share would only make it smaller.

        Both rest on nearly the same data, so degrees of freedom do not add up: those of the noisier are taken.
        """
        noisier = max(self, other, key=lambda noise: noise.variance)
        return SeedNoise(self.variance + other.variance, noisier.df, noisier.df_rest)


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


def pool(parts: Sequence[Components], groups: Sequence[str]) -> dict[str, SeedNoise]:
    r"""σ²_seed of each group (method), moderated over all of them; empty if no point has two seeds.

    Two or three seeds say little about a variance; all methods of one model size together say more, unless one of them
    is noisier than the rest. Let :math:`m_g` be the mean square between the seeds of group *g*, on :math:`d_g` degrees of
    freedom, and :math:`m_{-g}` that of the other groups. The moderated variance is

    .. math:: \frac{d_g m_g + d_0 m_{-g}}{d_g + d_0}, \qquad d_0 = w_g \sum_{h \ne g} w_h d_h, \qquad
        w_g = \min(1, G p_g / 0.25)

    with :math:`p_g` the p-value of :math:`F = m_g / m_{-g}`. This is the posterior variance of empirical Bayes (Smyth 2004)
    with prior degrees of freedom that a noisy group loses (in the spirit of Phipson et al. 2016): it neither widens the
    others' intervals nor is narrowed by them. The share of σ²_rest in the mean squares is taken off.

    The effects of seeds along one sweep are not independent (the data order is the same), so :math:`d_g` counts a
    group's seeds once.

    Examples
    --------
    Two methods of two seeds each that vary alike lend each other their degrees of freedom.

    >>> noise = pool([components(np.array(means), np.zeros((2, 0))) for means in ([0.4, 0.6], [0.5, 0.7])], ["dpo", "kto"])
    >>> round(noise["dpo"].variance, 3), round(noise["dpo"].df, 3)
    (0.02, 2.0)
    """
    names = list(dict.fromkeys(groups))
    each = [[part for part, group in zip(parts, groups, strict=True) if group == name] for name in names]
    known = [[part for part in group if part.seeds is not None] for group in each]
    df = np.array([max([part.n_seeds - 1 for part in group], default=0) for group in known], dtype=float)
    if not df.any():
        return {}
    df_rest = np.array([sum(part.n_seeds - 1 for part in group) for group in known], dtype=float)
    square = np.array([_mean_square(group, "seeds") for group in known])
    excess = square - np.array([_mean_square(group, "rest") for group in known])
    weight = np.ones(len(names))
    for _ in range(3):  # a noisy group is taken out of what the others are judged by
        weight = np.minimum(1.0, _noisier(square, df, weight) * len(names) / DOUBT)
    prior = weight * _others(weight * df)
    borrowed = _others(weight * df * excess) / np.maximum(_others(weight * df), TINY)
    variance = (df * excess + prior * borrowed) / np.maximum(df + prior, TINY)
    df_rest = df_rest + weight * _others(weight * df_rest)
    found = zip(names, variance, df + prior, df_rest, strict=True)
    return {name: SeedNoise(float(v), float(d), float(r)) for name, v, d, r in found if d > 0}


TINY = np.finfo(float).tiny


def _mean_square(group: list[Components], what: str) -> float:
    """S times one variance of the mean over S seeds, averaged over a group's points."""
    if not group:
        return 0.0
    return float(np.average([p.n_seeds * getattr(p, what) for p in group], weights=[p.n_seeds - 1 for p in group]))


def _others(values: np.ndarray) -> np.ndarray:
    """For each entry the sum of the other ones."""
    return (np.ones((len(values), len(values))) - np.eye(len(values))) @ values


def _noisier(square: np.ndarray, df: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """One-sided p-value that a group's mean square is no larger than the others'; 1 where there is nothing to compare."""
    df_others = _others(weight * df)
    others = _others(weight * df * square) / np.maximum(df_others, TINY)
    judged = (df > 0) & (df_others > 0) & (square > others)
    p = np.ones(len(square))
    p[judged] = stats.f.sf(square[judged] / np.maximum(others[judged], TINY), df[judged], df_others[judged])
    return p


def checkpoints(part: Components) -> Spread | None:
    """Standard error of the mean of exactly these checkpoints over the draw of prompts."""
    if not part.prompts:
        return None
    return Spread(float(np.sqrt(part.prompts)), part.n_prompts - 1)


def seed_and_prompt_error(part: Components, noise: SeedNoise | None) -> Spread | None:
    r"""Standard error of the method's mean over the draw of seeds and prompts; None with one seed.

    SE² = A + T, with A = `prompts` − `rest` what the prompts bring and T = σ²_seed/S + `rest` what the seeds and the single
    items bring. T is a mean square between seeds, which is never 0 by the estimate of σ²_seed falling below 0: cutting
    that off at 0 would make SE² too large on average, and far too certain where it was cut.

    The degrees of freedom are Satterthwaite's, :math:`(A + T)^2 / (A^2/(K-1) + T^2/d)`, with d between those of the
    seeds and those of the rest, in proportion to what T consists of; and at least d, since T is known to be at least
    `rest` however small it came out.
    """
    if noise is None or part.prompts is None or part.n_seeds < 2:
        return None
    seed, df_prompts = noise.variance / part.n_seeds, max(part.n_prompts - 1, 1)
    between, shared = max(seed + part.rest, 0.0), max(part.prompts - part.rest, 0.0)
    square = shared + between
    if square == 0:
        return None
    seed = max(seed, 0.0)
    spoken = seed**2 / noise.df + part.rest * (part.rest + 2 * seed) / noise.df_rest
    least = min((seed + part.rest) ** 2 / spoken, df_prompts) if spoken else df_prompts
    df = square**2 / (spoken + shared**2 / df_prompts) if spoken or shared else df_prompts
    return Spread(float(np.sqrt(square)), float(max(df, least)))


def interval(value: float, spread: Spread | None, bounds: tuple[float, float], n: int, level: float = LEVEL):
    """`(low, high, name)`; inside finite bounds by Wilson's score with the effective sample size.

    For a quantity in [a, b], p = (value − a)/(b − a) and n_eff = p(1 − p)/se²; the score interval
    solves |p − π| = t·sqrt(π(1 − π)/n_eff), which never leaves the bounds and is the usual one in
    their middle. At the bounds themselves (se = 0) the number of prompts takes the place of n_eff. With one finite bound
    or none it is Student's, cut off at the bound.

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
            return max(low, float(value - quantile * spread.se)), min(high, float(value + quantile * spread.se)), "t"
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

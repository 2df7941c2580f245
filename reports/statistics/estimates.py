"""Estimates of means with intervals over prompts and seeds.

A mean over seeds s and prompts i is modelled as crossed random effects, value = μ + seed_s + prompt_i
+ rest_si. Two questions have two answers: *these checkpoints* (the seeds are fixed, only prompts vary)
and *this method* (another seed would have been another checkpoint).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy import optimize, special

LEVEL = 0.95


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


CALM, FIXED = "calm", "fixed"
DISAGREE = "seeds disagree: not estimable"
TOO_FEW = "too few seeds: not estimable"
FEWEST_DF = 2.0
"""With fewer degrees of freedom a variance between seeds is shown and not used: its interval would be 12.7 errors wide."""


@dataclass(frozen=True)
class SeedNoise:
    r"""σ²_seed of one setting or method, moderated by what others show (`seed_noise.moderate`).

    Parameters
    ----------
    variance : float
        Variance of one seed's effect; unbiased, so that it can come out below 0.
    df : float
        Degrees of freedom of `variance`.
    df_rest : float
        Degrees of freedom where the noise of single items dominates (every setting counts in full).
    pool : str
        Which seeds the variance rests on. Estimates of one pool share their error.
    prior, prior_df, weight : float
        The pool's variance without what is the setting's own, its degrees of freedom, and the prior's degrees of freedom
        d₀ that the setting's own variance is averaged with.
    """

    variance: float
    df: float
    df_rest: float
    pool: str = CALM
    prior: float = 0.0
    prior_df: float = np.inf
    weight: float = np.inf

    @property
    def fixed(self) -> bool:
        """Whether there is one checkpoint whatever the seed, so that no seed can move it."""
        return self.pool == FIXED

    @property
    def estimable(self) -> bool:
        """Whether the variance is known well enough for an interval."""
        return self.fixed or self.df >= FEWEST_DF - 1e-9

    @property
    def reason(self) -> str:
        """Why there is no interval over seeds; empty where there is one."""
        if self.estimable:
            return ""
        return TOO_FEW if self.pool == CALM else DISAGREE

    def __add__(self, other: SeedNoise) -> SeedNoise:
        """Of a difference of two independent seeds' effects; what seeds share would only make it smaller.

        Variances of one pool rest on the same data, so degrees of freedom do not add up; those of two pools are combined by
        Satterthwaite's formula.
        """
        if self.fixed or other.fixed:
            return other if self.fixed else self
        variance = self.variance + other.variance
        df_rest = min(self.df_rest, other.df_rest)
        if self.pool == other.pool:
            return SeedNoise(variance, min(self.df, other.df), df_rest, self.pool)
        parts = [(max(noise.variance, 0.0), noise.df) for noise in (self, other)]
        return SeedNoise(variance, satterthwaite(parts), df_rest, f"{self.pool} and {other.pool}")


def fixed_checkpoint() -> SeedNoise:
    """The seed noise of a checkpoint that no seed was drawn for, such as the base model."""
    return SeedNoise(0.0, np.inf, np.inf, FIXED)


def satterthwaite(parts: Sequence[tuple[float, float]]) -> float:
    r"""Degrees of freedom of a sum of independent variances, :math:`(\sum v)^2 / \sum v^2/d` (Satterthwaite 1946).

    Parameters
    ----------
    parts : sequence of (float, float)
        Each variance with its degrees of freedom. The smallest of these is returned where all variances are 0.

    Examples
    --------
    >>> satterthwaite([(1.0, 4.0), (1.0, 4.0)]), satterthwaite([(1.0, 4.0), (0.0, 1.0)])
    (8.0, 4.0)
    """
    spoken = sum(variance**2 / df for variance, df in parts)
    return float(sum(variance for variance, _ in parts) ** 2 / spoken) if spoken > 0 else min(df for _, df in parts)


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


def checkpoints(part: Components) -> Spread | None:
    """Standard error of the mean of exactly these checkpoints over the draw of prompts."""
    if not part.prompts:
        return None
    return Spread(float(np.sqrt(part.prompts)), part.n_prompts - 1)


def seed_and_prompt_error(part: Components, noise: SeedNoise | None) -> Spread | None:
    """Standard error of the method's mean over the draw of seeds and prompts (`total_error`), where it can be estimated.

    None with one seed, with seeds that share a checkpoint, and where the seeds disagree too much for their number
    (`SeedNoise.estimable`).
    """
    return total_error(part, noise) if noise is not None and noise.estimable else None


def total_error(part: Components, noise: SeedNoise | None) -> Spread | None:
    r"""Standard error over seeds and prompts, on however few degrees of freedom; None with one seed or one checkpoint.

    SE² = A + T, with A = `prompts` − `rest` what the prompts bring and T = σ²_seed/S + `rest` what the seeds and the single
    items bring. T is a mean square between seeds, which is never 0 by the estimate of σ²_seed falling below 0: cutting
    that off at 0 would make SE² too large on average, and far too certain where it was cut.

    The degrees of freedom are Satterthwaite's, :math:`(A + T)^2 / (A^2/(K-1) + T^2/d)`, with d between those of the
    seeds and those of the rest, in proportion to what T consists of; and at least d, since T is known to be at least
    `rest` however small it came out. Where A and T cancel it is the error of these checkpoints.
    """
    if noise is None or noise.fixed or part.prompts is None or part.n_seeds < 2:
        return None
    seed, df_prompts = noise.variance / part.n_seeds, max(part.n_prompts - 1, 1)
    between, shared = max(seed + part.rest, 0.0), max(part.prompts - part.rest, 0.0)
    square = shared + between
    if square == 0:
        return checkpoints(part)
    seed = max(seed, 0.0)
    spoken = seed**2 / noise.df + part.rest * (part.rest + 2 * seed) / noise.df_rest
    least = min((seed + part.rest) ** 2 / spoken, df_prompts) if spoken else df_prompts
    df = square**2 / (spoken + shared**2 / df_prompts) if spoken or shared else df_prompts
    return Spread(float(np.sqrt(square)), float(max(df, least)))


def interval(
    value: float, spread: Spread | None, bounds: tuple[float, float], n: int, level: float = LEVEL
) -> tuple[float | None, float | None, str]:
    """`(low, high, name)`; inside finite bounds by Wilson's score with the effective sample size.

    For a quantity in [a, b], p = (value − a)/(b − a) and n_eff = p(1 − p)/se²; the score interval
    solves ``|p − π| = t·sqrt(π(1 − π)/n_eff)``, which never leaves the bounds and is the usual one in
    their middle. At the bounds themselves (se = 0) the number of prompts takes the place of n_eff. With one finite bound
    or none it is Student's, cut off at the bound. Bounds that meet leave one value, as for the hypervolume above a reference
    point at the best values.

    Examples
    --------
    Twenty wins of twenty:

    >>> low, high, name = interval(1.0, None, (0.0, 1.0), 20)
    >>> round(low, 3), high, name
    (0.839, 1.0, 'Wilson score')
    >>> interval(0.0, None, (0.0, 0.0), 20)
    (0.0, 0.0, 'exact')
    """
    low, high = bounds
    if low == high:
        return low, high, "exact"
    tail = 0.5 + level / 2
    finite = bool(np.isfinite(low) and np.isfinite(high))
    share = (value - low) / (high - low) if finite else np.nan
    if spread is None:
        if not finite or n == 0 or 0 < share < 1:
            return None, None, "not estimable"
        effective, quantile = float(n), float(special.ndtri(tail))
    else:
        quantile = float(special.stdtrit(spread.df, tail))
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
    return None if spread is None else float(2 * special.stdtr(spread.df, -abs(value) / spread.se))


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
    low, high = (float((total + missing * bound) / everything) for bound in bounds)
    return low, high


def imbens_manski(width: float, se: float, df: float = np.inf, level: float = LEVEL) -> float:
    r"""Multiple c of the standard error by which an interval between two bounds is widened at either end.

    A mean with missing items is known to lie between bounds L ≤ U that are estimated. An interval
    :math:`[L - c\,se, U + c\,se]` contains the mean, wherever between the bounds it is, with probability `level` if
    :math:`F(c + (U - L)/se) - F(-c) = level` (Imbens and Manski 2004), with F the distribution function of Student's t. Between
    the two-sided quantile where nothing is missing and the one-sided one where the bounds are far apart.

    Parameters
    ----------
    width : float
        U − L.
    se : float
        The larger standard error of the two bounds.

    Examples
    --------
    >>> round(imbens_manski(0.0, 0.1), 3), round(imbens_manski(1.0, 0.1), 3)
    (1.96, 1.645)
    """
    excess = lambda c: special.stdtr(df, c + width / se) - special.stdtr(df, -c) - level  # noqa: E731
    return float(optimize.brentq(excess, 0.0, float(special.stdtrit(df, 0.5 + level / 2)) + 1e-9))


def whatever_is_missing(
    estimate: Estimate, spread: Spread | None, limits: tuple[float, float], bounds: tuple[float, float]
) -> Estimate:
    """An estimate whose interval holds whatever the missing items are: between its `limits`, each with its sampling error.

    The standard error is that of the items seen. The value stays their mean.

    Parameters
    ----------
    limits : tuple of float
        The mean with every missing item at its lowest and at its highest (`missing_bounds`).
    """
    if spread is None or not all(np.isfinite(limits)):
        return estimate
    c = imbens_manski(limits[1] - limits[0], spread.se, spread.df, estimate.level)
    level = 2 * float(special.stdtr(spread.df, c)) - 1
    low, _, _ = interval(limits[0], spread, bounds, estimate.n, level)
    _, high, name = interval(limits[1], spread, bounds, estimate.n, level)
    return replace(estimate, low=low, high=high, method=f"{name}, missing items at their bounds")


def within_prompts(values: np.ndarray, prompts: np.ndarray, level: float = LEVEL) -> tuple[float, float] | None:
    r"""Interval of a mean over fixed prompts, from the variance between the samples of one prompt.

    With :math:`n_i` samples of prompt i and their variance :math:`s_i^2`, :math:`SE^2 = \sum_i n_i s_i^2 / (\sum_i n_i)^2` on
    :math:`\sum_i (n_i - 1)` degrees of freedom. None where no prompt has two samples, or all samples of a prompt agree.

    Parameters
    ----------
    values, prompts : ndarray, shape (n,)

    Examples
    --------
    >>> low, high = within_prompts(np.array([0.0, 1.0, 0.0, 1.0]), np.array(["a", "a", "b", "b"]))
    >>> round(low, 3), round(high, 3)
    (-1.021, 2.021)
    """
    _, codes = np.unique(prompts, return_inverse=True)
    count = np.bincount(codes).astype(float)
    mean = np.bincount(codes, values) / count
    squares = np.bincount(codes, (values - mean[codes]) ** 2)
    more = count > 1
    if not more.any():
        return None
    square = float((count[more] * squares[more] / (count[more] - 1)).sum()) / count.sum() ** 2
    if square == 0:
        return None
    half = float(special.stdtrit((count - 1).sum(), 0.5 + level / 2) * np.sqrt(square))
    return float(values.mean()) - half, float(values.mean()) + half

"""Variance between seeds of every setting, moderated by the other settings of its method and model size."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache

import numpy as np
from scipy import special, stats

from reports.grids import Grid, Point
from reports.statistics.correlation import along_sweep, objective_correlation
from reports.statistics.estimates import CALM, Components, SeedNoise, fixed_checkpoint
from reports.statistics.variance import Parts

Noise = dict[tuple[str, str], SeedNoise]
"""Variance between seeds by (point, objective), where there are two seeds anywhere at the point's size."""

DOUBT = 0.04
"""A method, or a setting, keeps its own variance once it is noisier than the others with a p-value below this."""
QUESTION = 0.1
"""A setting of two seeds has no interval of its own once it is noisier than its pool with a p-value below this."""
ROUNDS = 3
FLOOR = 0.01
FRONTIER_ROLES = ("user", "designer")
TINY = 1e-12


def trigamma_inverse(value: float) -> float:
    """The y with trigamma(y) = `value` > 0, by Newton's method (Smyth 2004, appendix).

    Examples
    --------
    >>> round(trigamma_inverse(special.polygamma(1, 3.0)), 6)
    3.0
    """
    y = 0.5 + 1.0 / value
    for _ in range(50):
        trigamma = float(special.polygamma(1, y))
        step = trigamma * (1 - trigamma / value) / float(special.polygamma(2, y))
        y += step
        if -step / y < 1e-8:
            break
    return float(y)


@lru_cache(maxsize=64)
def _log_moments(df: float) -> tuple[float, float, float]:
    """Mean, variance and fourth central moment of log max(χ²/df, `FLOOR`)."""
    levels = (np.arange(2000) + 0.5) / 2000
    logs = np.log(np.maximum(stats.chi2.ppf(levels, df) / df, FLOOR))
    return float(logs.mean()), float(logs.var()), float(((logs - logs.mean()) ** 4).mean())


def prior_df(ratio: np.ndarray, df: np.ndarray) -> float:
    r"""Degrees of freedom d₀ of the prior of variances that are not all the same (Smyth 2004).

    The logarithm of a variance :math:`s_g^2` on :math:`d_g` degrees of freedom varies by itself; what it varies more between
    settings is :math:`\psi'(d_0/2)`. Where that excess is no larger than its standard error if all variances are the same,
    d₀ is infinite. Variances are cut below at a hundredth of what is expected, because shares of a few hundred items often
    agree exactly and a logarithm would make much of it.

    Its limits: the logarithm of a variance on one degree of freedom varies so much by itself that with two seeds 25 settings
    cannot tell d₀ = ∞ from d₀ = 2. The objectives are averaged for that reason.

    Parameters
    ----------
    ratio : ndarray, shape (settings, objectives)
        Variances over what the pool expects; NaN where there is none.
    df : ndarray, shape (settings,)
    """
    if len(ratio) < 3:
        return np.inf
    mean, variance, fourth = np.array([_log_moments(float(each)) for each in df]).T
    logs = np.log(np.maximum(ratio, FLOOR)) - mean[:, None]
    enough = np.isfinite(logs).sum(0) > 2
    if not enough.any():
        return np.inf
    excess = float(np.nanvar(logs[:, enough], axis=0, ddof=1).mean() - variance.mean())
    chance = np.sqrt((fourth - variance**2).mean() / np.isfinite(logs[:, enough]).sum())
    return 2 * trigamma_inverse(excess) if excess > chance else np.inf


def trimming(df: float, df_others: float, doubt: float = DOUBT) -> float:
    r"""Factor that makes a mean of variances unbiased again after the doubtful ones were left out.

    A variance on d degrees of freedom is left out where its F with the others exceeds the quantile :math:`F_q`. The mean of the
    rest is :math:`P(F_{d+2} \le F_q\,d/(d+2)) / P(F_d \le F_q)` of the whole, as in a trimmed variance.

    Examples
    --------
    >>> round(trimming(2.0, 1e6), 3)
    1.155
    """
    if df <= 0 or df_others <= 0:
        return 1.0
    limit = stats.f.isf(doubt, df, df_others)
    return float((1 - doubt) / stats.f.cdf(limit * df / (df + 2), df + 2, df_others))


@dataclass(frozen=True)
class Settings:
    """Variances between seeds of the settings of one size, arrays over (settings, objectives).

    `square` is S times the variance of the mean over S seeds, `rest` the part of it that single items bring, `df` the number of
    seeds less one, `method` the number of each setting's method. `sweep` is the correlation of the seeds' means along a sweep,
    `objectives` the mean squared correlation between objectives.
    """

    square: np.ndarray
    rest: np.ndarray
    df: np.ndarray
    method: np.ndarray
    sweep: float
    objectives: float

    @property
    def share(self) -> np.ndarray:
        """What each setting adds to the degrees of freedom of its method's pool, of its own: effects along a sweep covary."""
        count = np.bincount(self.method)[self.method]
        return np.asarray(1.0 / (1.0 + (count - 1) * self.sweep**2))

    @cached_property
    def excess(self) -> np.ndarray:
        """`square` less `rest`; NaN where there is none."""
        return np.asarray(self.square - self.rest)

    @cached_property
    def weight(self) -> np.ndarray:
        """Degrees of freedom of every entry of `excess`, 0 where there is none."""
        return np.where(np.isfinite(self.excess), self.df[:, None], 0.0)

    def mean_excess(self, rows: np.ndarray) -> np.ndarray:
        """Mean of `excess` by objective, weighted by degrees of freedom; 0 where nothing is known."""
        total = np.where(self.weight[rows] > 0, self.excess[rows] * self.weight[rows], 0.0).sum(0)
        return np.asarray(total / np.maximum(self.weight[rows].sum(0), TINY))

    @property
    def independent(self) -> float:
        """Number of independent objectives that the correlated ones are worth."""
        count = self.square.shape[1]
        return float(count / (1 + (count - 1) * self.objectives))


@dataclass(frozen=True)
class Doubtful:
    """Methods and settings that are noisier than the others; arrays over settings."""

    methods: np.ndarray
    settings: np.ndarray

    @property
    def calm(self) -> np.ndarray:
        return np.asarray(~(self.methods | self.settings))

    def __or__(self, other: Doubtful) -> Doubtful:
        return Doubtful(self.methods | other.methods, self.settings | other.settings)


def doubtful(settings: Settings) -> Doubtful:
    """Methods, and settings within their pool, whose mean square over objectives is too large beside the others'.

    The statistic is the mean over objectives of `square` / (σ²_others + rest), compared with F. A method is noisy only if it is
    without its noisiest setting too, so that one unstable setting does not make its whole method noisy. What is found doubtful
    is taken out of what the others are compared with, three times. Where that leaves less than half, there is no common noise
    to stand out from, and none is doubtful: that variances differ is then left to `prior_df`.
    """
    n = len(settings.df)
    doubts = Doubtful(np.zeros(n, bool), np.zeros(n, bool))
    for _ in range(ROUNDS):
        methods = np.zeros(n, bool)
        for method in np.unique(settings.method):
            mine = settings.method == method
            own, others = mine & ~doubts.settings, doubts.calm & ~mine
            own = own if own.any() else mine
            calmer = own & ~_noisiest(settings, own, others)
            methods |= mine & _noisier(settings, own, others) & (_noisier(settings, calmer, others) or not calmer.any())
        chosen = np.zeros(n, bool)
        for name in [None, *np.unique(settings.method[methods])]:
            pool = ~methods if name is None else settings.method == name
            chosen |= pool & (_excess_p(settings, pool & ~doubts.settings, pool) < DOUBT)
        doubts = Doubtful(methods, chosen)
    if settings.df[doubts.calm].sum() < settings.df.sum() / 2:
        return Doubtful(np.zeros(n, bool), np.zeros(n, bool))
    return doubts


def _noisier(settings: Settings, own: np.ndarray, others: np.ndarray) -> bool:
    """Whether the mean square of `own` exceeds that of `others` by more than chance."""
    if not others.any():
        return False
    ratio = _ratios(settings, own, others)
    ratio = ratio[~np.isnan(ratio)]
    if not len(ratio):
        return False
    df, df_others = ((settings.df * settings.share)[rows].sum() * settings.independent for rows in (own, others))
    return bool(special.fdtrc(df, df_others, ratio.mean()) < DOUBT)


def _noisiest(settings: Settings, own: np.ndarray, others: np.ndarray) -> np.ndarray:
    """The one of `own` that exceeds the others most, as a mask."""
    excess = np.nansum(_ratios(settings, own, others), axis=1)
    return np.asarray(np.arange(len(own)) == np.flatnonzero(own)[int(np.argmax(excess))])


def _ratios(settings: Settings, own: np.ndarray, others: np.ndarray) -> np.ndarray:
    """`square` of `own` over what the others let expect, (settings of own, objectives); NaN where there is none."""
    expected = np.maximum(settings.mean_excess(others), 0.0) + settings.rest[own]
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(np.isfinite(settings.square[own]), settings.square[own] / expected, np.nan)


def _excess_p(settings: Settings, pool: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """`_noisier` for each of `rows` beside the rest of the pool: p-values, 1 elsewhere and where nothing can be said."""
    inside = pool.astype(float)
    weighted = np.where(settings.weight > 0, settings.excess * settings.weight, 0.0)
    total, weight = ((inside @ each) - inside[:, None] * each for each in (weighted, settings.weight))
    expected = np.maximum(total / np.maximum(weight, TINY), 0.0) + settings.rest
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = np.where(np.isfinite(settings.square), settings.square / expected, np.nan)
    counted = ~np.isnan(ratio)
    own = settings.df * settings.share
    others = (inside @ own) - inside * own
    testable = rows & counted.any(1) & ((pool.sum() - pool) > 0)
    mean = np.where(counted, ratio, 0.0).sum(1) / np.maximum(counted.sum(1), 1)
    p = np.ones(len(rows))
    p[testable] = special.fdtrc(
        (own * settings.independent)[testable], (others * settings.independent)[testable], mean[testable]
    )
    return p


def _weighted(values: np.ndarray, df: np.ndarray, rows: np.ndarray) -> np.ndarray:
    weight = np.where(np.isfinite(values[rows]), df[rows, None], 0.0)
    return np.asarray(np.nan_to_num(values[rows] * weight).sum(0) / np.maximum(weight.sum(0), TINY))


def moderate(
    settings: Settings, doubts: Doubtful, names: Sequence[str], methods: Sequence[str]
) -> list[list[SeedNoise]]:
    r"""σ²_seed of every setting and objective.

    Calm settings of all methods form one pool. The settings of a method that is noisier than the others form a pool of
    their own, and a setting that is noisier than its pool stands alone. Within a pool

    .. math:: \sigma_g^2 = \frac{d_g (s_g^2 - rest_g) + d_0 \sigma_0^2}{d_g + d_0}

    with σ₀² the pool's mean excess and d₀ from `prior_df` (empirical Bayes, Smyth 2004; leaving out the noisy follows Phipson
    et al. 2016). Degrees of freedom are :math:`d_g + d_0`, and at most the pool's.

    Parameters
    ----------
    settings : Settings
    doubts : Doubtful
        Who is taken out of the common pool (`doubtful`).
    names, methods : sequence of str
        Of the settings.
    """
    noise: list[list[SeedNoise]] = [[] for _ in names]
    pools = [(CALM, doubts.calm)]
    pools += [
        (f"method {methods[row]}", doubts.methods & ~doubts.settings & (settings.method == settings.method[row]))
        for row in {int(settings.method[r]): r for r in np.flatnonzero(doubts.methods & ~doubts.settings)}.values()
    ]
    pools += [(f"setting {names[row]}", np.arange(len(names)) == row) for row in np.flatnonzero(doubts.settings)]
    for pool, rows in pools:
        if rows.any():
            for row, each in zip(np.flatnonzero(rows), _pooled(settings, rows, pool), strict=True):
                noise[row] = each
    return noise


def of_two_seeds(
    settings: Settings, doubts: Doubtful, noise: Sequence[Sequence[SeedNoise]], names: Sequence[str]
) -> list[list[SeedNoise]]:
    """Seed noise of the settings, with caution for the calm ones of two seeds.

    Two seeds of an unstable setting are often close by chance, and the pool's variance is then far too small for it. So the
    variance of such a setting is never below its own estimate, and where its seeds differ by more than the pool's do
    (`QUESTION`), it rests on its own single degree of freedom, which gives no interval. Figures of several settings have an
    interval all the same where little of their variance comes from such a setting.

    Parameters
    ----------
    noise : sequence of sequence of SeedNoise
        By setting and objective (`moderate`).
    names : sequence of str
        Of the settings.
    """
    cautious = [list(each) for each in noise]
    in_question = _excess_p(settings, doubts.calm, doubts.calm) < QUESTION
    for row in np.flatnonzero(doubts.calm & (settings.df == 1)):
        for column, each in enumerate(noise[row]):
            variance = max(each.variance, float(np.nan_to_num(settings.excess[row, column], nan=-np.inf)))
            if in_question[row]:
                pool = f"setting {names[row]}"
                cautious[row][column] = SeedNoise(variance, 1.0, each.df_rest, pool, variance, 1.0)
            else:
                cautious[row][column] = replace(each, variance=variance)
    return cautious


def _pooled(settings: Settings, rows: np.ndarray, pool: str) -> list[list[SeedNoise]]:
    """Seed noise of the settings of one pool, by setting and objective."""
    df_rest = float(settings.df[rows].sum())
    df = float((settings.df * settings.share)[rows].sum()) if rows.sum() > 1 else df_rest
    factor, weight = 1.0, np.inf
    if pool == CALM and len(settings.df) > 1:
        factor = trimming(float(settings.df[rows].mean()) * settings.independent, df * settings.independent)
    square = factor * _weighted(settings.square, settings.df, rows)
    prior = square - _weighted(np.where(np.isfinite(settings.square), settings.rest, np.nan), settings.df, rows)
    if pool == CALM:
        expected = np.maximum(prior, 0.0) + settings.rest[rows]
        with np.errstate(divide="ignore", invalid="ignore"):
            weight = prior_df(settings.square[rows] / expected, settings.df[rows])
    noise = []
    for row in np.flatnonzero(rows):
        own = settings.df[row]
        excess = settings.square[row] - settings.rest[row]
        moderated = prior if np.isinf(weight) else (own * np.nan_to_num(excess) + weight * prior) / (own + weight)
        variance = np.where(np.isfinite(excess), moderated, prior)
        least = min(own + weight, df) if np.isfinite(weight) else df
        noise.append(
            [
                SeedNoise(float(v), float(least), df_rest, pool, float(p), df, float(weight))
                for v, p in zip(variance, prior, strict=True)
            ]
        )
    return noise


def seed_noise(points: Sequence[Point], grids: Mapping[str, Grid], parts: Parts) -> Noise:
    """Seed noise of every point and objective.

    A training that is unstable is so on all objectives, so that noisy settings are found from the frontier's objectives
    together; any other objective may show more of them for itself. A point whose seeds share a checkpoint has none to show
    and lends none.
    """
    noise: Noise = {}
    for size in dict.fromkeys(point.size for point in points):
        here = [point for point in points if point.size == size]
        noise |= {(p.id, name): fixed_checkpoint() for p in here if p.shares_checkpoint for name in grids}
        trained = [point for point in here if not point.shares_checkpoint]
        shown: Doubtful | None = None
        for names in _groups(grids):
            settings, rows = _settings(trained, names, grids, parts)
            if not len(rows):
                continue
            doubts = doubtful(settings)
            if shown is not None:
                doubts |= Doubtful(shown.methods[rows], shown.settings[rows])
            elif grids[names[0]].objective.role in FRONTIER_ROLES:
                shown = Doubtful(np.zeros(len(trained), bool), np.zeros(len(trained), bool))
                shown.methods[rows], shown.settings[rows] = doubts.methods, doubts.settings
            ids, methods = [trained[row].id for row in rows], [trained[row].method for row in rows]
            pooled = of_two_seeds(settings, doubts, moderate(settings, doubts, ids, methods), ids)
            for point, each in zip(ids, pooled, strict=True):
                noise |= {(point, name): value for name, value in zip(names, each, strict=True)}
            noise |= _borrowed(trained, rows, names, noise)
    return noise


def _borrowed(trained: Sequence[Point], rows: list[int], names: Sequence[str], noise: Noise) -> Noise:
    """The calm pool's noise for points with a single seed."""
    calm = next((trained[row].id for row in rows if noise[trained[row].id, names[0]].pool == CALM), None)
    if calm is None:
        return {}
    pool = {name: replace(noise[calm, name], variance=noise[calm, name].prior) for name in names}
    return {(point.id, name): pool[name] for row, point in enumerate(trained) if row not in rows for name in names}


def _groups(grids: Mapping[str, Grid]) -> Iterator[list[str]]:
    """The frontier's objectives together, then each other objective by itself."""
    frontier = [name for name, grid in grids.items() if grid.objective.role in FRONTIER_ROLES]
    if frontier:
        yield frontier
    yield from ([name] for name in grids if name not in frontier)


def _codes(names: Sequence[str]) -> np.ndarray:
    """Numbers of names in the order in which they first appear."""
    code = {name: i for i, name in enumerate(dict.fromkeys(names))}
    return np.array([code[name] for name in names], dtype=int)


def _settings(
    points: Sequence[Point], names: Sequence[str], grids: Mapping[str, Grid], parts: Parts
) -> tuple[Settings, list[int]]:
    """Variances of the points with two seeds or more, and which points these are."""
    rows = [
        row
        for row, point in enumerate(points)
        if any((part := parts.get((point.id, name))) is not None and part.seeds is not None for name in names)
    ]
    square, rest = np.full((len(rows), len(names)), np.nan), np.zeros((len(rows), len(names)))
    df = np.zeros(len(rows))
    for i, row in enumerate(rows):
        for j, name in enumerate(names):
            part = parts.get((points[row].id, name))
            if part is not None and part.seeds is not None:
                square[i, j], rest[i, j] = part.n_seeds * part.seeds, part.n_seeds * part.rest
                df[i] = max(df[i], part.n_seeds - 1)
    chosen = [points[row] for row in rows]
    correlation = objective_correlation(chosen, [grids[name] for name in names]) ** 2
    count = len(names)
    return Settings(
        square,
        rest,
        df,
        _codes([point.method for point in chosen]),
        float(np.mean([along_sweep(chosen, grids[name], items=True) for name in names])),
        float((correlation.sum() - count) / (count * (count - 1))) if count > 1 else 0.0,
    ), rows


def composite_noise(point: Point, settings: Sequence[Point], names: Sequence[str], noise: Noise) -> Noise:
    """Seed noise of a point whose cells come from several settings, one for each seed: that of its noisiest setting.

    Such a point is about the mean of its settings' true values, so that what the settings differ by is no noise.

    Parameters
    ----------
    settings : sequence of Point
        Where its cells come from.
    """
    own: Noise = {}
    for name in names:
        each = [noise[setting.id, name] for setting in settings if (setting.id, name) in noise]
        if each:
            own[point.id, name] = max(each, key=lambda one: (not one.estimable, one.variance))
    return own


def figure_noise(
    figures: Mapping[str, Components], fixed: Collection[str] = (), methods: Mapping[str, str] | None = None
) -> dict[str, SeedNoise]:
    """Seed noise of one figure of each setting, known once per seed (a gap, a refitted rate).

    Parameters
    ----------
    figures : dict of str to Components
        By setting.
    fixed : collection of str
        Those whose seeds share a checkpoint.
    methods : dict of str to str, optional
        The method of each setting, whose settings are then taken to move together with the seeds; by default each setting
        is a method of its own.

    Examples
    --------
    Two methods of two seeds that vary alike lend each other their degrees of freedom.

    >>> from reports.statistics.estimates import components
    >>> parts = {name: components(np.array(v), np.zeros((2, 0))) for name, v in {"DPO": [0.4, 0.6], "KTO": [0.5, 0.7]}.items()}
    >>> round(figure_noise(parts)["DPO"].df, 3)
    2.0
    """
    names = [name for name, part in figures.items() if part.seeds is not None and name not in fixed]
    noise = {name: fixed_checkpoint() for name in figures if name in fixed}
    if not names:
        return noise
    parts = [figures[name] for name in names]
    settings = Settings(
        np.array([[part.n_seeds * (part.seeds or 0.0)] for part in parts]),
        np.array([[part.n_seeds * part.rest] for part in parts]),
        np.array([part.n_seeds - 1.0 for part in parts]),
        _codes([methods[name] if methods else name for name in names]),
        1.0,
        0.0,
    )
    moderated = moderate(settings, doubtful(settings), names, [methods[name] if methods else name for name in names])
    return noise | {name: each[0] for name, each in zip(names, moderated, strict=True)}

"""One joint resampling of seeds and prompts for all points and all objectives.

Every prompt and every seed has its own named random stream, whatever else is in the experiment. So the
same draw serves every point and every objective (what is paired stays paired), and neither the order of
rows nor a method more or less changes anybody else's interval.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from reports.estimates import Components, SeedNoise, Spread
from reports.study import Grid, Point

ROUNDING = 1e-12


def generator(seed: int, *names: str) -> np.random.Generator:
    """The random stream of this name.

    Examples
    --------
    >>> first, second = generator(0, "prompt", "p1"), generator(0, "prompt", "p1")
    >>> bool(first.random() == second.random())
    True
    """
    digest = hashlib.sha256("\x1f".join(names).encode()).digest()
    words = tuple(int.from_bytes(digest[start : start + 4], "little") for start in range(0, 16, 4))
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence(seed, spawn_key=words)))


def varies(draws: np.ndarray) -> bool:
    """Whether draws (first axis) differ by more than rounding; if not, they tell nothing about uncertainty."""
    return bool((np.ptp(draws, axis=0) > ROUNDING * np.maximum(1.0, np.abs(draws).max(axis=0))).any())


def weights(kind: str, names: Sequence, resamples: int, seed: int) -> np.ndarray:
    """Weights of the Bayesian bootstrap (Rubin 1981), shape (resamples, names).

    Rows are Dirichlet(1, ..., 1): independent exponentials divided by their sum, which is what allows
    each name to keep a stream of its own.
    """
    drawn = [generator(seed, kind, str(name)).standard_exponential(resamples) for name in names]
    return np.stack(drawn, axis=1) / np.sum(drawn, axis=0)[:, None]


@dataclass(frozen=True)
class Replicates:
    """What each point's mean might as well have been.

    Two arrays of shape (resamples, points, objectives): `checkpoints` redraws prompts, `method` seeds as
    well. `estimate` (points, objectives) is the mean itself. `df_prompts` and `df_seeds` are the degrees of
    freedom behind either part. `method` is None where no point has two seeds.
    """

    points: tuple[str, ...]
    objectives: tuple[str, ...]
    estimate: np.ndarray
    checkpoints: np.ndarray
    method: np.ndarray | None
    df_prompts: int
    df_seeds: int

    def select(self, points: Sequence[str], objectives: Sequence[str]) -> Replicates:
        """The same replicates for some points and objectives."""
        rows = [self.points.index(point) for point in points]
        columns = [self.objectives.index(name) for name in objectives]
        pick = np.ix_(rows, columns)
        return Replicates(
            tuple(points),
            tuple(objectives),
            self.estimate[pick],
            self.checkpoints[:, rows][:, :, columns],
            None if self.method is None else self.method[:, rows][:, :, columns],
            self.df_prompts,
            self.df_seeds,
        )

    @property
    def best(self) -> np.ndarray:
        """The replicates that answer the wider question that can be answered."""
        return self.checkpoints if self.method is None else self.method


def replicate(
    points: Sequence[Point],
    grids: Sequence[Grid],
    parts: dict[tuple[str, str], Components],
    noise: dict[tuple[str, str], SeedNoise | None],
    resamples: int = 2000,
    seed: int = 0,
) -> Replicates:
    """Draw prompts and seeds jointly.

    The prompts' part is the Bayesian bootstrap of the mean over seeds, with the small-sample factor
    (n + 1)/(n − 1) that makes the replicates' variance the unbiased one. Two or three seeds are too few to
    redraw, so the seeds' part is normal with the pooled variance σ²_seed/S of each objective and the
    pooled correlation between objectives. One draw moves a method's whole sweep, since its points share the data
    order; this is the cautious choice, as independent effects would partly cancel.

    Parameters
    ----------
    parts, noise
        Variance components by (point, objective) and pooled seed noise by (size, objective).
    """
    shape = (resamples, len(points), len(grids))
    value, prompts, wide = np.empty(shape[1:]), np.empty(shape), np.zeros(shape)
    effects = _seed_effects(points, grids, resamples, seed)
    for column, grid in enumerate(grids):
        drawn = _redrawn(grid, resamples, seed)
        for row, point in enumerate(points):
            cells = grid.rows(point.cells)
            value[row, column] = grid.mean[cells].mean() if cells else np.nan
            prompts[:, row, column] = drawn[:, cells].mean(1) if cells else np.nan
            known = noise.get((point.size, grid.objective.name))
            if known is not None and cells:
                effect = effects[point.size, point.method][:, column]
                wide[:, row, column] = np.sqrt(known.variance / len(cells)) * effect
    several = any(known is not None for known in noise.values())
    return Replicates(
        tuple(point.id for point in points),
        tuple(grid.objective.name for grid in grids),
        value,
        prompts,
        prompts + wide if several else None,
        max([len(grid.clusters) for grid in grids if grid.clusters], default=1) - 1,
        min([known.df for known in noise.values() if known is not None], default=0),
    )


def _seed_effects(points, grids, resamples: int, seed: int) -> dict[tuple[str, str], np.ndarray]:
    """Standard normal effects per size and method, (resamples, objectives), correlated as the seeds' deviations are."""
    effects = {}
    for size in dict.fromkeys(point.size for point in points):
        here = [point for point in points if point.size == size]
        values, vectors = np.linalg.eigh(_correlation(here, grids))
        root = vectors * np.sqrt(np.maximum(values, 0.0))
        for name in dict.fromkeys(point.method for point in here):
            drawn = generator(seed, "seeds", size, name).standard_normal((resamples, len(grids)))
            effects[size, name] = drawn @ root.T
    return effects


def _correlation(points, grids) -> np.ndarray:
    """Correlation between objectives of the deviations between a point's seeds, pooled over points."""
    rows = [[grid.rows(point.cells) for grid in grids] for point in points]
    whole = [each for each in rows if len(each[0]) > 1 and all(len(other) == len(each[0]) for other in each)]
    deviations = [
        np.stack([grid.mean[cells] - grid.mean[cells].mean() for grid, cells in zip(grids, each, strict=True)])
        for each in whole
    ]
    if not deviations:
        return np.eye(len(grids))
    covariance = np.concatenate(deviations, axis=1)
    covariance = covariance @ covariance.T
    scale = np.sqrt(np.diag(covariance))
    scale[scale == 0] = np.inf
    correlation = covariance / np.outer(scale, scale)
    np.fill_diagonal(correlation, 1.0)
    return correlation


def _redrawn(grid: Grid, resamples: int, seed: int) -> np.ndarray:
    """Cell means under redrawn prompts, shape (resamples, cells)."""
    n = len(grid.clusters)
    if n < 2:
        return np.broadcast_to(grid.mean, (resamples, len(grid.cells)))
    share = weights("prompt", grid.clusters, resamples, seed)
    with np.errstate(invalid="ignore"):
        means = (share @ grid.total.T) / (share @ grid.count.T)
    return grid.mean + np.sqrt((n + 1) / (n - 1)) * (means - grid.mean)


@dataclass(frozen=True)
class Drawn:
    """A function of all means: its value, and what it is in each draw at either level."""

    value: float
    checkpoints: np.ndarray
    method: np.ndarray | None
    df_prompts: int
    df_seeds: int

    @property
    def draws(self) -> np.ndarray:
        """The draws that answer the wider question that can be answered."""
        return self.checkpoints if self.method is None else self.method

    def __sub__(self, other: Drawn) -> Drawn:
        """The difference draw by draw: what both share cancels."""
        wide = None if self.method is None else self.method - other.method
        return Drawn(
            self.value - other.value, self.checkpoints - other.checkpoints, wide, self.df_prompts, self.df_seeds
        )

    @property
    def spread(self) -> Spread | None:
        """Standard error of the draws. The seeds' share of the variance has few degrees of freedom;
        Satterthwaite's combination widens the interval accordingly."""
        if not varies(self.draws):
            return None
        total, prompts = float(self.draws.var(ddof=1)), float(self.checkpoints.var(ddof=1))
        seeds = max(0.0, total - prompts)
        spoken = prompts**2 / max(self.df_prompts, 1) + seeds**2 / max(self.df_seeds, 1)
        return Spread(float(np.sqrt(total)), total**2 / spoken)


def functional(replicates: Replicates, function: Callable[[np.ndarray], np.ndarray]) -> Drawn:
    """Apply `function`, (draws, points, objectives) -> (draws,), to the means and to every draw."""
    return Drawn(
        float(function(replicates.estimate[None])[0]),
        function(replicates.checkpoints),
        None if replicates.method is None else function(replicates.method),
        replicates.df_prompts,
        replicates.df_seeds,
    )

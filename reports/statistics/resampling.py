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

from reports.grids import Grid, Point
from reports.statistics.estimates import Components, SeedNoise, Spread, components, seed_and_prompt_error

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
    well. `estimate` (points, objectives) is the mean itself. `df_prompts` and `df_seeds` (points, objectives) are the
    degrees of freedom behind either part. `method` is None where no point has two seeds.
    """

    points: tuple[str, ...]
    objectives: tuple[str, ...]
    estimate: np.ndarray
    checkpoints: np.ndarray
    method: np.ndarray | None
    df_prompts: int
    df_seeds: np.ndarray

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
            self.df_seeds[pick],
        )

    @property
    def best(self) -> np.ndarray:
        """The replicates that answer the wider question that can be answered."""
        return self.checkpoints if self.method is None else self.method


def replicate(
    points: Sequence[Point],
    grids: Sequence[Grid],
    parts: dict[tuple[str, str], Components],
    noise: dict[tuple[str, str, str], SeedNoise],
    resamples: int = 2000,
    seed: int = 0,
) -> Replicates:
    """Draw prompts and seeds jointly.

    The prompts' part is the Bayesian bootstrap of the mean over seeds, with the small-sample factor
    (n + 1)/(n − 1) that makes the replicates' variance the unbiased one. Two or three seeds are too few to
    redraw, so the seeds' part is normal with what `estimates.seed_and_prompt_error` adds to the prompts' variance, the pooled
    correlation between objectives, and the pooled correlation along a sweep: its points share the data order, so one
    seed may move all of them.

    Parameters
    ----------
    parts, noise
        Variance components by (point, objective) and seed noise by (size, method, objective).
    """
    shape = (resamples, len(points), len(grids))
    value, prompts, wide = np.empty(shape[1:]), np.empty(shape), np.zeros(shape)
    df_seeds = np.full(shape[1:], np.inf)
    effects = _seed_effects(points, grids, resamples, seed)
    shares = {
        names: weights("prompt", names, resamples, seed)
        for names in {grid.clusters for grid in grids}
        if len(names) > 1
    }
    for column, grid in enumerate(grids):
        drawn = _redrawn(grid, shares.get(grid.clusters), resamples)
        for row, point in enumerate(points):
            cells = grid.rows(point.cells)
            value[row, column] = grid.mean[cells].mean() if cells else np.nan
            prompts[:, row, column] = drawn[:, cells].mean(1) if cells else np.nan
            known = noise.get((point.size, point.method, grid.objective.name))
            if known is not None and cells:
                part = parts[point.id, grid.objective.name]
                spread = seed_and_prompt_error(part, known)
                added = max(spread.se**2 - part.prompts, 0.0) if spread else max(known.variance, 0.0) / len(cells)
                wide[:, row, column] = np.sqrt(added) * effects[point.id][:, column]
                df_seeds[row, column] = known.df
    return Replicates(
        tuple(point.id for point in points),
        tuple(grid.objective.name for grid in grids),
        value,
        prompts,
        prompts + wide if noise else None,
        max([len(grid.clusters) for grid in grids if grid.clusters], default=1) - 1,
        df_seeds,
    )


def _seed_effects(points, grids, resamples: int, seed: int) -> dict[str, np.ndarray]:
    """Standard normal effects per point, (resamples, objectives), correlated between objectives and along a sweep as the
    seeds' deviations are."""
    effects = {}
    for size in dict.fromkeys(point.size for point in points):
        here = [point for point in points if point.size == size]
        values, vectors = np.linalg.eigh(_correlation(here, grids))
        root = vectors * np.sqrt(np.maximum(values, 0.0))
        along = np.array([along_sweep(here, grid) for grid in grids])
        for name in dict.fromkeys(point.method for point in here):
            mine = [point for point in here if point.method == name]
            shared = generator(seed, "seeds", size, name).standard_normal((resamples, len(grids)))
            for point in mine:
                own = generator(seed, "seeds", size, name, point.id).standard_normal((resamples, len(grids)))
                effects[point.id] = np.sqrt(along) * (shared @ root.T) + np.sqrt(1 - along) * (own @ root.T)
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


def along_sweep(points, grid: Grid) -> float:
    """Correlation of the seeds' effects between the points of one method, pooled over methods, in [0, 1].

    Points are other checkpoints with other responses, so that their deviations from their own means covary by the seeds'
    effects alone. The cautious 1 where no method has two points of equal seeds.
    """
    covariance = variance = pairs = rows = 0.0
    for name in dict.fromkeys(point.method for point in points):
        cells = [(point.seeds, grid.rows(point.cells)) for point in points if point.method == name]
        cells = [
            found for seeds, found in cells if len(found) > 1 and seeds == cells[0][0] and len(found) == len(seeds)
        ]
        if len(cells) < 2:
            continue
        means = np.stack([grid.mean[found] for found in cells])
        deviations = means - means.mean(1, keepdims=True)
        products = deviations @ deviations.T / (means.shape[1] - 1)
        sampled = [_sampled(grid, found) for found in cells]
        variance += np.trace(products) - np.sum(sampled)
        covariance += products.sum() - np.trace(products)
        rows, pairs = rows + len(cells), pairs + len(cells) * (len(cells) - 1)
    if not pairs:
        return 1.0
    covariance, variance = covariance / pairs, variance / rows
    return float(np.clip(covariance / variance, 0.0, 1.0)) if variance > 0 else 1.0


def _sampled(grid: Grid, cells: list[int]) -> float:
    """The part of the variance between the seeds' means that single items bring."""
    if not grid.clusters:
        return 0.0
    part = components(grid.mean[cells], grid.influence(cells))
    return part.rest * part.n_seeds


def _redrawn(grid: Grid, share: np.ndarray | None, resamples: int) -> np.ndarray:
    """Cell means under redrawn prompts, shape (resamples, cells); as they are where there is one prompt or none."""
    if share is None:
        return np.broadcast_to(grid.mean, (resamples, len(grid.cells)))
    n = len(grid.clusters)
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
    df_seeds: float

    @property
    def draws(self) -> np.ndarray:
        """The draws that answer the wider question that can be answered."""
        return self.checkpoints if self.method is None else self.method

    def __sub__(self, other: Drawn) -> Drawn:
        """The difference draw by draw: what both share cancels."""
        wide = None if self.method is None else self.method - other.method
        df_seeds = min(self.df_seeds, other.df_seeds)
        return Drawn(self.value - other.value, self.checkpoints - other.checkpoints, wide, self.df_prompts, df_seeds)

    @property
    def spread(self) -> Spread | None:
        """Standard error of the draws. The seeds' share of the variance has few degrees of freedom;
        Satterthwaite's combination widens the interval accordingly."""
        if not varies(self.draws):
            return None
        total, prompts = float(self.draws.var(ddof=1)), float(self.checkpoints.var(ddof=1))
        seeds = max(0.0, total - prompts)
        spoken = prompts**2 / max(self.df_prompts, 1) + seeds**2 / self.df_seeds
        return Spread(float(np.sqrt(total)), total**2 / spoken)


def functional(replicates: Replicates, function: Callable[[np.ndarray], np.ndarray]) -> Drawn:
    """Apply `function`, (draws, points, objectives) -> (draws,), to the means and to every draw."""
    return Drawn(
        float(function(replicates.estimate[None])[0]),
        function(replicates.checkpoints),
        None if replicates.method is None else function(replicates.method),
        replicates.df_prompts,
        float(replicates.df_seeds.min()),
    )

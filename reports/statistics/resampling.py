"""Joint resampling of seeds and prompts for all points and all objectives.

Every prompt and every seed has its own named random stream, whatever else is in the experiment. So the
same draw serves every point and every objective (what is paired stays paired), and neither the order of
rows nor a further method changes the interval of another.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from reports.grids import Grid, Point
from reports.statistics.correlation import along_sweep, objective_correlation
from reports.statistics.estimates import SeedNoise, seed_and_prompt_error
from reports.statistics.variance import Parts

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


def weights(kind: str, names: Sequence[object], resamples: int, seed: int) -> np.ndarray:
    """Weights of the Bayesian bootstrap (Rubin 1981), shape (resamples, names).

    Rows are Dirichlet(1, ..., 1): independent exponentials divided by their sum, which is what allows
    each name to keep a stream of its own.
    """
    return _weights(kind, tuple(map(str, names)), resamples, seed)


@lru_cache(maxsize=1)
def _weights(kind: str, names: tuple[str, ...], resamples: int, seed: int) -> np.ndarray:
    drawn, total = np.empty((resamples, len(names))), np.zeros(resamples)
    for column, name in enumerate(names):
        stream = generator(seed, kind, name).standard_exponential(resamples)
        drawn[:, column] = stream
        total += stream
    drawn /= total[:, None]
    drawn.flags.writeable = False  # the next caller with these names is given the same array
    return drawn


@dataclass(frozen=True)
class Replicates:
    """What each point's mean might as well have been.

    Two arrays of shape (resamples, points, objectives): `checkpoints` redraws prompts, `method` seeds as
    well. `estimate` (points, objectives) is the mean itself. `method` is None where no point has two seeds.
    """

    points: tuple[str, ...]
    objectives: tuple[str, ...]
    estimate: np.ndarray
    checkpoints: np.ndarray
    method: np.ndarray | None

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
        )

    @property
    def best(self) -> np.ndarray:
        """The replicates that answer the wider question that can be answered."""
        return self.checkpoints if self.method is None else self.method


def replicate(
    points: Sequence[Point],
    grids: Sequence[Grid],
    parts: Parts,
    noise: Mapping[tuple[str, str], SeedNoise],
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
        Variance components and seed noise by (point, objective).
    """
    shape = (resamples, len(points), len(grids))
    value, prompts, wide = np.empty(shape[1:]), np.empty(shape), np.zeros(shape)
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
            checkpoint_noise = noise.get((point.id, grid.objective.name))
            if checkpoint_noise is not None and not checkpoint_noise.fixed and cells:
                part = parts[point.id, grid.objective.name]
                spread = seed_and_prompt_error(part, checkpoint_noise)
                added = (
                    max(spread.se**2 - (part.prompts or 0.0), 0.0)
                    if spread
                    else max(checkpoint_noise.variance, 0.0) / len(cells)
                )
                wide[:, row, column] = np.sqrt(added) * effects[point.id][:, column]
    return Replicates(
        tuple(point.id for point in points),
        tuple(grid.objective.name for grid in grids),
        value,
        prompts,
        prompts + wide if any(not each.fixed for each in noise.values()) else None,
    )


def _seed_effects(points: Sequence[Point], grids: Sequence[Grid], resamples: int, seed: int) -> dict[str, np.ndarray]:
    """Standard normal effects per point, (resamples, objectives), correlated between objectives and along a sweep as the
    seeds' deviations are."""
    effects = {}
    for size in dict.fromkeys(point.size for point in points):
        here = [point for point in points if point.size == size]
        values, vectors = np.linalg.eigh(objective_correlation(here, grids))
        root = vectors * np.sqrt(np.maximum(values, 0.0))
        along = np.array([along_sweep(here, grid) for grid in grids])
        for name in dict.fromkeys(point.method for point in here):
            mine = [point for point in here if point.method == name]
            shared = generator(seed, "seeds", size, name).standard_normal((resamples, len(grids)))
            for point in mine:
                own = generator(seed, "seeds", size, name, point.id).standard_normal((resamples, len(grids)))
                effects[point.id] = np.sqrt(along) * (shared @ root.T) + np.sqrt(1 - along) * (own @ root.T)
    return effects


def _redrawn(grid: Grid, share: np.ndarray | None, resamples: int) -> np.ndarray:
    """Cell means under redrawn prompts, shape (resamples, cells); as they are where there is one prompt or none."""
    if share is None:
        return np.broadcast_to(grid.mean, (resamples, len(grid.cells)))
    n = len(grid.clusters)
    with np.errstate(invalid="ignore"):
        means = (share @ grid.total.T) / (share @ grid.count.T)
    return np.asarray(grid.mean + np.sqrt((n + 1) / (n - 1)) * (means - grid.mean))

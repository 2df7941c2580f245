"""Functions of all means of a group of points, such as a hypervolume, with their standard error over prompts and seeds.

A function f of the means is made linear by its regression on the joint draws, f ≈ f(means) + Σ β·(deviation), which averages
the slope over the uncertainty and so is not thrown by the corners of a hypervolume. Every prompt and every seed then has an
influence on f, and f is treated as any other mean: variance components, seed noise moderated by what the settings' own
noise predicts, Satterthwaite's degrees of freedom.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from reports.grids import Grid, Point
from reports.statistics.correlation import along_sweep, objective_correlation
from reports.statistics.estimates import (
    CALM,
    Components,
    SeedNoise,
    Spread,
    checkpoints,
    components,
    fixed_checkpoint,
    satterthwaite,
    seed_and_prompt_error,
)
from reports.statistics.resampling import Replicates, varies

Function = Callable[[np.ndarray], np.ndarray]
"""From means, (draws, points, objectives), to one figure for each draw, (draws,)."""


@dataclass(frozen=True)
class Frame:
    """What the functionals of one model size share: seeds, prompts, seed noise and its correlations.

    `between` is the correlation of the seeds' effects between objectives and `along` that between the settings of one method, by
    objective.
    """

    grids: tuple[Grid, ...]
    seeds: tuple[int, ...]
    clusters: tuple[str, ...]
    noise: Mapping[tuple[str, str], SeedNoise]
    between: np.ndarray
    along: np.ndarray

    @cached_property
    def columns(self) -> tuple[np.ndarray, ...]:
        """For each grid the places of its prompts among all prompts."""
        place = {cluster: i for i, cluster in enumerate(self.clusters)}
        return tuple(np.array([place[cluster] for cluster in grid.clusters], dtype=int) for grid in self.grids)


def frame(points: Sequence[Point], grids: Sequence[Grid], noise: Mapping[tuple[str, str], SeedNoise]) -> Frame:
    """The frame of the points of one model size."""
    trained = [point for point in points if not point.shares_checkpoint]
    return Frame(
        tuple(grids),
        tuple(sorted({seed for point in points for seed in point.seeds})),
        tuple(sorted({cluster for grid in grids for cluster in grid.clusters})),
        noise,
        objective_correlation(trained, grids),
        np.array([along_sweep(trained, grid) for grid in grids]),
    )


@dataclass(frozen=True)
class Functional:
    """A function of all means: its value, its joint draws, and the influence of every seed and prompt on it.

    `means` has one entry a seed and `influence` the shape (seeds, prompts); differences of two functionals of one frame are
    taken entry by entry, so that what both share cancels. `noise` is None where there is one seed.
    """

    value: float
    draws: np.ndarray
    means: np.ndarray
    influence: np.ndarray
    noise: SeedNoise | None

    @property
    def part(self) -> Components:
        return components(self.means, self.influence)

    @property
    def checkpoints(self) -> Spread | None:
        """Error over prompts of exactly these checkpoints; None where the draws do not differ."""
        return checkpoints(self.part) if varies(self.draws) else None

    @property
    def reason(self) -> str:
        """Why several seeds give no error over seeds; empty where they do, and with one seed."""
        return self.noise.reason if self.noise is not None else ""

    @property
    def spread(self) -> Spread | None:
        """Error of the widest question that can be answered."""
        if not varies(self.draws):
            return None
        return seed_and_prompt_error(self.part, self.noise) or checkpoints(self.part)

    @property
    def of_method(self) -> bool:
        """Whether the error includes the seeds."""
        return varies(self.draws) and seed_and_prompt_error(self.part, self.noise) is not None

    def __sub__(self, other: Functional) -> Functional:
        noise = None if self.noise is None or other.noise is None else self.noise + other.noise
        return Functional(
            self.value - other.value,
            self.draws - other.draws,
            self.means - other.means,
            self.influence - other.influence,
            noise,
        )


def functional(draws: Replicates, points: Sequence[Point], shared: Frame, function: Function) -> Functional:
    """Value, draws and influences of `function` of the means of `points`.

    Parameters
    ----------
    draws : Replicates
        Of exactly these points and the frame's objectives.
    """
    value = float(function(draws.estimate[None])[0])
    drawn = function(draws.best)
    slope = _slope(draws.best, drawn)
    seeds, prompts = len(shared.seeds), len(shared.clusters)
    means, influence = np.full(seeds, value), np.zeros((seeds, prompts))
    for point, slopes in zip(points, slope, strict=True):
        for grid, columns, b in zip(shared.grids, shared.columns, slopes, strict=True):
            rows = grid.rows(point.cells)
            if b == 0 or not rows:
                continue
            seen = [shared.seeds.index(s) for s, c in zip(point.seeds, point.cells, strict=True) if grid.rows([c])]
            own = grid.influence(rows) if grid.clusters else np.zeros((len(rows), 0))
            moved, scale = grid.mean[rows] - grid.mean[rows].mean(), seeds / len(rows)
            if point.shares_checkpoint:  # more samples of one checkpoint: no seed of a training is in them
                seen, scale = list(range(seeds)), 1.0
                own, moved = np.broadcast_to(own.mean(0), (seeds, own.shape[1])), np.zeros(seeds)
            means[seen] += b * scale * moved
            if grid.clusters:
                influence[np.ix_(np.asarray(seen), columns)] += b * scale * own * prompts / len(grid.clusters)
    return Functional(value, drawn, means, influence, _noise(points, slope, shared, components(means, influence)))


def _slope(draws: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Slopes of `values` on the draws by least squares, shape (points, objectives)."""
    flat = draws.reshape(len(draws), -1)
    slope, *_ = np.linalg.lstsq(flat - flat.mean(0), values - values.mean(), rcond=1e-10)
    return np.asarray(slope.reshape(draws.shape[1:]))


def _noise(points: Sequence[Point], slope: np.ndarray, shared: Frame, part: Components) -> SeedNoise | None:
    """Seed noise of a functional: what the noise of its settings predicts, moderated by its own where variances differ.

    A setting that the functional does not depend on adds nothing, neither variance nor lack of degrees of freedom.
    """
    each = [[shared.noise.get((p.id, grid.objective.name)) for grid in shared.grids] for p in points]
    trained = [row for row, noise in enumerate(each) if all(n is not None and not n.fixed for n in noise)]
    if not trained:
        return fixed_checkpoint() if part.n_seeds > 1 and all(p.shares_checkpoint for p in points) else None
    if part.seeds is None:
        return None
    names = [points[row].id for row in trained]
    known_noise = [[n for n in each[row] if n is not None] for row in trained]
    covariance = _covariance(slope[trained], known_noise, shared)
    prior, prior_df = float(covariance.sum()), _prior_df(covariance, known_noise)
    own_df = float(max(len(points[row].cells) for row in trained) - 1)
    square, rest = part.n_seeds * (part.seeds or 0.0), part.n_seeds * part.rest
    df_rest = min(n.df_rest for noise in known_noise for n in noise)
    pool = CALM if all(n.pool == CALM for noise in known_noise for n in noise) else " ".join(names)
    weight = float(np.mean([n.weight for noise in known_noise for n in noise]))
    if np.isinf(weight):
        return SeedNoise(prior, prior_df, df_rest, pool, prior, prior_df)
    variance = (own_df * (square - rest) + weight * prior) / (own_df + weight)
    return SeedNoise(variance, min(own_df + weight, prior_df), df_rest, pool, prior, prior_df, weight)


def _covariance(slope: np.ndarray, noise: list[list[SeedNoise]], shared: Frame) -> np.ndarray:
    """What every two settings add to the variance of one seed's effect on the functional, shape (settings, settings)."""
    scaled = slope * np.sqrt(np.maximum([[n.prior for n in row] for row in noise], 0.0))
    root = np.sqrt(shared.along)
    same = np.einsum("ao,op,ap->a", scaled, shared.between, scaled)
    across = np.einsum("ao,op,bp->ab", scaled * root, shared.between, scaled * root)
    np.fill_diagonal(across, same)
    return np.asarray(across)


def _prior_df(covariance: np.ndarray, noise: list[list[SeedNoise]]) -> float:
    """Satterthwaite's degrees of freedom of the predicted variance: each pool counts by what it adds, once."""
    pools = [row[0].pool for row in noise]
    parts = []
    for pool in dict.fromkeys(pools):
        rows = [i for i, each in enumerate(pools) if each == pool]
        parts.append((max(float(covariance[rows].sum()), 0.0), min(n.prior_df for i in rows for n in noise[i])))
    return satterthwaite(parts)

"""Synthetic worlds with a known truth: methods, settings, seeds and prompts as arrays, with faults to inject.

A world gives a `Study` without a training run behind it, so that a thousand of them can pass through `reports.analysis`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache, cached_property

import numpy as np
from scipy import stats

from harness.records import Cell, Measure, Objective, Records, to_frame
from reports.grids import Grid, Point, Study

OBJECTIVES = (
    Objective("win_rate", "Win rate", "maximize", "probability", (0.0, 1.0), "user", 0.0),
    Objective("toxicity", "Toxicity", "minimize", "probability", (0.0, 1.0), "designer", 1.0),
)
LIMITS = (0.001, 0.999)
NODES = 400
"""Quantiles that stand for the law of prompts or seeds where an expectation is computed."""


@dataclass(frozen=True)
class World:
    """Methods × settings of each × seeds × prompts, with known means and the noise of seeds and prompts.

    Parameters
    ----------
    means : ndarray, shape (methods, settings, objectives)
        NaN marks a setting that a method does not have.
    seed_sd : float
        Standard deviation of one seed's effect on a setting.
    scale : ndarray, shape (methods, settings), optional
        Factor on `seed_sd`.
    log_sd : float
        Standard deviation of the logarithm of a further factor, drawn anew for every setting of every world.
    along_sweep : float
        Correlation of the seeds' effects between the settings of one method.
    heavy : bool
        Prompts' effects from Student's t with two degrees of freedom (normal otherwise).
    missing : {"", "random", "informative"}
        A tenth of the items has no value; informative: those that went badly.
    gaps : ndarray, shape (methods, settings), optional
        True gaps to the frontier, measured once per cell with the noise of seeds.
    """

    means: np.ndarray
    seeds: int = 3
    prompts: int = 120
    seed_sd: float = 0.02
    prompt_sd: float = 0.1
    along_sweep: float = 0.5
    scale: np.ndarray | None = None
    log_sd: float = 0.0
    heavy: bool = False
    missing: str = ""
    gaps: np.ndarray | None = None

    @property
    def places(self) -> list[tuple[int, int]]:
        """Method and setting of every point, in the order of `draw`."""
        return [(m, i) for m in range(len(self.means)) for i in range(self.means.shape[1]) if self.has(m, i)]

    def has(self, method: int, setting: int) -> bool:
        return bool(np.isfinite(self.means[method, setting, 0]))

    def scales(self) -> np.ndarray:
        return np.ones(self.means.shape[:2]) if self.scale is None else self.scale

    @property
    def truth(self) -> np.ndarray:
        """Expectation of every point's items over seeds and prompts, shape (points, objectives)."""
        sd = self.seed_sd * self.scales()
        return np.array(
            [_expected(tuple(self.means[m, i]), float(sd[m, i]), self.prompt_sd, self.heavy) for m, i in self.places]
        )

    def _prompt_effects(self, random: np.random.Generator, n: int) -> np.ndarray:
        effects = random.standard_t(2, n) / 2 if self.heavy else random.normal(size=n)
        return self.prompt_sd * effects

    def draw(self, random: np.random.Generator) -> tuple[list[Point], list[Grid]]:
        """Points and one grid for each objective."""
        points, grids, _ = self._draw(random)
        return points, grids

    def _draw(self, random: np.random.Generator) -> tuple[list[Point], list[Grid], np.ndarray]:
        """Points, grids, and the expectation of exactly these checkpoints, shape (points, objectives)."""
        points = [self._point(m, i) for m, i in self.places]
        names = tuple(cell for point in points for cell in point.cells)
        clusters = tuple(f"p{k}" for k in range(self.prompts))
        difficulty = self._prompt_effects(random, self.prompts)
        factor = np.exp(random.normal(0, self.log_sd, self.means.shape[:2])) if self.log_sd else 1.0
        sd = self.seed_sd * self.scales() * factor
        grids, realised = [], []
        for o, objective in enumerate(OBJECTIVES):
            moved = self.means[:, :, None, o] + sd[:, :, None] * self._seed_effects(random)
            moved = moved[np.isfinite(self.means[:, :, 0])]
            sign = 1 if objective.direction == "maximize" else -1
            p = np.clip(moved.reshape(-1, 1) + sign * difficulty, *LIMITS)
            values = (random.random(p.shape) < p).astype(float) if o == 0 else random.beta(4 * p, 4 * (1 - p))
            grids.append(self._grid(objective, names, clusters, values, random))
            nodes = sign * self.prompt_sd * _quantiles(self.heavy)
            realised.append(np.clip(moved[:, :, None] + nodes, *LIMITS).mean((1, 2)))
        return points, grids, np.stack(realised, axis=1)

    def study(self, random: np.random.Generator) -> tuple[Study, np.ndarray]:
        """A draw as the analysis takes it, with gaps as measures; and the truth of exactly these checkpoints."""
        points, grids, realised = self._draw(random)
        records = replace(self._records, measures=to_frame(self._gap_measures(random), Measure))
        return Study(tuple(points), {grid.objective.name: grid for grid in grids}, records), realised

    @cached_property
    def _records(self) -> Records:
        """Records of the cells, which are the same in every draw."""
        cells = [
            Cell(cell, p.id, p.method, p.label, p.size, seed, {}, "w", p.sweep_value, trained_tokens=1, checkpoint=cell)
            for p in (self._point(m, i) for m, i in self.places)
            for seed, cell in zip(p.seeds, p.cells, strict=True)
        ]
        return Records.build(objectives=OBJECTIVES, cells=cells)

    def gap_study(self, random: np.random.Generator) -> Study:
        """A draw of the gaps alone."""
        points = tuple(self._point(m, i) for m, i in self.places)
        records = replace(self._records, measures=to_frame(self._gap_measures(random), Measure))
        return Study(points, {}, records)

    def _gap_measures(self, random: np.random.Generator) -> list[Measure]:
        if self.gaps is None:
            return []
        factor = np.exp(random.normal(0, self.log_sd, self.means.shape[:2])) if self.log_sd else 1.0
        effects = (self.seed_sd * self.scales() * factor)[:, :, None] * self._seed_effects(random)
        return [
            Measure("exact", "gap_at_budget", float(abs(self.gaps[m, i] + effects[m, i, seed])), f"m{m}p{i}s{seed}")
            for m, i in self.places
            for seed in range(self.seeds)
        ]

    def _point(self, m: int, i: int) -> Point:
        cells = tuple(f"m{m}p{i}s{s}" for s in range(self.seeds))
        runs = tuple(range(self.seeds))
        return Point(f"m{m}p{i}", f"m{m}", f"m{m} w={i}", "tiny", "w", float(i), {}, cells, runs, self.seeds, "")

    def _seed_effects(self, random: np.random.Generator) -> np.ndarray:
        methods, settings, _ = self.means.shape
        shared, own = (random.normal(size=(methods, count, self.seeds)) for count in (1, settings))
        return np.sqrt(self.along_sweep) * shared + np.sqrt(1 - self.along_sweep) * own

    def _grid(self, objective: Objective, names, clusters, values: np.ndarray, random: np.random.Generator) -> Grid:
        seen = np.ones_like(values)
        if self.missing:
            bad = 1 - values if objective.direction == "maximize" else values
            chance = 0.1 * (bad / bad.mean() if self.missing == "informative" else np.ones_like(bad))
            seen = (random.random(values.shape) >= np.minimum(chance, 1)).astype(float)
        total, count = values * seen, seen
        return Grid(objective, names, clusters, total, count, 1 - seen, total.sum(1) / count.sum(1), {})


@cache
def _quantiles(heavy: bool) -> np.ndarray:
    """Equally likely values of a prompt's effect, in its standard deviations."""
    levels = (np.arange(NODES) + 0.5) / NODES
    return stats.t.ppf(levels, 2) / 2 if heavy else stats.norm.ppf(levels)


@cache
def _expected(means: tuple[float, ...], seed_sd: float, prompt_sd: float, heavy: bool) -> tuple[float, ...]:
    """Expectation of an item over seeds and prompts, the cut at the limits included."""
    effects = seed_sd * _quantiles(False)[:, None] + prompt_sd * _quantiles(heavy)
    return tuple(float(np.clip(mean + effects, *LIMITS).mean()) for mean in means)


def trade_off(methods: int, settings: int, step: float = 0.03) -> np.ndarray:
    """Means of a trade-off for each method, each method `step` behind the one before."""
    along = np.linspace(0, 1, settings)
    return np.array(
        [np.stack([0.75 - 0.2 * along - step * m, 0.45 - 0.25 * along + step * m], axis=1) for m in range(methods)]
    )


def alike(methods: int, settings: int = 1, at: tuple[float, float] = (0.7, 0.3)) -> np.ndarray:
    """Means of methods and settings that are all the same."""
    return np.tile(list(at), (methods, settings, 1))


def spread_world(methods: int = 3, count: int = 3, **options) -> World:
    """A trade-off per method, each a little behind the one before."""
    return World(trade_off(methods, count), **options)


def null_world(methods: int = 3, count: int = 1, **options) -> World:
    """All methods alike."""
    return World(alike(methods, count), **options)


def _unstable(methods: int, settings: int, who: Mapping[tuple[int, ...], float]) -> np.ndarray:
    scale = np.ones((methods, settings))
    for place, factor in who.items():
        scale[place] = factor
    return scale


def _unequal(methods: int, settings: int, single: tuple[int, ...]) -> np.ndarray:
    means = alike(methods, settings)
    means[list(single), 1:] = np.nan
    return means


def _ahead(methods: int, settings: int, by: float) -> np.ndarray:
    means = alike(methods, settings)
    means[0] += [by, -by]
    return means


def worlds() -> dict[str, World]:
    """The worlds of the calibration, by what is special about each."""
    steady = World(trade_off(4, 3), gaps=0.1 + 0.03 * np.tile(np.arange(4)[:, None], (1, 3)))
    null = World(alike(7, 4), gaps=np.full((7, 4), 0.15))
    noisy, one = _unstable(4, 3, {(3,): 5.0}), _unstable(4, 4, {(3, 1): 5.0})
    four = World(trade_off(4, 4), gaps=0.1 + 0.03 * np.tile(np.arange(4)[:, None], (1, 4)))
    unequal = World(_unequal(3, 8, (2,)), seeds=3)
    return {
        "equal noise, 2 seeds": replace(steady, seeds=2),
        "equal noise, 3 seeds": steady,
        "equal noise, 5 seeds": replace(steady, seeds=5),
        "no seed noise, 2 seeds": replace(steady, seeds=2, seed_sd=0.0),
        "one seed": replace(steady, seeds=1, seed_sd=0.0, gaps=None),
        "one noisy method, 2 seeds": replace(steady, seeds=2, scale=noisy),
        "one noisy method, 3 seeds": replace(steady, scale=noisy),
        "one noisy method, 5 seeds": replace(steady, seeds=5, scale=noisy),
        "log-normal noise, 3 seeds": replace(steady, log_sd=0.4),
        "one unstable setting, 2 seeds": replace(four, seeds=2, scale=one),
        "one unstable setting, 3 seeds": replace(four, scale=one),
        "one unstable setting, 5 seeds": replace(four, seeds=5, scale=one),
        "toxicity near 0": replace(steady, means=steady.means * [1, 0.08], gaps=None),
        "heavy-tailed prompts": replace(steady, heavy=True, gaps=None),
        "missing at random": replace(steady, missing="random", gaps=None),
        "missing where it went badly": replace(steady, missing="informative", gaps=None),
        "unequal sweeps, seed noise": unequal,
        "unequal sweeps, no seed noise": replace(unequal, seed_sd=0.0),
        "null, 2 seeds": replace(null, seeds=2),
        "null, 3 seeds": null,
        "null, 5 seeds": replace(null, seeds=5),
        "null, no seed noise": replace(null, seed_sd=0.0),
        "null, one noisy method": replace(null, scale=_unstable(7, 4, {(6,): 5.0})),
        "one method ahead, 2 seeds": replace(null, seeds=2, means=_ahead(7, 4, 0.1), gaps=_gap_ahead(7, 4, 0.1)),
        "one method ahead, 5 seeds": replace(null, seeds=5, means=_ahead(7, 4, 0.1), gaps=_gap_ahead(7, 4, 0.1)),
        "choosing, 2 seeds": World(_unequal(2, 8, (1,)), seeds=2, seed_sd=0.06),
        "choosing, 5 seeds": World(_unequal(2, 8, (1,)), seeds=5, seed_sd=0.06),
    }


def _gap_ahead(methods: int, settings: int, by: float) -> np.ndarray:
    gaps = np.full((methods, settings), 0.15)
    gaps[0] -= by
    return gaps

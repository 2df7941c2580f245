"""Counts of one draw of a world that passes through the report's own analysis.

Counted are how often an interval contains the truth (95 % are due), how often a true null is called a difference (5 % at
most), how often a claim has the wrong direction, and how often a true difference is found.
"""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Mapping, Sequence

import numpy as np

from reports.analysis import basis, comparisons, could_be_best, point_results, primary_levels
from reports.frontiers import frontier
from reports.frontiers.gaps import gap_ranks
from reports.frontiers.held_out import reported
from reports.frontiers.methods import hypervolume_comparisons, volumes_of
from reports.frontiers.selection import chosen_by_others, halves, means
from reports.grids import Grid, Point
from reports.nightly.gate import Level, Verdict, judge
from reports.results import GapRank, HypervolumeComparison, PointResult
from reports.statistics.estimates import Estimate, Spread, estimate
from reports.statistics.length_control import refit
from reports.statistics.resampling import weights
from reports.statistics.seed_noise import seed_noise
from reports.statistics.variance import variance_parts
from reports.statistics.verdicts import ALPHA, NOT_COMPARABLE, Comparison, compare, decide
from tests.performance.worlds import OBJECTIVES, World
from tests.reports import nights

DRAWS = 200
CLAIMS = ("better", "worse")
Figures = dict[str, tuple[float, int]]
"""Sum and number of what was counted in one replication, by name."""


class Tally:
    """Sums and numbers of what one replication counts."""

    def __init__(self) -> None:
        self._values: dict[str, list[float]] = defaultdict(list)

    def add(self, name: str, value: float) -> None:
        self._values[name].append(float(value))

    def figures(self) -> Figures:
        return {name: (sum(values), len(values)) for name, values in self._values.items()}


def replication(world: World, index: int, draws: int = DRAWS) -> Figures:
    """One world drawn and analysed, as far as it is counted; what is counted of it."""
    study, realised = world.study(np.random.default_rng([index, len(world.places)]))
    base = basis(study, draws, seed=index)
    volumes = volumes_of(study, base.points, base.draws, base.objectives, base.noise, base.seed)
    source = reported(study, base.points, base.objectives, base.parts, base.noise, None, base.seed)
    levels = primary_levels(study, base.points, base.objectives)
    tally = Tally()
    _intervals(tally, study.points, point_results(base), world, realised)
    _bold(tally, study.points, could_be_best(study, base.noise), world)
    _hypervolumes(tally, hypervolume_comparisons(volumes, base.objectives, levels), world)
    _comparisons(tally, study.points, comparisons(base, source), world)
    return tally.figures()


def gap_replication(world: World, index: int) -> Figures:
    """The ranking by gap alone, which takes a tenth of the time."""
    study = world.gap_study(np.random.default_rng([index, len(world.places)]))
    tally = Tally()
    _gaps(tally, gap_ranks(study, {}, {"tiny": ALPHA / 2}, seed=index), world)
    return tally.figures()


def choice_replication(world: World, index: int) -> Figures:
    """The choice of settings alone: what the chosen are measured at on the test prompts, less what they truly are."""
    study, _ = world.study(np.random.default_rng([index, len(world.places)]))
    sides = halves(study.grids)
    assert sides is not None
    truth = {point.id: truth for point, truth in zip(study.points, world.truth, strict=True)}
    origin = {cell: point.id for point in study.points for cell in point.cells}
    tally = Tally()
    sign = [1 if objective.direction == "maximize" else -1 for objective in OBJECTIVES]
    for method in study.methods:
        settings = study.select("tiny", method)
        if len(settings) > 1:
            chosen = chosen_by_others(settings, sides.validation, OBJECTIVES)
            true = np.mean([truth[origin[cell]] for cell in chosen.cells], axis=0)
            tally.add("bias of the chosen", float(np.mean(sign * (means([chosen], sides.test, OBJECTIVES)[0] - true))))
    return tally.figures()


def _contains(found: Estimate, truth: float) -> bool:
    return found.low is not None and found.high is not None and found.low - 1e-12 <= truth <= found.high + 1e-12


def _intervals(
    tally: Tally, points: Sequence[Point], results: Mapping[str, PointResult], world: World, realised: np.ndarray
) -> None:
    """Intervals of points: of these checkpoints, and of the method, unstable settings apart."""
    scales = world.scales()
    for (m, i), point, truth, own in zip(world.places, points, world.truth, realised, strict=True):
        result = results[point.id]
        kind = "unstable" if scales[m, i] > 1 else "calm"
        for o, objective in enumerate(OBJECTIVES):
            tally.add("checkpoints covered", _contains(result.checkpoints[objective.name], own[o]))
            wide = result.method[objective.name]
            if len(point.seeds) < 2:
                continue
            shown = wide is not None and wide.low is not None
            tally.add(f"method shown, {kind}", shown)
            tally.add(f"method covered or not shown, {kind}", not shown or _contains(wide, truth[o]))
            if shown:
                tally.add(f"method covered, {kind}", _contains(wide, truth[o]))


def _bold(tally: Tally, points: Sequence[Point], bold: Mapping[tuple[str, str], frozenset[str]], world: World) -> None:
    """Whether some point that is truly best is not bold."""
    truth = world.truth
    for o, objective in enumerate(OBJECTIVES):
        gain = truth[:, o] * (1 if objective.direction == "maximize" else -1)
        best = [point.id for point, value in zip(points, gain, strict=True) if value > gain.max() - 1e-9]
        tally.add("a best point not bold", not set(best) <= bold["tiny", objective.name])


def _volume(world: World, method: str, k: int) -> float:
    """True expected hypervolume of `k` of a method's settings drawn at random."""
    rows = [row for row, (m, _) in enumerate(world.places) if f"m{m}" == method]
    subsets = itertools.combinations(rows, min(k, len(rows)))
    return float(np.mean([frontier.hypervolume(world.truth[list(subset)], OBJECTIVES) for subset in subsets]))


def _claims(tally: Tally, kind: str, verdicts: list[tuple[str, float]]) -> None:
    """Claims beside true differences (first − second, positive where the first is better)."""
    null = [word for word, truth in verdicts if abs(truth) < 1e-9]
    real = [(word, truth) for word, truth in verdicts if abs(truth) >= 1e-9]
    if null:
        tally.add(f"false verdict, {kind}", any(word in CLAIMS for word in null))
    for word, truth in real:
        tally.add(f"power, {kind}", word == ("better" if truth > 0 else "worse"))
    if real:
        wrong = [word in CLAIMS and (word == "better") != (truth > 0) for word, truth in real]
        tally.add(f"wrong direction, {kind}", any(wrong))


def _hypervolumes(tally: Tally, compared: Sequence[HypervolumeComparison], world: World) -> None:
    """Hypervolumes at equal numbers of settings: intervals, words, and whether they agree."""
    sizes = {f"m{m}": sum(world.has(m, i) for i in range(world.means.shape[1])) for m in range(len(world.means))}
    verdicts, covered = [], []
    for c in compared:
        k = min(sizes[c.first], sizes[c.second])
        truth = _volume(world, c.first, k) - _volume(world, c.second, k)
        verdicts.append((c.verdict, truth))
        if c.verdict != NOT_COMPARABLE and c.difference.low is not None and c.difference.high is not None:
            covered.append(_contains(c.difference, truth))
            excludes = c.difference.low > 0 or c.difference.high < 0
            tally.add("word and interval disagree", excludes != (c.verdict in CLAIMS))
            tally.add("interval leaves the possible", c.difference.low < -1 or c.difference.high > 1)
    if covered:
        tally.add("all hypervolume differences covered", all(covered))
        tally.add("hypervolume difference covered", float(np.mean(covered)))
    _claims(tally, "hypervolume", verdicts)


def _gaps(tally: Tally, ranks: list[GapRank], world: World) -> None:
    """The ranking by gap, each method against the first."""
    assert world.gaps is not None
    truth = {f"m{m}": float(np.nanmin(world.gaps[m])) for m in range(len(world.gaps))}
    first = ranks[0].method
    # a larger gap is worse; a method that is not separable from the first has no claim
    words = [("worse" if row.tied is False else "", truth[first] - truth[row.method]) for row in ranks[1:]]
    _claims(tally, "gap", words)
    tied = [row.tied for row in ranks if row.tied is not None]
    tally.add("a worse above a not separable gap", any(a is False and b for a, b in itertools.pairwise(tied)))
    for row in ranks:
        tally.add("gap shown", row.gap.low is not None)
        if row.gap.low is not None and row.gap.high is not None:
            tally.add("gap covered", _contains(row.gap, truth[row.method]))
            tally.add("interval leaves the possible", row.gap.low < 0 or row.gap.high > 1)


def _comparisons(tally: Tally, points: Sequence[Point], compared: Sequence[Comparison], world: World) -> None:
    """Chosen points against each other, one objective at a time."""
    truth = dict(zip((point.id for point in points), world.truth, strict=True))
    verdicts = []
    for c in compared:
        o = [objective.name for objective in OBJECTIVES].index(c.objective)
        sign = 1 if OBJECTIVES[o].direction == "maximize" else -1
        sides = [
            np.mean([truth[p][o] for p in chosen or (point,)])
            for point, chosen in zip((c.first, c.second), c.settings, strict=True)
        ]
        difference = float(sides[0] - sides[1])
        verdicts.append((c.verdict, sign * difference))
        if c.difference is not None:
            tally.add("paired difference covered", _contains(c.difference, difference))
            if c.difference.low is not None and c.difference.high is not None:
                tally.add("interval leaves the possible", c.difference.low < -1 or c.difference.high > 1)
    _claims(tally, "points", verdicts)


# --- smaller simulations that the tests use as well


def parts_and_noise(points: list[Point], grids: list[Grid]):
    """Variance components and seed noise, as the report computes them."""
    by_name = {grid.objective.name: grid for grid in grids}
    parts = variance_parts(points, by_name)
    return parts, seed_noise(points, by_name, parts)


def power(effects, replications: int, prompts: int = 120, seed: int = 0) -> dict[float, float]:
    """Share of worlds in which a true effect on the win rate is called better, two methods, three seeds."""
    shares = {}
    for effect in effects:
        random = np.random.default_rng([seed, int(1000 * effect)])
        world = World(np.array([[[0.6 + effect, 0.3]], [[0.6, 0.3]]]), prompts=prompts)
        called = 0
        for _ in range(replications):
            points, grids = world.draw(random)
            _, noise = parts_and_noise(points, grids)
            decided = decide([compare(*points, grids[0], noise)], {p.id: p for p in points}, {"win_rate": grids[0]})
            called += decided[0].verdict == "better"
        shares[float(effect)] = called / replications
    return shares


def length_control_coverage(replications: int, prompts: int = 200, seed: int = 0) -> float:
    """Share of length-controlled intervals that contain σ(θ), one seed, a judge that likes length."""
    random = np.random.default_rng(seed)
    theta, phi, hits = 0.4, 0.8, 0
    for index in range(replications):
        difference = random.normal(8, 12, prompts)
        wins = (random.random(prompts) < 1 / (1 + np.exp(-(theta + phi * np.tanh(difference / 12))))).astype(float)
        share = weights("prompt", range(prompts), DRAWS, index)
        value, draws, _ = refit(wins, difference, 12.0, share * prompts)
        se = float(draws.std(ddof=1) * np.sqrt((prompts + 1) / (prompts - 1)))
        hits += _contains(estimate(value, Spread(se, prompts - 1), (0.0, 1.0)), 1 / (1 + np.exp(-theta)))
    return hits / replications


def gate_night(index: int, seeds: int, seed_sd: float = nights.SEED_SD) -> Figures:
    """One night on which nothing changed: whether it fails, whether it warns, and p-values below 0.05."""
    random = np.random.default_rng([seeds, index])
    prompts = nights.prompts(random)
    baseline, run = (nights.night(random, prompts, seeds=seeds, seed_sd=seed_sd) for _ in range(2))
    result = judge(nights.stored(run), nights.stored(baseline, "baseline"), resamples=100)
    p = [row.p for row in result.differences if row.p is not None]
    return {
        "failed nights": (float(result.verdict is Verdict.REGRESSION), 1),
        "nights with a warning": (float(result.verdict is Verdict.WARNING), 1),
        "nights with a warned difference": (float(bool(result.at(Level.WARN))), 1),
        "p below 0.05": (float(np.sum(np.array(p) < 0.05)), len(p)),
    }

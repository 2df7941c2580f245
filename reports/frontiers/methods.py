"""Methods against each other and against the truth: hypervolumes, other indicators, equal budget, gaps."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

import numpy as np

from harness.records import Objective
from reports.frontiers import frontier, indicators
from reports.frontiers.planes import planes, true_points
from reports.frontiers.selection import common_budget
from reports.grids import Point, Study
from reports.results import HypervolumeComparison, MethodResult, PointResult
from reports.statistics.estimates import Estimate, components, estimate, seed_and_prompt_error
from reports.statistics.functionals import Frame, Function, Functional, frame, functional
from reports.statistics.resampling import Replicates, generator, varies
from reports.statistics.seed_noise import Noise, figure_noise
from reports.statistics.simultaneous import adjusted_p
from reports.statistics.verdicts import NOT_COMPARABLE, NOT_SEPARABLE, simultaneous, word
from reports.text import display_name

SUBSETS = 60
"""Random subsets that stand for all of them where there are too many to count."""
UNBOUNDED = (0.0, np.inf)


class Volumes:
    """Functionals of the methods of one size, each computed once.

    Parameters
    ----------
    draws : Replicates
    groups : dict of str to list of Point
        The points of each method.
    objectives : sequence of Objective
    shared : Frame
    seed : int
        Root of the random subsets where there are too many settings to count all.
    """

    def __init__(
        self,
        draws: Replicates,
        groups: dict[str, list[Point]],
        objectives: Sequence[Objective],
        shared: Frame,
        seed: int,
    ) -> None:
        self.draws, self.groups, self.frame, self.seed = draws, groups, shared, seed
        self._objectives = objectives
        self._known: dict[tuple[str, int], Functional] = {}

    def of(self, method: str, k: int) -> Functional:
        """Expected hypervolume of k of the method's settings drawn at random; of all it has where these are fewer."""
        points = self.groups[method]
        k = min(k, len(points))
        if (method, k) not in self._known:
            self._known[method, k] = volume(self.draws, points, self._objectives, self.frame, k, self.seed)
        return self._known[method, k]

    def count(self, method: str) -> int:
        """Number of settings."""
        return len(self.groups[method])

    @property
    def budget(self) -> int:
        """The number of settings at which all methods are compared."""
        return common_budget(map(len, self.groups.values()))


def volumes_of(
    study: Study,
    points: Sequence[Point],
    draws: Replicates | None,
    objectives: Sequence[Objective],
    noise: Noise,
    seed: int,
) -> dict[str, Volumes]:
    """The methods of every size with their joint draws; empty where nothing was drawn."""
    volumes: dict[str, Volumes] = {}
    if draws is None:
        return volumes
    for size in study.sizes:
        here = [point for point in points if point.size == size]
        groups = {name: [point for point in here if point.method == name] for name in study.methods}
        groups = {name: members for name, members in groups.items() if members}
        if groups:
            shared = frame(here, [study.grids[objective.name] for objective in objectives], noise)
            volumes[size] = Volumes(draws, groups, objectives, shared, seed)
    return volumes


def method_results(
    study: Study,
    volumes: Mapping[str, Volumes],
    objectives: Sequence[Objective],
    results: Mapping[str, PointResult],
    noise: Noise,
) -> list[MethodResult]:
    """Every method at every size."""
    return [
        result
        for size, methods in volumes.items()
        for result in _results(study, size, methods, objectives, results, noise)
    ]


def _results(
    study: Study,
    size: str,
    volumes: Volumes,
    objectives: Sequence[Objective],
    results: Mapping[str, PointResult],
    noise: Noise,
) -> list[MethodResult]:
    stated = _stated(objectives)
    budget, draws, groups = volumes.budget, volumes.draws, volumes.groups
    gaps = _gaps(study, groups)
    largest = _probability_largest({n: volumes.of(n, budget).draws for n in groups}) if stated else {}
    here = list(itertools.chain.from_iterable(groups.values()))
    frames = {
        subset: frame(here, [study.grids[objective.name] for objective in subset], noise)
        for subset in (_subsets(objectives) if stated else [])
    }
    methods = []
    for name, members in groups.items():
        ids = [point.id for point in members]
        indicator = _indicators(draws, members, objectives, volumes.frame) if stated else {}
        distance = _against_truth(study, draws, members, objectives)
        methods.append(
            MethodResult(
                size=size,
                method=name,
                label=method_label(members),
                points=tuple(ids),
                on_frontier=sum(bool(results[member].on_frontier) for member in ids),
                hypervolume=_hypervolumes(draws, members, frames),
                probability_largest=largest.get(name),
                equal_budget=_equal_budget(draws, ids, objectives, volumes.seed) if stated else (),
                at_budget=volume_estimate(volumes.of(name, budget), objectives) if stated else None,
                budget=min(budget, len(members)),
                mean_inner_product=indicator.get("mean_inner_product"),
                sparsity=indicator.get("sparsity"),
                spacing=indicator.get("spacing"),
                gap=gaps[name][0] if name in gaps else None,
                smallest_gap=gaps[name][1] if name in gaps else None,
                epsilon=distance.get("epsilon"),
                igd_plus=distance.get("igd_plus"),
            )
        )
    return methods


def hypervolume_comparisons(
    volumes: Mapping[str, Volumes], objectives: Sequence[Objective], alphas: Mapping[str, float]
) -> list[HypervolumeComparison]:
    """Every pair of methods of a size by hypervolume at equal numbers of settings; empty without a reference point.

    Parameters
    ----------
    alphas : dict of str to float
        By size, the share of the primary family's error rate that goes to hypervolumes.
    """
    if not _stated(objectives):
        return []
    return [pair for size, methods in volumes.items() for pair in _pairs(size, methods, objectives, alphas[size])]


def _stated(objectives: Sequence[Objective]) -> bool:
    return bool(objectives) and all(objective.reference_point is not None for objective in objectives)


def _hypervolumes(
    draws: Replicates, members: Sequence[Point], frames: Mapping[tuple[Objective, ...], Frame]
) -> dict[tuple[str, ...], Estimate]:
    """Hypervolumes of a whole sweep on all objectives together, then in each plane."""
    return {
        tuple(objective.name for objective in subset): volume_estimate(
            volume(draws, members, subset, shared, len(members), 0), subset
        )
        for subset, shared in frames.items()
    }


def _pairs(size: str, volumes: Volumes, objectives: Sequence[Objective], alpha: float) -> list[HypervolumeComparison]:
    """All pairs of methods, each at the number of settings that both have.

    One family: the studentized range over all methods, so that the best may be chosen by the data and the interval shown is
    the one that decides.
    """
    box = _box(objectives)
    compared = []
    for first, second in itertools.combinations(volumes.groups, 2):
        k = min(volumes.count(first), volumes.count(second))
        difference = volumes.of(first, k) - volumes.of(second, k)
        compared.append(_compared(size, first, second, k, difference, len(volumes.groups), alpha, box))
    return compared


def _compared(
    size: str, first: str, second: str, k: int, difference: Functional, methods: int, alpha: float, box: float
) -> HypervolumeComparison:
    draws, spread = difference.draws, difference.spread
    probability = float(np.mean(draws > 0) + 0.5 * np.mean(draws == 0))
    plain = estimate(difference.value, spread)
    verdict, p, note = NOT_SEPARABLE, None, ""
    if difference.reason:
        verdict, note = NOT_COMPARABLE, difference.reason
        plain = replace(plain, method="t, these checkpoints")
    elif spread is None:
        verdict = NOT_SEPARABLE if difference.value == 0 else NOT_COMPARABLE
    else:
        plain = simultaneous(plain, spread, methods, alpha, (-box, box))
        p, verdict = adjusted_p(difference.value / spread.se, methods, spread.df), word(plain, 1)
    if plain.low is not None and plain.high is not None:
        plain = replace(plain, low=max(plain.low, -box), high=min(plain.high, box))
    return HypervolumeComparison(size, first, second, plain, probability, p, verdict, k, note)


def _subsets(objectives: Sequence[Objective]) -> list[tuple[Objective, ...]]:
    """All frontier objectives together, then each user × designer pair."""
    return [tuple(objectives), *(planes(objectives) if len(objectives) > 2 else [])]


def volume(
    draws: Replicates,
    points: Sequence[Point],
    objectives: Sequence[Objective],
    shared: Frame,
    k: int | None = None,
    seed: int = 0,
) -> Functional:
    """Expected hypervolume of k of some points drawn at random (of all by default), and what it is in every draw."""
    part = draws.select([point.id for point in points], [objective.name for objective in objectives])
    k = len(points) if k is None else k
    return functional(part, points, shared, lambda values: _expected(values, k, objectives, seed))


def _expected(values: np.ndarray, k: int, objectives: Sequence[Objective], seed: int) -> np.ndarray:
    """`frontier.expected_hypervolumes`, over random subsets where there are too many boxes to count."""
    n, dimensions = values.shape[1:]
    if k >= n or n**dimensions <= frontier.MOST_CELLS:
        return frontier.expected_hypervolumes(values, k, objectives)
    random = generator(seed, "settings", str(n), str(k))
    subsets = [random.choice(n, k, replace=False) for _ in range(SUBSETS)]
    return np.asarray(np.mean([frontier.hypervolumes(values[:, subset], objectives) for subset in subsets], axis=0))


def _box(objectives: Sequence[Objective]) -> float:
    """The largest possible hypervolume: from the reference point to the best corner."""
    sides = [abs(o.best - (o.reference_point if o.reference_point is not None else np.nan)) for o in objectives]
    return float(np.prod(sides))


def volume_estimate(drawn: Functional, objectives: Sequence[Objective]) -> Estimate:
    """A hypervolume with its interval, between 0 and the box from the reference point to the best corner."""
    return _estimated(drawn, (0.0, _box(objectives)))


def _estimated(drawn: Functional, bounds: tuple[float, float]) -> Estimate:
    what = ", seeds and prompts" if drawn.of_method else ", prompts"
    if drawn.reason:
        what = f", these checkpoints; {drawn.reason}"
    prompts = drawn.influence.shape[1]
    return estimate(drawn.value, drawn.spread, bounds, n_clusters=prompts if drawn.spread else 0, what=what)


def _indicators(
    draws: Replicates, points: Sequence[Point], objectives: Sequence[Objective], shared: Frame
) -> dict[str, Estimate]:
    """Mean inner product, sparsity and spacing of a method's points."""
    part = draws.select([point.id for point in points], [objective.name for objective in objectives])
    reach = float(max(abs(o.best - (o.reference_point or 0.0)) for o in objectives))
    each = {
        "mean_inner_product": (indicators.mean_inner_product, (-np.inf, reach)),
        "sparsity": (indicators.sparsity, UNBOUNDED),
        "spacing": (indicators.spacing, UNBOUNDED),
    }

    def measured(function: Function) -> Functional:
        return functional(part, points, shared, lambda values: function(indicators.gains(values, objectives)))

    return {
        name: _estimated(measured(function), bounds)
        for name, (function, bounds) in each.items()
        if name == "mean_inner_product" or len(points) > 1
    }


def _probability_largest(draws: dict[str, np.ndarray]) -> dict[str, float]:
    """Share of draws in which each method's hypervolume is the largest; empty if the draws do not differ."""
    if len(draws) < 2:
        return {}
    table = np.stack(list(draws.values()))
    if not varies(table.T):
        return {}
    top = table == table.max(0)
    return dict(zip(draws, (top / top.sum(0)).mean(1).tolist(), strict=True))


def _equal_budget(
    draws: Replicates, members: Sequence[str], objectives: Sequence[Objective], seed: int
) -> tuple[float, ...]:
    """Expected hypervolume of k of the method's configurations drawn at random, k = 1, 2, ..."""
    values = draws.select(members, [objective.name for objective in objectives]).estimate[None]
    return tuple(float(_expected(values, k, objectives, seed)[0]) for k in range(1, min(len(members), 12) + 1))


def _seed_gaps(study: Study, members: Sequence[Point]) -> np.ndarray:
    """Gaps of a method's points (columns) for the seeds that all of them have (rows)."""
    measures = study.records.measures
    gaps = measures[(measures.group == "exact") & (measures.name == "gap")].set_index("cell").value
    runs = sorted({run for point in members for run in point.seeds})
    each = [{run: gaps.get(c) for run, c in zip(point.seeds, point.cells, strict=True)} for point in members]
    rows = [[gaps_by_run.get(run) for gaps_by_run in each] for run in runs]
    return np.array([row for row in rows if None not in row], dtype=float)


def _gaps(study: Study, groups: dict[str, list[Point]]) -> dict[str, tuple[Estimate, float]]:
    """Mean gap of every method over its points, with an interval over seeds, and its smallest."""
    tables = {name: table for name, members in groups.items() if len(table := _seed_gaps(study, members))}
    parts = {name: components(table.mean(1), np.zeros((len(table), 0))) for name, table in tables.items()}
    fixed = [name for name, members in groups.items() if all(point.shares_checkpoint for point in members)]
    noise = figure_noise(parts, fixed)
    gaps = {}
    for name, part in parts.items():
        method_noise = noise.get(name)
        what = f"; {method_noise.reason}" if method_noise is not None and method_noise.reason else ""
        spread = seed_and_prompt_error(part, method_noise)
        found_gap = estimate(
            part.value, spread, (0.0, 1.0), n=len(tables[name]), n_clusters=0, what=" over seeds" + what
        )
        gaps[name] = found_gap, float(tables[name].mean(0).min())
    return gaps


def _against_truth(
    study: Study, draws: Replicates, members: Sequence[Point], objectives: Sequence[Objective]
) -> dict[str, float]:
    """Distance of a method's set from the true frontier."""
    budget = _budget_for(study, members)
    if budget is None or not objectives:
        return {}
    true = true_points(study.records, budget, objectives)
    mine = draws.select([p.id for p in members], [objective.name for objective in objectives]).estimate
    return {
        "epsilon": frontier.additive_epsilon(mine, true, objectives),
        "igd_plus": frontier.igd_plus(mine, true, objectives),
    }


def _budget_for(study: Study, points: Sequence[Point]) -> float | None:
    """The smallest KL budget of the truth that covers these points' KL, else the largest."""
    budgets = sorted(study.records.truth.budget.unique())
    if not budgets:
        return None
    measures = study.records.measures
    kl = measures[
        (measures.group == "exact") & (measures.name == "kl") & measures.cell.isin([c for p in points for c in p.cells])
    ]
    return float(next((budget for budget in budgets if len(kl) and budget >= kl.value.max()), budgets[-1]))


def method_label(points: Iterable[Point]) -> str:
    """The words that the labels of a method's points begin with in common, else the method's name.

    Examples
    --------
    >>> from types import SimpleNamespace as Point
    >>> method_label([Point(label="UPO w=1", method="upo"), Point(label="UPO w=2", method="upo")])
    'UPO'
    >>> method_label([Point(label="UPO(1)", method="upo"), Point(label="UPO(2)", method="upo")])
    'UPO'
    """
    points = list(points)
    words = [point.label.split() for point in points]
    common = list(itertools.takewhile(lambda column: len(set(column)) == 1, zip(*words, strict=False)))
    return " ".join(column[0] for column in common) or display_name(points[0].method)

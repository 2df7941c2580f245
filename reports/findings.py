"""Sentences generated from the results, never stronger than they are."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from reports.results import Analysis, HypervolumeComparison
from reports.statistics.estimates import Estimate
from reports.statistics.toxicity_tails import DERIVED
from reports.statistics.verdicts import Comparison
from reports.text import join, number, p_text, percent, plural, some, with_interval

FEW_SEEDS = 5
FEW_PROMPTS = 100


@dataclass(frozen=True)
class Finding:
    """One sentence about one model size (or about all, with size None)."""

    text: str
    size: str | None = None
    headline: bool = False


def measured(analysis: Analysis) -> tuple[int, int]:
    """How many cells were measured, of how many planned."""
    cells = analysis.study.records.cells
    return int((cells.status == "ok").sum()), len(cells)


def findings(analysis: Analysis) -> list[Finding]:
    """What the data says, most important first."""
    if not analysis.points:
        return [Finding("Nothing was measured: no cell of this run finished.", headline=True)]
    if not analysis.objectives:
        return [Finding("No user or designer objective was measured, so there is no frontier.", headline=True)]
    found = []
    for size in analysis.study.sizes:
        found += _largest(analysis, size) + _gaps(analysis, size) + _pairs(analysis, size)
        found += _held_out(analysis, size) + _judges(analysis, size)
    return found + _agreement(analysis)


def _largest(analysis: Analysis, size: str) -> list[Finding]:
    results = [result for result in analysis.of(size) if result.hypervolume]
    if not results:
        members = [r.point.label for r in analysis.points.values() if r.point.size == size and r.on_frontier]
        return [Finding(f"On the measured frontier: {some(members)}.", size, True)] if members else []
    names = tuple(objective.name for objective in analysis.objectives)
    ranked = sorted(results, key=lambda result: -result.hypervolume[names].value)
    best = ranked[0]
    text = f"{best.label} covers the largest hypervolume, {with_interval(best.hypervolume[names])}"
    if len(ranked) == 1:
        return [
            Finding(
                f"{best.label}, the only method measured, covers hypervolume {with_interval(best.hypervolume[names])}.",
                size,
                True,
            )
        ]
    versus = [
        _seen_from(c, best.method)
        for c in analysis.hypervolumes
        if c.size == size and best.method in (c.first, c.second)
    ]
    beaten = [analysis.label(c.second) for c in versus if c.verdict == "better"]
    tied = [c for c in versus if c.verdict not in ("better", "not comparable")]
    unknown = [analysis.label(c.second) for c in versus if c.verdict == "not comparable"]
    if unknown:
        text += f"; how sure the difference from {some(unknown)} is cannot be estimated, so it is no finding"
    elif not tied:
        text += f", more than every other method (closest: {_closest(analysis, versus)})"
    elif not beaten:
        text += f", but no difference from another method is larger than its uncertainty (closest: {_closest(analysis, versus)})"
    else:
        ties = some([analysis.label(c.second) for c in tied])
        text += f", more than {some(beaten)}; it is tied with {ties} ({_closest(analysis, tied, name=len(tied) > 1)})"
    return [Finding(text + ".", size, True)]


def _closest(analysis: Analysis, versus: list[HypervolumeComparison], name: bool = True) -> str:
    nearest = min(versus, key=lambda c: c.difference.value)
    p = f", adjusted {p_text(nearest.p)}" if nearest.p is not None else ""
    return f"{analysis.label(nearest.second) + ' ' if name else ''}by {with_interval(nearest.difference)}{p}"


OPPOSITE = {"better": "worse", "worse": "better"}


def _turned(estimate: Estimate) -> Estimate:
    low, high = (None, None) if estimate.low is None else (-estimate.high, -estimate.low)
    return replace(estimate, value=-estimate.value, low=low, high=high)


def _seen_from(comparison: HypervolumeComparison, method: str) -> HypervolumeComparison:
    """The same comparison with `method` first."""
    if comparison.first == method:
        return comparison
    return replace(
        comparison,
        first=comparison.second,
        second=comparison.first,
        difference=_turned(comparison.difference),
        probability=1 - comparison.probability,
        verdict=OPPOSITE.get(comparison.verdict, comparison.verdict),
    )


def _point_seen_from(comparison: Comparison, point: str) -> Comparison:
    """The same comparison with `point` first."""
    if comparison.first == point:
        return comparison
    return replace(
        comparison,
        first=comparison.second,
        second=comparison.first,
        difference=comparison.difference and _turned(comparison.difference),
        verdict=OPPOSITE.get(comparison.verdict, comparison.verdict),
    )


def _gaps(analysis: Analysis, size: str) -> list[Finding]:
    """The gap to the truth: the ranking at equal budget where several methods have one, else the mean over points."""
    ranks = [rank for rank in analysis.gaps if rank.size == size]
    if ranks:
        first, others = ranks[0], [rank for rank in ranks[1:] if rank.tied]
        text = f"Closest to the true frontier at equal budget is {first.label}, gap {with_interval(first.gap)}"
        if first.tied is None:
            return [Finding(f"{text}; how surely cannot be estimated from one seed.", size, True)]
        worse = len(ranks) - 1 - len(others)
        if not others:
            return [
                Finding(
                    f"{text}; {'the other method is' if worse == 1 else f'all {worse} others are'} worse.", size, True
                )
            ]
        listed = some([f"{rank.label} {with_interval(rank.gap)}" for rank in others])
        rest = f"; {plural(worse, 'method')} {'is' if worse == 1 else 'are'} worse" if worse else ""
        return [Finding(f"{text}, tied with {listed}{rest}.", size, True)]
    gaps = [(result.gap.value, result) for result in analysis.of(size) if result.gap]
    if not gaps:
        return []
    listed = [f"{result.label} {with_interval(result.gap)}" for _, result in sorted(gaps, key=lambda pair: pair[0])]
    return [Finding(f"Mean gap to the true frontier, each policy at its own KL: {some(listed)}.", size, True)]


def _held_out(analysis: Analysis, size: str) -> list[Finding]:
    """What choosing on the same prompts would have added."""
    whole = next((found for found in analysis.held_out if found.size == size and found.method is None), None)
    if whole is None:
        return []
    return [
        Finding(
            f"Of {whole.of} points, {len(whole.chosen)} form the frontier on the validation prompts; on the test prompts they cover"
            f" hypervolume {with_interval(whole.test)}, and {whole.still or 'none'} of them {'are' if whole.still > 1 else 'is'} non-dominated there too. Choosing and"
            f" measuring on the same prompts would flatter by {number(whole.optimism)}.",
            size,
        )
    ]


def _judges(analysis: Analysis, size: str) -> list[Finding]:
    """How alike two judges rank."""
    found = []
    for a in (each for each in analysis.judges if each.size == size):
        agree = f"agree on {percent(a.agree)} of {a.items:,} items and " if a.agree is not None else ""
        interval = "" if a.tau_interval is None else f" [{number(a.tau_interval[0])}, {number(a.tau_interval[1])}]"
        best = [
            [analysis.points[p].point.label for p, places in a.ranks.items() if places[side] == 1] for side in (0, 1)
        ]
        same = "Both put" if best[0] == best[1] else "The first puts"
        rest = "" if best[0] == best[1] else f", the second {some(best[1])}"
        found.append(
            Finding(
                f"{a.first.label} and {_in_sentence(a.second.label)} {agree}rank the points with Kendall's τ = {number(a.tau)}{interval}."
                f" {same} {some(best[0])} first{rest}.",
                size,
            )
        )
    return found


def _pairs(analysis: Analysis, size: str) -> list[Finding]:
    """The representative of the method with the largest hypervolume: against the second, and whom it beats outright."""
    names = tuple(objective.name for objective in analysis.objectives)
    results = sorted((r for r in analysis.of(size) if r.hypervolume), key=lambda r: -r.hypervolume[names].value)
    if len(results) < 2:
        return []
    best = results[0]
    if analysis.many:
        # comparisons are with the best chosen point, which need not be of the method with the largest hypervolume
        first = next((c.first for c in analysis.comparisons if analysis.points[c.first].point.size == size), None)
        best = next((result for result in results if first in result.points), best)
    mine = [c for c in analysis.comparisons if {c.first, c.second} & set(best.points)]
    own = next(point for point in (mine[0].first, mine[0].second) if point in best.points)
    against: dict[str, list[Comparison]] = {}
    for comparison in (_point_seen_from(c, own) for c in mine):
        against.setdefault(comparison.second, []).append(comparison)
    runner_up = next(result for result in results if result is not best)
    second = next(point for point in against if point in runner_up.points)
    found = [Finding(sentence(analysis, against[second]), size)]
    outright = [point for point, each in against.items() if all(c.verdict == "better" for c in each)]
    if outright:
        beaten = some([analysis.points[point].point.label for point in outright])
        found.append(Finding(f"{analysis.points[own].point.label} beats {beaten} on every objective.", size))
    return found


def sentence(analysis: Analysis, comparisons: list[Comparison]) -> str:
    """One pair of points on all objectives, in words."""
    objectives = {objective.name: objective for objective in analysis.objectives}
    first, second = (analysis.points[point].point.label for point in (comparisons[0].first, comparisons[0].second))
    groups: dict[str, list[str]] = {}
    for comparison in comparisons:
        label = _in_sentence(objectives[comparison.objective].label)
        if comparison.verdict in ("better", "worse"):
            difference = comparison.difference
            label += f" by {with_interval(difference if difference.value > 0 else _turned(difference))}"
        elif comparison.verdict == "tied" and comparison.difference.low is not None:
            p = f", adjusted {p_text(comparison.p)}" if comparison.p is not None else ""
            label += f" (difference {with_interval(comparison.difference)}{p})"
        groups.setdefault(comparison.verdict, []).append(label)
    words = {
        "better": f"beats {second} on",
        "worse": f"loses to {second} on",
        "tied": f"is tied with {second} on",
        "not comparable": f"cannot be compared with {second} on",
    }
    said = [f"{words[verdict]} {join(groups[verdict])}" for verdict in words if verdict in groups]
    scope = (
        " (these checkpoints alone; how other seeds of the methods would do cannot be estimated)"
        if any(c.scope == "checkpoints" for c in comparisons)
        else ""
    )
    return f"{first} {', '.join(said)}{scope}."


def _in_sentence(label: str) -> str:
    """A label without its capital, unless it begins with an abbreviation."""
    return label if label[1:2].isupper() else label[:1].lower() + label[1:]


def _agreement(analysis: Analysis) -> list[Finding]:
    """How often the interval of a sampled objective contains its closed-form value."""
    measures = analysis.study.records.measures
    exact = measures[measures.group == "exact"].groupby(["cell", "name"]).value.first()
    inside = total = 0
    for result in analysis.points.values():
        for name, found in result.checkpoints.items():
            values = [exact.get((cell, name)) for cell in result.point.cells]
            if found.low is None or None in values or not analysis.study.grids[name].clusters:
                continue
            total += 1
            inside += found.low <= float(np.mean(values)) <= found.high
    if not total:
        return []
    return [
        Finding(
            f"Sampled estimates against closed-form expectations: {inside} of {total} intervals contain the exact value"
            f" ({percent(inside / total)}; 95 % are expected)."
        )
    ]


def caveats(analysis: Analysis, manifest: dict) -> list[str]:
    """What a reader must know before believing a number; the experiment's own caveat comes first."""
    found = [manifest["caveat"]] if manifest.get("caveat") else []
    done, planned = measured(analysis)
    if done < planned:
        found.append(
            f"The run is partial: {done} of {planned} cells have a result, {planned - done} failed or never ran."
        )
    seeds = [len(result.point.seeds) for result in analysis.points.values()]
    if seeds and min(seeds) < 2:
        single = sum(count < 2 for count in seeds)
        found.append(
            f"{plural(single, 'point')} of {len(seeds)} {'has' if single == 1 else 'have'} one seed only: what is said of them holds for these"
            " checkpoints; how another seed of the method would do cannot be estimated."
        )
    elif seeds and min(seeds) < FEW_SEEDS:
        found.append(
            f"There are {min(seeds)} seeds per point. The seeds' share of every interval is pooled over the points of a model"
            " size and widened for its few degrees of freedom, but rare failures of training stay unseen."
        )
    prompts = max([len(grid.clusters) for grid in analysis.study.grids.values()], default=0)
    if 0 < prompts < FEW_PROMPTS:
        found.append(f"Only {plural(prompts, 'evaluation prompt')}: small differences cannot be seen.")
    budgets = {(budget.configurations, budget.planned) for budget in analysis.budgets}
    if len(budgets) > 1:
        least, most = min(analysis.budgets, key=lambda b: b.planned), max(analysis.budgets, key=lambda b: b.planned)
        found.append(
            f"Tuning budgets differ: from {plural(least.planned, 'run')} ({least.label}) to {plural(most.planned, 'run')} ({most.label})."
            " A method with more configurations covers more hypervolume for that alone; see the values at equal budget."
        )
    # derived objectives are the same items again
    items = [e for r in analysis.points.values() for name, e in r.checkpoints.items() if name not in DERIVED]
    missing = sum(e.n_missing for e in items)
    if missing:
        total = sum(e.n + e.n_missing for e in items)
        found.append(
            f"{plural(missing, 'item')} of {total:,} {'has' if missing == 1 else 'have'} no value. Means are over the others; no point is called better"
            " unless it stays so with every missing item counted against it."
        )
    for name, grid in analysis.study.grids.items():
        for cell, reason in grid.excluded.items():
            found.append(f"{cell} is left out of {name}: {reason}.")
    if analysis.objectives and not analysis.reference_stated:
        names = [o.name for o in analysis.objectives if o.reference_point is None]
        found.append(f"No hypervolume: the experiment states no reference point for {join(names)}.")
    if analysis.split:
        found.append(
            "Each method's point for comparisons is chosen on a third of the prompts and compared on the others. Figures, the points table"
            " and the hypervolumes of whole sweeps use all prompts; read as a choice of the best they are slightly optimistic."
        )
    elif len(analysis.points) > len({(result.point.size, result.point.method) for result in analysis.points.values()}):
        found.append(
            "Points of a sweep are chosen and shown on the same prompts, so a frontier of the best ones is slightly optimistic."
        )
    return found

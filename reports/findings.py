"""Sentences of the report, generated from its results."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from reports.results import Analysis, HypervolumeComparison, PointResult
from reports.statistics.estimates import Estimate, within_prompts
from reports.statistics.judge_accuracy import judge_accuracies, orders
from reports.statistics.toxicity_tails import DERIVED
from reports.statistics.verdicts import BETTER, NOT_COMPARABLE, NOT_SEPARABLE, WORSE, Comparison
from reports.text import join, number, percent, plural, some, with_interval

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
    said = []
    for size in analysis.study.sizes:
        said += _largest(analysis, size) + _judge(analysis, size) + _gaps(analysis, size) + _pairs(analysis, size)
        said += _held_out(analysis, size) + _judges(analysis, size)
    return said + _agreement(analysis)


def _largest(analysis: Analysis, size: str) -> list[Finding]:
    """The largest hypervolume at equal numbers of settings, and what every other method is beside it."""
    ranked = analysis.ranked(size)
    if not ranked:
        members = [r.point.label for r in analysis.points.values() if r.point.size == size and r.on_frontier]
        return [Finding(f"On the measured frontier: {some(members)}.", size, True)] if members else []
    best = ranked[0]
    if len(ranked) == 1:
        text = f"{best.label}, the only method measured, covers hypervolume {with_interval(best.at_budget)}."
        return [Finding(text, size, True)]
    versus = [
        _seen_from(c, best.method)
        for c in analysis.hypervolumes
        if c.size == size and best.method in (c.first, c.second)
    ]
    most = max(len(result.points) for result in ranked)
    if all(result.at_budget and result.at_budget.value == 0 for result in ranked):
        text = "No method covers any hypervolume: none has a point that is better than the reference point on all objectives."
        return [Finding(text, size, True)]
    text = f"{best.label} covers the largest hypervolume{_settings(best.budget, most)}, {with_interval(best.at_budget)}"
    groups = {verdict: [c for c in versus if c.verdict == verdict] for verdict in VERDICTS}
    parts = []
    if groups[BETTER]:
        parts.append(f"better than {some([analysis.label(c.second) for c in groups[BETTER]])}")
    if groups[WORSE]:
        parts.append(f"worse than {some([_difference(analysis, c) for c in groups[WORSE]])}")
    if groups[NOT_SEPARABLE]:
        parts.append(f"not separable from {some([_difference(analysis, c) for c in groups[NOT_SEPARABLE]])}")
    if groups[NOT_COMPARABLE]:
        names = some([analysis.label(c.second) for c in groups[NOT_COMPARABLE]])
        reasons = list(dict.fromkeys(c.note or "its uncertainty cannot be estimated" for c in groups[NOT_COMPARABLE]))
        parts.append(f"no verdict on the difference from {names} ({join(reasons)})")
    return [Finding(f"{text}: {'; '.join(parts)}.", size, True)]


def _judge(analysis: Analysis, size: str) -> list[Finding]:
    """How often the judge of a size, if it was trained here, prefers what people chose."""
    accuracy = judge_accuracies(analysis.study.records).get(size)
    if accuracy is None or "win_rate" not in analysis.study.grids:
        return []
    text = f"The judge prefers the response that people chose in {with_interval(accuracy)} of {plural(accuracy.n, 'held-out pair')}"
    if orders(accuracy):
        return [Finding(f"{text}.", size, True)]
    return [Finding(f"{text}, which may be chance: no order can be read from its win rates.", size, True)]


def _settings(count: int, most: int) -> str:
    """How many settings of each method are compared; nothing to say where no method has more than one."""
    return f" of {plural(count, 'setting')} each" if most > 1 else ""


def _difference(analysis: Analysis, c: HypervolumeComparison) -> str:
    """A method with its difference from the first, and the number of settings where it has fewer."""
    best = next(result for result in analysis.of(c.size) if result.method == c.first)
    at = f" at {plural(c.settings, 'setting')}" if c.settings != best.budget else ""
    return f"{analysis.label(c.second)} (difference{at} {with_interval(c.difference)})"


OPPOSITE = {BETTER: WORSE, WORSE: BETTER}
VERDICTS = (BETTER, WORSE, NOT_SEPARABLE, NOT_COMPARABLE)


def _turned(estimate: Estimate) -> Estimate:
    """The same difference the other way round."""
    low, high = (None, None) if estimate.low is None or estimate.high is None else (-estimate.high, -estimate.low)
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
        first = ranks[0]
        text = f"Closest to the true frontier at equal budget is {first.label}, gap {with_interval(first.gap)}"
        if first.tied is None:
            if not first.note:
                return [Finding(f"{text}; how sure that is cannot be estimated from one seed.", size, True)]
            seeds = join([number(gap) for gap in first.by_seed])
            return [Finding(f"{text} (seeds: {seeds}); no verdict on the differences ({first.note}).", size, True)]
        close = [f"{rank.label} (behind by {with_interval(rank.behind)})" for rank in ranks[1:] if rank.tied]
        worse = [rank.label for rank in ranks[1:] if rank.tied is False]
        unknown = [rank for rank in ranks[1:] if rank.tied is None]
        parts = [f"not separable from {some(close)}"] * bool(close)
        if worse:
            parts.append(
                "every other method is worse"
                if len(worse) == len(ranks) - 1
                else f"{some(worse)} {'is' if len(worse) == 1 else 'are'} worse"
            )
        if unknown:
            reasons = join(list(dict.fromkeys(rank.note or "measured with other seeds" for rank in unknown)))
            parts.append(f"no verdict on {some([rank.label for rank in unknown])} ({reasons})")
        return [Finding(f"{text}: {'; '.join(parts)}.", size, True)]
    gaps = [(result.gap.value, result) for result in analysis.of(size) if result.gap]
    if not gaps:
        return []
    listed = [f"{result.label} {with_interval(result.gap)}" for _, result in sorted(gaps, key=lambda pair: pair[0])]
    return [Finding(f"Mean gap to the true frontier, each policy at its own KL: {some(listed)}.", size, True)]


def _held_out(analysis: Analysis, size: str) -> list[Finding]:
    """What choosing on the same prompts would have added."""
    whole = next((each for each in analysis.held_out if each.size == size and each.method is None), None)
    if whole is None:
        return []
    return [
        Finding(
            f"Of {whole.of} points, {len(whole.chosen)} form the frontier on the validation prompts; on the test prompts they cover"
            f" hypervolume {with_interval(whole.test)} (these checkpoints), and {whole.still or 'none'} of them {'are' if whole.still > 1 else 'is'}"
            f" non-dominated there too. Choosing and measuring on the same prompts would add {number(whole.optimism)}.",
            size,
        )
    ]


def _judges(analysis: Analysis, size: str) -> list[Finding]:
    """How alike two judges rank."""
    lines = []
    for a in (each for each in analysis.judges if each.size == size):
        agree = f"agree on {percent(a.agree)} of {a.items:,} items and " if a.agree is not None else ""
        interval = "" if a.tau_interval is None else f" [{number(a.tau_interval[0])}, {number(a.tau_interval[1])}]"
        best = [
            [analysis.points[p].point.label for p, places in a.ranks.items() if places[side] == 1] for side in (0, 1)
        ]
        same = "Both put" if best[0] == best[1] else "The first puts"
        rest = "" if best[0] == best[1] else f", the second {some(best[1])}"
        lines.append(
            Finding(
                f"{a.first.label} and {_in_sentence(a.second.label)} {agree}rank the points with Kendall's τ = {number(a.tau)}{interval}."
                f" {same} {some(best[0])} first{rest}.",
                size,
            )
        )
    return lines


def _pairs(analysis: Analysis, size: str) -> list[Finding]:
    """The representative of the method with the largest hypervolume: against the second, and whom it beats outright."""
    results = analysis.ranked(size)
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
    said = [Finding(sentence(analysis, against[second]), size)]
    outright = [point for point, each in against.items() if all(c.verdict == BETTER for c in each)]
    if outright:
        beaten = some([analysis.points[point].point.label for point in outright])
        label = analysis.points[own].point.label
        said.append(Finding(f"Exploratory: {label} is better than {beaten} on every objective.", size))
    return said


def sentence(analysis: Analysis, comparisons: list[Comparison]) -> str:
    """One pair of points on all objectives, in words."""
    objectives = {objective.name: objective for objective in analysis.objectives}
    first, second = (analysis.points[point].point.label for point in (comparisons[0].first, comparisons[0].second))
    groups: dict[str, list[str]] = {}
    for comparison in comparisons:
        label = _in_sentence(objectives[comparison.objective].label)
        difference = comparison.difference
        if difference is not None and comparison.verdict in (BETTER, WORSE):
            label += f" by {with_interval(difference if difference.value > 0 else _turned(difference))}"
        elif difference is not None and comparison.verdict == NOT_SEPARABLE and difference.low is not None:
            label += f" (difference {with_interval(difference)})"
        groups.setdefault(comparison.verdict, []).append(label)
    words = {
        BETTER: f"is better than {second} on",
        WORSE: f"is worse than {second} on",
        NOT_SEPARABLE: f"is not separable from {second} on",
        NOT_COMPARABLE: f"has no verdict against {second} on",
    }
    said = [f"{words[verdict]} {join(groups[verdict])}" for verdict in words if verdict in groups]
    scope = (
        " (these checkpoints alone; how other seeds of the methods would do cannot be estimated)"
        if any(c.scope == "checkpoints" for c in comparisons)
        else ""
    )
    return f"Exploratory: {first} {', '.join(said)}{scope}."


def _in_sentence(label: str) -> str:
    """A label without its capital, unless it begins with an abbreviation."""
    return label if label[1:2].isupper() else label[:1].lower() + label[1:]


def _agreement(analysis: Analysis) -> list[Finding]:
    """How often the interval of a sampled objective contains its closed-form value.

    Both are expectations over the same prompts, so that the interval is of the sampling within prompts alone. The user's
    objective is a win rate against one reference response for each prompt, drawn once for all policies: the luck of that
    draw is not in the interval, so this objective is left out.
    """
    measures = analysis.study.records.measures
    exact = measures[measures.group == "exact"].groupby(["cell", "name"]).value.first()
    own = [objective for objective in analysis.objectives if objective.role != "user"]
    names = [objective.name for objective in own if objective.name in set(measures.name)]
    if not names:
        return []
    items = analysis.study.records.items
    point = {cell: result.point.id for result in analysis.points.values() for cell in result.point.cells}
    items = items[items.objective.isin(names) & items.value.notna() & items.cell.isin(list(point))]
    prompts = items.cell.str.cat(items.cluster, sep="\x1f")
    inside = total = 0
    for (_, name), rows in items.groupby([items.cell.map(point), "objective"], sort=True):
        cells = list(rows.cell.unique())
        sampled = within_prompts(rows.value.to_numpy(float), prompts[rows.index].to_numpy())
        if sampled is not None and all((cell, name) in exact.index for cell in cells):
            total += 1
            inside += bool(sampled[0] <= float(exact[[(cell, name) for cell in cells]].mean()) <= sampled[1])
    if not total:
        return []
    text = (
        f"Sampled estimates of {join([_in_sentence(o.label) for o in own if o.name in names])} against closed-form"
        f" expectations on the same prompts: {inside} of {total} intervals contain the exact value"
        f" ({percent(inside / total)}; 95 % are expected)."
    )
    return [Finding(text)]


def _disagreements(analysis: Analysis) -> list[str]:
    """The points whose seeds disagree too much for their number, with the seeds' values."""
    names = [objective.name for objective in analysis.objectives]
    apart = [result for result in analysis.points.values() if set(names) & set(result.disagree)]
    if not apart:
        return []
    listed = []
    for result in apart:
        name = max((name for name in names if name in result.disagree), key=lambda name: _apart(result, name))
        label = _in_sentence(analysis.study.grids[name].objective.label)
        listed.append(
            f"{result.point.label}, {result.point.size} ({label} {join([number(v) for v in result.disagree[name]])})"
        )
    return [
        f"{plural(len(apart), 'point')} of {len(analysis.points)} {'has' if len(apart) == 1 else 'have'} no interval over seeds, because"
        f" the seeds disagree or are too few; shown is the interval of these checkpoints, and no verdict is given on such a point alone: {some(listed)}."
    ]


def _apart(result: PointResult, name: str) -> float:
    """Range of the seeds' values in standard errors over prompts."""
    values, error = result.disagree[name], result.checkpoints[name].se
    return (max(values) - min(values)) / error if error else 0.0


def _unsound_values(analysis: Analysis) -> list[str]:
    """The settings whose value head does not fit its rewards on prompts that it did not learn from."""
    measures = analysis.study.records.measures
    judged = measures[(measures.group == "health") & (measures.name == "value_sound")].set_index("cell").value
    each = {
        result.point.label: [float(judged[cell]) for cell in result.point.cells if cell in judged.index]
        for result in analysis.points.values()
    }
    apart = [f"{label} ({values.count(0.0)} of {len(values)} cells)" for label, values in each.items() if 0.0 in values]
    if not apart:
        return []
    return [
        f"The value head V(x) is off its expectile on held-out prompts, or explains less than a constant, at the end of training for"
        f" {some(apart)}; the advantages there carry its error."
    ]


def _repeated_prompts(analysis: Analysis) -> list[str]:
    """How many test prompts equal another one."""
    measures = analysis.study.records.measures
    counts = dict(measures[measures.group == "test prompts"][["name", "value"]].itertuples(index=False))
    if counts.get("distinct", 0) >= counts.get("answered", 0):
        return []
    return [
        f"{plural(int(counts['answered']), 'test prompt')}, of which {counts['distinct']:.0f} are distinct: answers to equal prompts"
        " are not independent and count as one in every interval."
    ]


def _judges_by_size(analysis: Analysis) -> list[str]:
    """That the judge of each size was trained on that size's base, where sizes stand side by side."""
    measures = analysis.study.records.measures
    named = measures[(measures.group == "quality") & measures.name.str.startswith("judge_")].name
    judges = sorted({name.partition(" (")[2].removesuffix(")") for name in named})
    if len(judges) < 2 or len(analysis.study.sizes) < 2:
        return []
    return [
        f"Each size has a judge of its own, trained from its base ({join(judges)}): win rates of different sizes are verdicts of"
        " different judges and are not compared with each other."
    ]


def caveats(analysis: Analysis, manifest: Mapping[str, Any]) -> list[str]:
    """What a reader must know before believing a number; the experiment's own caveat comes first."""
    lines = [manifest["caveat"]] if manifest.get("caveat") else []
    done, planned = measured(analysis)
    if done < planned:
        lines.append(
            f"The run is partial: {done} of {planned} cells have a result, {planned - done} failed or never ran."
        )
    seeds = [len(result.point.seeds) for result in analysis.points.values()]
    if seeds and min(seeds) < 2:
        single = sum(count < 2 for count in seeds)
        lines.append(
            f"{plural(single, 'point')} of {len(seeds)} {'has' if single == 1 else 'have'} one seed only: what is said of them holds for these"
            " checkpoints; how another seed of the method would do cannot be estimated."
        )
    elif seeds and min(seeds) < FEW_SEEDS:
        lines.append(
            f"There are {min(seeds)} seeds per point. The variance between seeds is pooled over the settings of a model size that"
            " are equally noisy and intervals are widened for its few degrees of freedom, but rare failures of training stay unseen."
        )
    lines += _disagreements(analysis)
    lines += _unsound_values(analysis)
    prompts = max([len(grid.clusters) for grid in analysis.study.grids.values()], default=0)
    if 0 < prompts < FEW_PROMPTS:
        lines.append(f"Only {plural(prompts, 'evaluation prompt')}: small differences cannot be seen.")
    lines += _repeated_prompts(analysis) + _judges_by_size(analysis)
    budgets = {(budget.configurations, budget.planned) for budget in analysis.budgets}
    if len(budgets) > 1:
        least, most = min(analysis.budgets, key=lambda b: b.planned), max(analysis.budgets, key=lambda b: b.planned)
        lines.append(
            f"Tuning budgets differ: from {plural(least.planned, 'run')} ({least.label}) to {plural(most.planned, 'run')} ({most.label})."
            " A method with more configurations covers more hypervolume for that alone: verdicts compare equal numbers of them."
        )
    # derived objectives are the same items again
    items = [e for r in analysis.points.values() for name, e in r.checkpoints.items() if name not in DERIVED]
    missing = sum(e.n_missing for e in items)
    if missing:
        total = sum(e.n + e.n_missing for e in items)
        lines.append(
            f"{plural(missing, 'item')} of {total:,} {'has' if missing == 1 else 'have'} no value. Means are over the others; their intervals and"
            " the verdicts on single objectives hold whatever the missing values are. Hypervolumes are of the items with values."
        )
    for name, grid in analysis.study.grids.items():
        for cell, reason in grid.excluded.items():
            lines.append(f"{cell} is left out of {name}: {reason}.")
    if analysis.objectives and not analysis.reference_stated:
        names = [o.name for o in analysis.objectives if o.reference_point is None]
        lines.append(f"No hypervolume: the experiment states no reference point for {join(names)}.")
    if analysis.split:
        lines.append(
            "Each method's setting for comparisons is chosen on a third of the prompts, for each seed by the other seeds, and compared"
            " on the other prompts. Figures, the points table and the hypervolumes of whole sweeps use all prompts; read as a choice"
            " of the best they are slightly optimistic."
        )
    elif len(analysis.points) > len({(result.point.size, result.point.method) for result in analysis.points.values()}):
        lines.append(
            "Points of a sweep are chosen and shown on the same prompts, so a frontier of the best ones is slightly optimistic."
        )
    return lines

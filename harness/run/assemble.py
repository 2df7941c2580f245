"""Records of a run from the artifacts in the store: every planned cell has a row, measured or not."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd

from harness.costs import COSTS
from harness.plan.cells import Plan, PlannedCell
from harness.plan.designer import objectives_of
from harness.plan.stage import Stage
from harness.records import Cell, CurvePoint, ItemScore, Measure, Objective, Records, Status, to_frame
from harness.run.scheduler import Outcome, blame
from harness.spec.experiment import BASE
from harness.store.jsonl import read_jsonl
from harness.store.store import Store
from suites.judges.redaction import redact


def collect(plan: Plan, store: Store, outcome: Outcome) -> Records:
    """Gather the records of all cells that were measured, and a row for each that was not."""
    cells = [_cell(cell, plan, store, outcome) for cell in plan.cells]
    measured = [planned for planned, cell in zip(plan.cells, cells, strict=False) if cell.status == "ok"]
    scores = [(planned, store.path(stage.key)) for planned in measured for stage in planned.scores.values()]
    items = _gather(scores, "items.parquet")
    items = pd.concat([items, alignment_tax(measured, items)], ignore_index=True)
    measures = [row for planned in measured for row in _training_measures(planned, store)]
    measures += [row for planned in measured for row in _joined(planned, store)]
    measures += [row for stage in plan.stages.values() if stage.key in outcome.done for row in _quality(stage, store)]
    generated = [(planned, store.path(planned.generate.key)) for planned in measured if planned.generate]
    generations = _gather(generated, "generations.parquet")
    items = complete(items, [planned.cell for planned in measured if not planned.trained and planned.entry != BASE])
    first_turns = _first_turns(measured, store)
    items, generations = (_one_cluster_per_question(table, first_turns) for table in (items, generations))
    measures += _prompt_counts(generations)
    items, generations = (_one_cluster_per_prompt(table, generations) for table in (items, generations))
    measured_objectives = set(items.objective)
    return Records(
        objectives=to_frame(
            _objectives(plan.experiment.reference_point, measured_objectives, objectives_of(plan.experiment)), Objective
        ),
        cells=to_frame(cells, Cell),
        items=items,
        generations=generations,
        measures=pd.concat([_gather(scores, "measures.parquet"), to_frame(measures, Measure)], ignore_index=True),
        truth=_truth(plan, store, outcome),
        curves=to_frame([row for planned in measured for row in _curve(planned, store)], CurvePoint),
    )


def _objectives(
    reference_point: Mapping[str, float], measured: set[str], declared: Mapping[str, Objective]
) -> list[Objective]:
    """The objectives that were measured, in the order in which they are declared.

    The experiment's reference point decides which of them make the frontier.
    """
    rows = []
    for name, objective in {**declared, **COSTS}.items():
        if name in reference_point:
            role = "designer" if objective.role == "benchmark" else objective.role
            rows.append(replace(objective, reference_point=reference_point[name], role=role))
        elif name in measured and (objective.role == "benchmark" or name == "win_rate_second"):
            # The second judge's win rate is compared with the first's; it is no axis.
            rows.append(objective)
        elif name in measured:
            rows.append(replace(objective, role="descriptive"))
    return rows


def _cell(planned: PlannedCell, plan: Plan, store: Store, outcome: Outcome) -> Cell:
    command = redact(f"prefrontier run {plan.origin} --cell {planned.cell}")
    cell = Cell(
        cell=planned.cell, point=planned.point, method=planned.entry, label=planned.label, size=planned.size,
        seed=planned.seed, parameters=dict(planned.parameters), sweep=planned.sweep, sweep_value=planned.sweep_value,
        checkpoint=planned.policy.key if planned.policy else "", command=command,
    )  # fmt: skip
    failure = next((cause for stage in planned.stages if (cause := blame(stage, outcome.failures))), None)
    if failure is not None:
        return replace(cell, status="failed", error=f"{failure.label}: {failure.error}")
    if not all(stage.key in outcome.done for stage in planned.stages):
        return replace(cell, status="missing", error="not run")
    made = [planned.policy] if planned.policy else list(planned.scores.values())
    keys = {key for stage in made for key in _trained(stage)}
    trained = [json.loads((store.path(key) / "result.json").read_text()) for key in sorted(keys)]
    costs = _costs(planned, store)
    return replace(
        cell,
        n_parameters=_result(planned, store).get("n_parameters", 0),
        train_seconds=sum((result["seconds"] for result in trained), start=0.0),
        evaluate_seconds=sum(
            store.manifest(stage.key)["seconds"] for stage in planned.stages if stage is not planned.policy
        ),
        trained_tokens=sum(result["tokens"] for result in trained),
        generated_tokens=_generated_tokens(planned, store),
        judge_cost=_judge_cost(planned, store),
        decode_tokens=costs.get("decode_tokens", 0.0),
        adaptation_seconds=costs.get("adaptation_seconds", 0.0),
    )


def _costs(planned: PlannedCell, store: Store) -> dict[str, float]:
    """Costs that the suite `steer` measures: of an answer, and of a new user."""
    if "steer" not in planned.scores:
        return {}
    measures = pd.read_parquet(store.path(planned.scores["steer"].key) / "measures.parquet")
    costs = measures[measures.group == "cost"]
    return dict(zip(costs.name, costs.value.astype(float), strict=True))


def _generated_tokens(planned: PlannedCell, store: Store) -> int:
    if planned.generate is None:
        return 0
    path = store.path(planned.generate.key) / "generations.parquet"
    return int(pd.read_parquet(path, columns=["n_tokens"]).n_tokens.sum())


def _trained(stage: Stage | None) -> dict[str, Stage]:
    """Training runs behind a policy, by key, with those of its rounds, its ingredients and its references."""
    if stage is None:
        return {}
    behind = {key: trained for required in stage.requires for key, trained in _trained(required).items()}
    return behind | ({stage.key: stage} if stage.kind in ("align", "align_online") else {})


def _judge_cost(planned: PlannedCell, store: Store) -> float:
    """Cost in dollars of the judges' answers about a cell's responses, when they were first given."""
    files = [store.path(stage.key) / "measures.parquet" for stage in planned.scores.values()]
    tables = [pd.read_parquet(file).set_index("name").value for file in files if file.exists()]
    return sum(float(figures.get(name, 0.0)) for figures in tables for name in ("judge_cost", "second_judge_cost"))


def _result(planned: PlannedCell, store: Store) -> dict[str, Any]:
    if planned.policy is None:
        return {}
    result: dict[str, Any] = json.loads((store.path(planned.policy.key) / "result.json").read_text())
    return result


def _training_measures(planned: PlannedCell, store: Store) -> list[Measure]:
    health = _result(planned, store).get("health", {}) if planned.trained else {}
    return [Measure("health", name, value, planned.cell) for name, value in health.items()]


JOINED = "prompts joined"
"""Group of the counts of an entry's file: its rows, the prompts that they are to, and the evaluation prompts."""


def _joined(planned: PlannedCell, store: Store) -> list[Measure]:
    stage = next((stage for stage in planned.stages if stage.kind == "import_results"), None)
    if stage is None:
        return []
    counts = json.loads((store.path(stage.key) / "counts.json").read_text(encoding="utf-8"))
    names = {"rows": "rows of the file", "prompts": "prompts with a row", "of": "evaluation prompts"}
    return [Measure(JOINED, name, float(counts[key]), planned.cell) for key, name in names.items()]


def _quality(stage: Stage, store: Store) -> list[Measure]:
    """Quality of a trained scorer on held-out data: figures of the run, not of a cell."""
    if stage.kind == "train_toxicity":
        figures = json.loads((store.path(stage.key) / "quality.json").read_text())["quality"]
        scorer = stage.label.removesuffix(" classifier").replace(" ", "_")
        return [Measure("quality", f"{scorer}_{name}", value) for name, value in figures.items()]
    if stage.kind in ("train_judge", "train_judge_head"):
        figures = json.loads((store.path(stage.key) / "result.json").read_text())["health"]
        return [Measure("quality", f"judge_{name} ({stage.label})", value) for name, value in figures.items()]
    if stage.kind == "import_results":
        counts = json.loads((store.path(stage.key) / "counts.json").read_text(encoding="utf-8"))
        model = stage.label.removeprefix("import ")
        return [Measure(LEFT_OUT, f"{why} ({model})", float(count)) for why, count in counts["dropped"].items()]
    if stage.kind in ("pairs", "conversations"):
        dropped = json.loads((store.path(stage.key) / "counts.json").read_text(encoding="utf-8"))["dropped"]
        return [Measure(LEFT_OUT, why, float(count)) for why, count in dropped.items()]
    return []


LEFT_OUT = "rows left out"
"""Group of the counts of data rows that were not used, by reason."""


def _curve(planned: PlannedCell, store: Store) -> list[CurvePoint]:
    curve = _result(planned, store).get("curve", []) if planned.trained else []
    return [CurvePoint(planned.cell, step, metric, value) for step, metric, value in curve]


def _gather(sources: list[tuple[PlannedCell, Path]], name: str) -> pd.DataFrame:
    """One table from the artifacts that have it, each row marked with its cell."""
    frames = [
        pd.read_parquet(folder / name).assign(cell=planned.cell)
        for planned, folder in sources
        if (folder / name).exists()
    ]
    if frames:
        return pd.concat(frames, ignore_index=True)
    return getattr(Records.build(), name.removesuffix(".parquet"))


def _first_turns(cells: Sequence[PlannedCell], store: Store) -> dict[str, str]:
    """The first turn of every later turn of a prompt, by their ids."""
    asked = [cell.generate.inputs["data"] for cell in cells if cell.generate]
    sources = {source.key for source in asked if isinstance(source, Stage)}
    rows = [row for key in sorted(sources) for row in read_jsonl(store.path(key) / "prompts.jsonl")]
    before = {row["id"]: row["after"] for row in rows if row.get("after")}
    first = {}
    for turn in before:
        first[turn] = before[turn]
        while first[turn] in before:
            first[turn] = before[first[turn]]
    return first


def _one_cluster_per_question(table: pd.DataFrame, first_turns: Mapping[str, str]) -> pd.DataFrame:
    """A table whose turns of one prompt are one cluster: the later ones follow from the replies to the earlier."""
    return table.assign(cluster=table.cluster.map(lambda cluster: first_turns.get(cluster, cluster)))


def _prompt_counts(generations: pd.DataFrame) -> list[Measure]:
    """How many test prompts were answered, and how many are distinct."""
    prompts = generations.drop_duplicates("cluster").prompt
    counts = {"answered": len(prompts), "distinct": prompts.nunique()} if len(prompts) else {}
    return [Measure(TEST_PROMPTS, name, float(count)) for name, count in counts.items()]


TEST_PROMPTS = "test prompts"
"""Group of the counts of test prompts; equal ones are one cluster."""


def _one_cluster_per_prompt(table: pd.DataFrame, generations: pd.DataFrame) -> pd.DataFrame:
    """A table whose rows of equal prompts are of one cluster, the first of those prompts: they are not independent."""
    prompts = generations.drop_duplicates("cluster")
    first = dict(zip(prompts.cluster, prompts.groupby("prompt").cluster.transform("first"), strict=True))
    return table.assign(cluster=table.cluster.map(lambda cluster: first.get(cluster, cluster)))


def complete(items: pd.DataFrame, cells: Sequence[str]) -> pd.DataFrame:
    """Item scores with a row ``skipped`` for every prompt that an entry from files lacks and another cell has.

    An entry without any score of an objective lacks the objective, and not its prompts.
    """
    rows = []
    for objective, group in items.groupby("objective", sort=False):
        clusters = group.cluster.unique()
        for cell in set(cells) & set(group.cell):
            has = set(group.cluster[group.cell == cell])
            rows += [
                ItemScore(str(objective), f"{cluster}#0", cluster, None, Status.SKIPPED, cell=cell)
                for cluster in clusters
                if cluster not in has
            ]
    return pd.concat([items, to_frame(rows, ItemScore)], ignore_index=True) if rows else items


def alignment_tax(cells: Sequence[PlannedCell], items: pd.DataFrame) -> pd.DataFrame:
    """Loss of each cell against the base of its size and seed, for every benchmark question.

    The value of an item is the base's score minus the cell's: positive where alignment cost something. A question
    that either could not be scored on has no value. A cell whose base was not run with it has no such items.
    """
    from suites.registry import objectives

    benchmarks = [name for name, objective in objectives().items() if objective.role == "benchmark"]
    scored = items[items.objective.isin(benchmarks)]
    base_of = {(cell.size, cell.seed): cell.cell for cell in cells if cell.entry == BASE}
    base = {cell.cell: base_of.get((cell.size, cell.seed)) for cell in cells}
    paired = scored.assign(base=scored.cell.map(base).astype(object)).merge(
        scored[["cell", "item", "trial", "objective", "value", "status"]].rename(columns={"cell": "base"}),
        on=["base", "item", "trial", "objective"],
        suffixes=("", "_base"),
    )
    unscored = paired.status.where(paired.value.isna(), paired.status_base)
    values = paired.value_base - paired.value
    return paired.assign(
        objective="alignment_tax", value=values, status=unscored.where(values.isna(), Status.OK.value)
    )[list(items.columns)]


def _truth(plan: Plan, store: Store, outcome: Outcome) -> pd.DataFrame:
    """The true frontier, for runs on the oracle world."""
    keys = {stage.key for stage in plan.stages.values() if stage.kind == "enumeration"}
    frames = [pd.read_parquet(store.path(key) / "truth.parquet") for key in sorted(keys & outcome.done.keys())]
    return pd.concat(frames, ignore_index=True) if frames else Records.build().truth

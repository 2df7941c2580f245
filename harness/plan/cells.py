"""Plan of an experiment: its cells and the directed acyclic graph of stages that train and measure them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import chain
from typing import Any

from harness.errors import UsageError
from harness.plan.bills import require_budget
from harness.plan.check import check, without_toxicity
from harness.plan.designer import own_suites
from harness.plan.entries import EntryCell, entry_cells, generate_stage
from harness.plan.policies import PolicyStages, Trial, trials_of
from harness.plan.shared_stages import (
    SharedStages,
    as_conversations,
    make_base,
    make_judge,
    make_shared_stages,
    with_population,
)
from harness.plan.stage import Model, Stage, device_settings
from harness.plan.suite_inputs import Measured, StageInputs, lacking, suite_stages
from harness.plan.users import check_users, decoded_cells, decoded_stage, each_stage, refuse_vllm
from harness.spec.data import OracleData
from harness.spec.experiment import BASE, Experiment
from harness.spec.methods import EACH, Choice, MethodEntry, in_words
from harness.spec.users import Decoded
from reports.text import some
from suites.registry import Suite, suites

MOST_CELLS = 20_000
"""Cells of one experiment, at most: a plan of so many takes seconds."""


@dataclass(frozen=True)
class PlannedCell:
    """A policy to train or to bring, and the stages that make and measure it.

    An entry that is not trained may lack a checkpoint, or responses.
    """

    method: str
    entry: str
    size: str
    seed: int
    parameters: Mapping[str, Any]
    trial: Mapping[str, Choice]
    """The swept settings; empty for an entry without a sweep."""
    point: str
    policy: Stage | None
    generate: Stage | None
    scores: Mapping[str, Stage]
    trained: bool = True
    """Whether the policy comes from a method; those of the base and of entries do not."""

    @cached_property
    def cell(self) -> str:
        """Identifier of the policy and its measurement."""
        made = list(filter(None, (self.policy, self.generate))) or list(self.scores.values())
        return _short([stage.key for stage in made])

    @property
    def label(self) -> str:
        return f"{self.entry} {in_words(self.trial)}".rstrip()

    @property
    def sweep(self) -> str | None:
        """The one number that is swept; None for none, several, or a choice."""
        return next(iter(self.trial)) if self.sweep_value is not None else None

    @property
    def sweep_value(self) -> float | None:
        values = list(self.trial.values())
        number = len(values) == 1 and isinstance(values[0], int | float) and not isinstance(values[0], bool)
        return float(values[0]) if number else None

    @property
    def stages(self) -> list[Stage]:
        stages = [*filter(None, (self.policy, self.generate)), *self.scores.values()]
        return list({stage.key: stage for stage in stages}.values())


@dataclass(frozen=True)
class Plan:
    """The cells of an experiment; shared stages are reached through the inputs of stages."""

    experiment: Experiment
    cells: tuple[PlannedCell, ...]
    origin: str
    """The experiment on the command line: its name or file, and the overrides."""
    worlds: Mapping[int, Plan] = field(default_factory=dict)
    """The plan in each world, by the world's seed, where there are several; the cells are theirs."""
    notes: tuple[str, ...] = ()
    """What entries lack, in sentences."""

    @cached_property
    def stages(self) -> dict[str, Stage]:
        """Every stage once, by key, inputs before the stages that need them."""
        ordered: dict[str, Stage] = {}

        def visit(stage: Stage) -> None:
            if stage.key not in ordered:
                for required in stage.requires:
                    visit(required)
                ordered[stage.key] = stage

        for cell in self.cells:
            for stage in cell.stages:
                visit(stage)
        return ordered

    @property
    def budgets(self) -> dict[str, int]:
        """Trials per method entry, seeds not counted."""
        return {name: len(entry.trials) for name, entry in self.experiment.methods.items()}

    def only(self, wanted: list[str]) -> Plan:
        """The plan of the cells whose identifiers begin with one of the given prefixes."""
        chosen = tuple(cell for cell in self.cells if any(cell.cell.startswith(prefix) for prefix in wanted))
        for prefix in wanted:
            if not any(cell.cell.startswith(prefix) for cell in self.cells):
                raise UsageError(f"--cell {prefix}: no such cell; `prefrontier ls {self.origin}` lists them")
        held = {cell.cell for cell in chosen}
        worlds = {
            seed: replace(part, cells=tuple(cell for cell in part.cells if cell.cell in held))
            for seed, part in self.worlds.items()
        }
        return replace(self, cells=chosen, worlds=worlds)


def make_plan(experiment: Experiment, origin: str | None = None) -> Plan:
    """Plan an experiment; anything that it lacks is an error here, before anything runs.

    Raises
    ------
    UsageError
        Naming the key and the nearest valid choice.
    """
    experiment = without_toxicity(experiment)
    refuse_vllm(experiment)
    check(experiment)
    check_users(experiment)
    _require_few(experiment)
    data = experiment.data
    if isinstance(data, OracleData) and data.worlds:
        worlds = {
            seed: make_plan(experiment.model_copy(update={"data": data.in_world(seed)}), origin or experiment.name)
            for seed in data.worlds
        }
        cells = tuple(cell for part in worlds.values() for cell in part.cells)
        notes = tuple(dict.fromkeys(note for part in worlds.values() for note in part.notes))
        return Plan(experiment, cells, origin or experiment.name, worlds, notes)
    return _make_plan(experiment, origin or experiment.name)


def _make_plan(experiment: Experiment, origin: str) -> Plan:
    """The plan of an experiment on one set of data."""
    shared = make_shared_stages(experiment)
    data = shared.data
    bases = {name: make_base(experiment, name, size, data) for name, size in experiment.sizes.items()}
    shared = with_population(experiment, shared)
    trials = trials_of(experiment)
    cells: list[PlannedCell] = []
    brought: list[EntryCell] = []
    judges = {}
    for size, base in bases.items():
        adapted = as_conversations(experiment, shared, base)
        judge = judges[size] = make_judge(experiment, adapted, size, base)
        policies = PolicyStages(experiment, adapted, bases, trials, judge, size)
        for name, entry in experiment.decoded.items():
            if entry.steer is None:
                brought += decoded_cells(policies, name, entry)
            else:
                cells += _steered_cells(policies, name, entry)
        for trial in [*chain.from_iterable(trials.values()), Trial(BASE, MethodEntry(method=BASE), {}, {})]:
            cells += _each_cells(policies, trial) if trial.entry.person == EACH else _cells(policies, trial)
    brought += [
        cell for name, entry in experiment.entries.items() for cell in entry_cells(entry, name, experiment, shared)
    ]
    _require_names(experiment, brought)
    entries = [_entry_cell(experiment, shared, cell, judges.get(cell.size, shared.judge)) for cell in brought]
    cells += [cell for cell, _ in entries]
    _require_distinct(cells)
    planned = Plan(experiment, tuple(cells), origin, notes=_notes(entries))
    require_budget(planned.stages.values())
    return planned


def _require_few(experiment: Experiment) -> None:
    trials = sum(len(entry.trials) for entry in experiment.methods.values()) + 1
    worlds = experiment.data.worlds if isinstance(experiment.data, OracleData) else []
    count = trials * len(experiment.sizes) * len(experiment.seeds) * max(1, len(worlds))
    if count > MOST_CELLS:
        raise UsageError(
            f"{count:,} cells are too many ({trials} settings × {len(experiment.sizes)} sizes × {len(experiment.seeds)} "
            f"seeds); at most {MOST_CELLS:,} are planned"
        )


def _require_distinct(cells: list[PlannedCell]) -> None:
    owner: dict[str, PlannedCell] = {}
    for cell in cells:
        if (other := owner.setdefault(cell.cell, cell)) is not cell:
            raise UsageError(f"methods: {other.label} and {cell.label} are the same policy; leave one of them out")


def _cells(policies: PolicyStages, trial: Trial) -> Iterator[PlannedCell]:
    """The cells of a trial, one for each seed."""
    experiment, shared, entry = policies.experiment, policies.shared, trial.entry
    trained = trial.name != BASE
    settings: dict[str, Any] = {**trial.settings}
    settings |= {"references": entry.references} if entry.references else {}
    settings |= {"rewards": entry.rewards} if entry.rewards else {}
    # A closed form is known only for the optimum of a loss on the pairs themselves.
    plain = not (entry.data or entry.rounds or entry.soup or entry.references)
    target = {
        "method": entry.method,
        "parameters": settings.get("parameters", {}),
        "weights": entry.rewards or experiment.rewards,
    }
    registered, device = suites(), policies.running["device"]
    point = _short([trial.name, policies.size, settings, shared.data.key, policies.base.key])
    condition = policies.condition(trial) if trained else None
    settled: dict[str, StageInputs] = {}
    for seed in entry.seeds or experiment.seeds:
        label = policies.label(trial.name, trial.values, seed)
        policy = policies.policy(trial, seed) if trained else policies.base
        generate = generate_stage(experiment, label, policy, shared.prompts, seed, condition)
        measured = Measured(
            experiment, shared, label, policy, generate, condition, policies.judge,
            target if plain else {"method": None}, device, settled,
        )  # fmt: skip
        scores = {
            suite: stage
            for name in experiment.suites
            for suite, stage in suite_stages(registered[name], measured).items()
        }
        scores |= own_suites(experiment, generate, shared.prompts, label, device)
        yield PlannedCell(
            entry.method, trial.name, policies.size, seed, settings, trial.values, point, policy, generate, scores,
            trained=trained,
        )  # fmt: skip


def _each_cells(policies: PolicyStages, trial: Trial) -> Iterator[PlannedCell]:
    """The cells of an entry with a policy for each unseen user, which the suite `steer` alone measures."""
    settings = {**trial.settings, "person": EACH}
    point = _short([trial.name, policies.size, settings, policies.shared.data.key, policies.base.key])
    for seed in trial.entry.seeds or policies.experiment.seeds:
        scores = {"steer": each_stage(policies, trial, seed)}
        yield PlannedCell(
            trial.entry.method, trial.name, policies.size, seed, settings, trial.values, point, None, None, scores,
            trained=False,
        )  # fmt: skip


def _steered_cells(policies: PolicyStages, name: str, entry: Decoded) -> Iterator[PlannedCell]:
    """The cells of an entry that decodes policies for users, one for each context size and seed."""
    settings = entry.model_dump(exclude_defaults=True)
    for context in policies.experiment.users.contexts:
        point = _short([name, policies.size, settings, context, policies.shared.data.key, policies.base.key])
        for seed in policies.experiment.seeds:
            scores = {"steer": decoded_stage(policies, name, entry, context, seed)}
            yield PlannedCell(
                name,
                name,
                policies.size,
                seed,
                settings,
                {"context": context},
                point,
                None,
                None,
                scores,
                trained=False,
            )


def _notes(entries: list[tuple[PlannedCell, str]]) -> tuple[str, ...]:
    """What entries lack, one sentence for all that lack the same."""
    names: dict[str, list[str]] = {}
    for cell, note in entries:
        if note and cell.entry not in names.setdefault(note, []):
            names[note].append(cell.entry)
    return tuple(f"{some(of)}: {note}." for note, of in names.items())


def _require_names(experiment: Experiment, brought: list[EntryCell]) -> None:
    """Raise `UsageError` where two entries would have one name, size and seed in the report."""
    seen: set[tuple[str, str, int]] = set()
    for cell in brought:
        if cell.entry in (BASE, *experiment.methods):
            raise UsageError(f"methods: {cell.entry!r} is a trained entry and a model of a file; rename the entry")
        if (cell.entry, cell.size, cell.seed) in seen:
            raise UsageError(
                f"methods: {cell.entry!r} comes twice with size {cell.size} and seed {cell.seed}; give one of them another "
                "name, 'size' or 'seed'"
            )
        seen.add((cell.entry, cell.size, cell.seed))


def _entry_cell(
    experiment: Experiment, shared: SharedStages, cell: EntryCell, judge: Stage | Model | None
) -> tuple[PlannedCell, str]:
    """The cell of an entry that is not trained, scored by the suites that it has all needs of, and what it lacks."""
    label, device = f"{cell.entry} {cell.size} seed {cell.seed}", str(device_settings(experiment)["device"])
    measured = Measured(experiment, shared, label, cell.policy, cell.generate, None, judge, {"method": None}, device)
    scores = dict(cell.scores)
    lacks: dict[str, list[str]] = {}
    for name in experiment.suites:
        suite = suites()[name]
        if missing := lacking(suite, measured):
            lacks.setdefault(missing[0], []).append(name)
        else:
            _require_judge(experiment, suite, cell, judge)
            scores |= suite_stages(suite, measured)
    measured_by_scorer = [name for name, spec in experiment.objectives.items() if spec.column is None]
    if cell.generate is not None:
        scores |= own_suites(experiment, cell.generate, shared.prompts, label, device)
    elif measured_by_scorer:
        lacks.setdefault("generations", []).extend(measured_by_scorer)
    words = {"generations": "no responses", "policy": "no checkpoint"}
    note = "; ".join(
        ["not trained here, so KL and training health are not known"]
        + [f"{words[need]}, so {', '.join(names)} is not measured" for need, names in lacks.items()]
    )
    point = _short([cell.entry, cell.size, dict(cell.settings), shared.prompts.key])
    planned = PlannedCell(
        cell.entry, cell.entry, cell.size, cell.seed, cell.settings, {}, point, cell.policy, cell.generate,
        scores, trained=False,
    )  # fmt: skip
    return planned, note


def _require_judge(experiment: Experiment, suite: Suite, cell: EntryCell, judge: Stage | Model | None) -> None:
    """Raise `UsageError` for an entry of a size without a base, where the judge is trained from the size's base."""
    spec = experiment.judge
    if "judge" not in suite.needs or spec is None or judge is not None or spec.model is not None:
        return
    if "training" in spec.needs:
        sizes = ", ".join(experiment.sizes) or "no size"
        raise UsageError(
            f"methods: the judge of {cell.entry} would be trained from the base of size {cell.size}, and the experiment has "
            f"{sizes}; name a judge.model or another size"
        )


def _short(identity: Any) -> str:
    return hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:12]

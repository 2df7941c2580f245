"""Plan of an experiment: its cells and the directed acyclic graph of stages that train and measure them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

from harness.errors import UsageError
from harness.plan.check import check, settings_of, without_toxicity
from harness.plan.judging import require_budget
from harness.plan.policies import PolicyStages
from harness.plan.shared_stages import as_conversations, make_base, make_judge, make_shared_stages
from harness.plan.stage import Stage
from harness.plan.suite_inputs import Measured, suite_stages
from harness.spec.data import OracleData
from harness.spec.experiment import BASE, Experiment
from harness.spec.methods import MethodEntry
from suites.registry import suites


@dataclass(frozen=True)
class PlannedCell:
    """A policy to train, and the stages that train and measure it."""

    method: str
    entry: str
    size: str
    seed: int
    parameters: Mapping[str, Any]
    sweep: str | None
    sweep_value: float | None
    point: str
    policy: Stage
    generate: Stage
    scores: Mapping[str, Stage]

    @cached_property
    def cell(self) -> str:
        """Identifier of the trained policy and its measurement."""
        return _short([self.policy.key, self.generate.key])

    @property
    def label(self) -> str:
        return self.entry if self.sweep is None else f"{self.entry} {self.sweep}={self.sweep_value:g}"

    @property
    def trained(self) -> bool:
        """Whether the policy comes from a method; the base does not."""
        return self.method != BASE

    @property
    def stages(self) -> list[Stage]:
        return [self.policy, self.generate, *self.scores.values()]


@dataclass(frozen=True)
class Plan:
    """The cells of an experiment; shared stages are reached through the inputs of stages."""

    experiment: Experiment
    cells: tuple[PlannedCell, ...]
    origin: str
    """The experiment on the command line: its name or file, and the overrides."""
    worlds: Mapping[int, Plan] = field(default_factory=dict)
    """The plan in each world, by the world's seed, where there are several; the cells are theirs."""

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
        return Plan(self.experiment, chosen, self.origin, worlds)


def make_plan(experiment: Experiment, origin: str | None = None) -> Plan:
    """Plan an experiment; anything that it lacks is an error here, before anything runs.

    Raises
    ------
    UsageError
        Naming the key and the nearest valid choice.
    """
    experiment = without_toxicity(experiment)
    check(experiment)
    data = experiment.data
    if isinstance(data, OracleData) and data.worlds:
        worlds = {
            seed: make_plan(experiment.model_copy(update={"data": data.in_world(seed)}), origin or experiment.name)
            for seed in data.worlds
        }
        cells = tuple(cell for part in worlds.values() for cell in part.cells)
        return Plan(experiment, cells, origin or experiment.name, worlds)
    return _make_plan(experiment, origin or experiment.name)


def _make_plan(experiment: Experiment, origin: str) -> Plan:
    """The plan of an experiment on one set of data."""
    shared = make_shared_stages(experiment)
    data = shared.data
    bases = {name: make_base(experiment, name, size, data) for name, size in experiment.sizes.items()}
    cells = []
    for size, base in bases.items():
        adapted = as_conversations(experiment, shared, base)
        judge = make_judge(experiment, adapted, size, base)
        policy_stages = {seed: PolicyStages(experiment, adapted, bases, judge, size, seed) for seed in experiment.seeds}
        cells += [
            _cell(policies, name, entry, trial)
            for name, entry in experiment.methods.items()
            for trial in entry.trials
            for policies in policy_stages.values()
        ]
        cells += [_cell(policies, BASE, MethodEntry(method=BASE), {}) for policies in policy_stages.values()]
    _require_distinct(cells)
    planned = Plan(experiment, tuple(cells), origin)
    require_budget(planned.stages.values())
    return planned


def _require_distinct(cells: list[PlannedCell]) -> None:
    owner: dict[str, PlannedCell] = {}
    for cell in cells:
        if (other := owner.setdefault(cell.cell, cell)) is not cell:
            raise UsageError(f"methods: {other.label} and {cell.label} are the same policy; leave one of them out")


def _cell(policies: PolicyStages, name: str, entry: MethodEntry, trial: Mapping[str, float]) -> PlannedCell:
    experiment, shared, judge = policies.experiment, policies.shared, policies.judge
    policy, condition = policies.base, None
    settings: dict[str, Any] = {}
    if name != BASE:
        policy, condition = policies.policy(name, trial), policies.condition(name, trial)
        settings.update(settings_of(experiment, entry, trial))
        settings |= {"references": entry.references} if entry.references else {}
        settings |= {"rewards": entry.rewards} if entry.rewards else {}
    label, device = policies.label(name, trial), policies.running["device"]
    decoding = {**experiment.decoding.model_dump(exclude={"backend"}), "seed": policies.seed}
    inputs = {"policy": policy, "data": shared.prompts} | ({"condition": condition} if condition else {})
    generator = {"hf": "generate", "vllm": "generate_vllm"}[experiment.decoding.backend]
    generate = Stage(generator, f"generate {label}", {"decoding": decoding}, inputs, settings=policies.running)
    # A closed form is known only for the optimum of a loss on the pairs themselves.
    plain = not (entry.data or entry.rounds or entry.soup or entry.references)
    target = {
        "method": entry.method,
        "parameters": settings.get("parameters", {}),
        "weights": entry.rewards or experiment.rewards,
    }
    measured = Measured(
        experiment, shared, label, policy, generate, condition, judge, target if plain else {"method": None}, device
    )
    registered = suites()
    scores = {
        suite: stage for name in experiment.suites for suite, stage in suite_stages(registered[name], measured).items()
    }
    sweep, value = next(iter(trial.items()), (None, None))
    size, seed = policies.size, policies.seed
    point = _short([name, size, settings, shared.data.key, policies.base.key])
    return PlannedCell(entry.method, name, size, seed, settings, sweep, value, point, policy, generate, scores)


def _short(identity: Any) -> str:
    return hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:12]

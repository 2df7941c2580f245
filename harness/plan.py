"""From an experiment to the stages that make it: a DAG whose leaves are each cell's scores."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from harness.check import check, settings_of, without_toxicity
from harness.errors import UsageError, nearest
from harness.experiment import BASE, Experiment, MethodEntry, OracleData, PairData, Size
from harness.recipes import Kitchen, Sources
from harness.stage import File, Stage


@dataclass(frozen=True)
class PlannedCell:
    """A policy to train and the stages that train and measure it."""

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
        """Identity: what was trained and how it is measured."""
        return _short([self.policy.key, self.generate.key])

    @property
    def label(self) -> str:
        return self.entry if self.sweep is None else f"{self.entry} {self.sweep}={self.sweep_value:g}"

    @property
    def stages(self) -> list[Stage]:
        return [self.policy, self.generate, *self.scores.values()]


@dataclass(frozen=True)
class Plan:
    """The cells of an experiment; the stages they share are found through their inputs."""

    experiment: Experiment
    cells: tuple[PlannedCell, ...]
    origin: str
    """How the command line names the experiment: its name or file, and the overrides."""

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
        """The plan for some cells, named by the beginning of their ids."""
        chosen = tuple(cell for cell in self.cells if any(cell.cell.startswith(prefix) for prefix in wanted))
        for prefix in wanted:
            if not any(cell.cell.startswith(prefix) for cell in self.cells):
                known = nearest(prefix, [cell.cell for cell in self.cells])
                raise UsageError(f"--cell {prefix}: no such cell in {self.experiment.name}{known}")
        return Plan(self.experiment, chosen, self.origin)


def make_plan(experiment: Experiment, origin: str | None = None) -> Plan:
    """Plan an experiment; whatever it lacks is an error here, before anything runs.

    Raises
    ------
    UsageError
        Naming the key and the nearest valid choice.
    """
    experiment = without_toxicity(experiment)
    check(experiment)
    data = _oracle_data(experiment.data) if isinstance(experiment.data, OracleData) else _pair_data(experiment.data)
    sources = _sources(experiment, data)
    bases = {name: _base(experiment, name, size, data) for name, size in experiment.sizes.items()}
    cells = []
    for size, base in bases.items():
        judge = _judge(experiment, size, data, base)
        kitchens = {seed: Kitchen(experiment, sources, bases, judge, size, seed) for seed in experiment.seeds}
        cells += [
            _cell(kitchen, name, entry, trial)
            for name, entry in experiment.methods.items()
            for trial in entry.trials
            for kitchen in kitchens.values()
        ]
        cells += [_cell(kitchen, BASE, MethodEntry(method=BASE), {}) for kitchen in kitchens.values()]
    return Plan(experiment, tuple(cells), origin or experiment.name)


def _oracle_data(data: OracleData) -> Stage:
    return Stage("world", "oracle world", data.model_dump(exclude={"source"}))


def _pair_data(data: PairData) -> Stage:
    parameters = data.model_dump(exclude={"source", "path"})
    path = Path(data.path)
    if path.exists():
        return Stage("pairs", f"pairs from {path.name}", parameters, {"file": File(path)})
    if path.suffix or data.path.count("/") != 1:
        raise UsageError(f"data.path: {data.path}: no such file (a hub id is written OWNER/NAME)")
    return Stage("pairs", f"pairs from {data.path}", {**parameters, "hub": data.path})


def _sources(experiment: Experiment, data: Stage) -> Sources:
    toxicity, spec = None, experiment.toxicity
    if spec.model is None and (isinstance(experiment.data, OracleData) or spec.labelled):
        inputs: dict[str, Stage | File] = {"data": data}
        if spec.labelled:
            if not Path(spec.labelled).is_file():
                raise UsageError(f"toxicity.labelled: {spec.labelled}: no such file")
            inputs = {"labelled": File(Path(spec.labelled))}
        toxicity = Stage("train_toxicity", "toxicity classifier", {"training": spec.training}, inputs)
    enumeration = None
    if "exact" in experiment.suites:
        if toxicity is None:
            raise UsageError("suites: 'exact' needs the oracle world and a toxicity classifier trained on it")
        enumeration = Stage(
            "enumeration",
            "designer objectives of every response",
            {"objectives": sorted(experiment.rewards)},
            {"data": data, "toxicity": toxicity},
        )
    return Sources(data, toxicity, spec.model, enumeration)


def _base(experiment: Experiment, name: str, size: Size, data: Stage) -> Stage:
    if size.model is not None:
        return Stage("pretrained", f"base {size.model}", {"model": size.model})
    vocabulary = {"vocabulary": experiment.base.vocabulary, "reserved": _tags(experiment)}
    tokenizer = Stage("tokenizer", "tokenizer", vocabulary, {"data": data})
    parameters = {"model": size.model_dump(exclude_none=True), "training": experiment.base.training}
    return Stage("base", f"pretrain base, {name}", parameters, {"data": data, "tokenizer": tokenizer})


def _tags(experiment: Experiment) -> list[str]:
    """Text that the data steps of an experiment put into prompts."""
    from trainers.data_steps import steps

    entries = [entry.data.step for entry in experiment.methods.values() if entry.data]
    return sorted({tag for name in entries for tag in steps()[name].tags})


def _judge(experiment: Experiment, size: str, data: Stage, base: Stage) -> Stage | None:
    if experiment.judge.kind == "oracle" or experiment.judge.model is not None:
        return None
    parameters = {"training": experiment.judge.training}
    return Stage("train_judge", f"reward model, {size}", parameters, {"data": data, "base": base})


def _cell(kitchen: Kitchen, name: str, entry: MethodEntry, trial: Mapping[str, float]) -> PlannedCell:
    experiment, sources, judge = kitchen.experiment, kitchen.sources, kitchen.judge
    policy, settings, condition = kitchen.base, {}, None
    if name != BASE:
        policy, condition = kitchen.policy(name, trial), kitchen.condition(name, trial)
        settings = settings_of(experiment, entry, trial)
        settings |= {"references": entry.references} if entry.references else {}
    label = kitchen.label(name, trial)
    decoding = {**experiment.decoding.model_dump(), "seed": kitchen.seed}
    asked = {"policy": policy, "data": sources.data} | ({"condition": condition} if condition else {})
    generate = Stage("generate", f"generate {label}", {"decoding": decoding}, asked)
    generations = {"generations": generate, "data": sources.data}
    judge_parameters = {"judge": experiment.judge.kind, "model": experiment.judge.model}
    target = {"method": entry.method, "parameters": settings.get("parameters", {}), "weights": experiment.rewards}
    # A closed form is known only for what a loss alone aims at.
    plain = not (entry.data or entry.rounds or entry.soup or entry.references)
    scorers = {
        "win_rate": (judge_parameters, generations | ({"judge": judge} if judge else {})),
        "toxicity": (
            {"toxicity_model": sources.toxicity_model},
            generations | ({"toxicity": sources.toxicity} if sources.toxicity else {}),
        ),
        "style": ({}, generations),
        "benchmark": ({}, asked),
        "exact": (target if plain else {"method": None}, asked | {"enumeration": sources.enumeration}),
    }
    scores = {suite: Stage(f"score_{suite}", f"{suite} {label}", *scorers[suite]) for suite in experiment.suites}
    sweep, value = next(iter(trial.items()), (None, None))
    size, seed = kitchen.size, kitchen.seed
    point = _short([name, size, settings, sources.data.key, kitchen.base.key])
    return PlannedCell(entry.method, name, size, seed, settings, sweep, value, point, policy, generate, scores)


def _short(identity: Any) -> str:
    return hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:12]

"""From an experiment to the stages that make it: a DAG whose leaves are each cell's scores."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from harness.benchmarks import benchmark_stage
from harness.check import check, settings_of, without_toxicity
from harness.errors import UsageError, nearest
from harness.experiment import Experiment, MethodEntry, OracleData, PairData, Size
from harness.stage import File, Stage

BASE = "base"
"""The unaligned starting point, measured beside every method."""


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


@dataclass(frozen=True)
class Sources:
    """The stages that every cell of one size builds on."""

    data: Stage
    toxicity: Stage | None
    toxicity_model: str | None
    enumeration: Stage | None = None
    benchmarks: tuple[Mapping[str, Any], Mapping[str, File]] | None = None


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
    rewards = None
    if experiment.rewards:
        inputs = {"data": data} | ({"toxicity": sources.toxicity} if sources.toxicity else {})
        parameters = {"objectives": sorted(experiment.rewards), "toxicity_model": sources.toxicity_model}
        rewards = Stage("rewards", "designer rewards of the pairs", parameters, inputs)
    cells = []
    for size_name, size in experiment.sizes.items():
        base = _base(experiment, size_name, size, data)
        judge = _judge(experiment, size_name, data, base)
        config = {
            name: value
            for name, value in experiment.training.items()
            if name in ("max_prompt_tokens", "max_tokens", "dtype")
        }
        reference = Stage(
            "reference", f"reference log-probs, {size_name}", {"training": config}, {"base": base, "data": data}
        )
        for entry_name, entry in experiment.methods.items():
            for trial in entry.trials:
                for seed in experiment.seeds:
                    policy = _align(
                        experiment, entry_name, entry, trial, size_name, seed, base, data, reference, rewards
                    )
                    cells.append(_cell(experiment, sources, judge, policy, entry_name, entry, trial, size_name, seed))
        for seed in experiment.seeds:
            entry = MethodEntry(method=BASE)
            cells.append(_cell(experiment, sources, judge, base, BASE, entry, {}, size_name, seed))
    _require_distinct(cells)
    return Plan(experiment, tuple(cells), origin or experiment.name)


def _require_distinct(cells: list[PlannedCell]) -> None:
    owner: dict[str, PlannedCell] = {}
    for cell in cells:
        if (other := owner.setdefault(cell.cell, cell)) is not cell:
            raise UsageError(f"methods: {other.label} and {cell.label} are the same policy; leave one of them out")


def _oracle_data(data: OracleData) -> Stage:
    return Stage("world", "oracle world", data.model_dump(exclude={"source"}))


def _pair_data(data: PairData) -> Stage:
    parameters = data.model_dump(exclude={"source", "path", "mixture"})
    if not data.mixture:
        found = _found("data.path", data.path)
        if isinstance(found, File):
            return Stage("pairs", f"pairs from {found.path.name}", parameters, {"file": found})
        return Stage("pairs", f"pairs from {found}", {**parameters, "hub": found})
    mixture, files = [], {}
    for number, source in enumerate(data.mixture):
        found = _found(f"data.mixture.{number}.path", source.path)
        how = {"split": source.split, "form": source.form}
        if isinstance(found, File):
            files[f"file {number}"] = found
        else:
            how["hub"] = found
        mixture.append(how)
    label = "pairs from " + " + ".join(Path(source.path).name for source in data.mixture)
    return Stage("pairs", label, {**parameters, "mixture": mixture}, files)


def _found(key: str, path: str) -> File | str:
    """A local file, or the id of a data set on the hub."""
    if Path(path).exists():
        return File(Path(path))
    if Path(path).suffix or path.count("/") != 1:
        raise UsageError(f"{key}: {path}: no such file (a hub id is written OWNER/NAME)")
    return path


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
    benchmarks = benchmark_stage(experiment.benchmarks) if experiment.benchmarks else None
    return Sources(data, toxicity, spec.model, enumeration, benchmarks)


def _base(experiment: Experiment, name: str, size: Size, data: Stage) -> Stage:
    if size.model is not None:
        return Stage("pretrained", f"base {size.model}", {"model": size.model})
    tokenizer = Stage("tokenizer", "tokenizer", {"vocabulary": experiment.base.vocabulary}, {"data": data})
    parameters = {"model": size.model_dump(exclude_none=True), "training": experiment.base.training}
    return Stage("base", f"pretrain base, {name}", parameters, {"data": data, "tokenizer": tokenizer})


def _judge(experiment: Experiment, size: str, data: Stage, base: Stage) -> Stage | None:
    if experiment.judge.kind == "oracle" or experiment.judge.model is not None:
        return None
    parameters = {"training": experiment.judge.training}
    return Stage("train_judge", f"reward model, {size}", parameters, {"data": data, "base": base})


def _align(experiment, entry_name, entry, trial, size, seed, base, data, reference, rewards) -> Stage:
    from trainers.methods import create

    method, training = settings_of(experiment, entry, trial)
    label = " ".join([entry_name, *(f"{k}={v:g}" for k, v in trial.items()), size, f"seed {seed}"])
    inputs = {"base": base, "data": data}
    needs = create(entry.method, **method).needs
    if needs.references:
        inputs["reference"] = reference
    if needs.rewards:
        inputs["rewards"] = rewards
    parameters = {
        "method": entry.method,
        "parameters": method,
        "training": {**training, "seed": seed},
        "weights": (entry.rewards or experiment.rewards) if "rewards" in inputs else {},
    }
    return Stage("align", label, parameters, inputs, code=_method_code(entry.method, method))


def _cell(experiment, sources, judge, policy, entry_name, entry, trial, size, seed) -> PlannedCell:
    settings = (
        {} if policy.kind != "align" else dict(zip(("parameters", "training"), settings_of(experiment, entry, trial)))
    )
    name = policy.label if policy.kind == "align" else f"{BASE} {size} seed {seed}"
    decoding = {**experiment.decoding.model_dump(), "seed": seed}
    generate = Stage("generate", f"generate {name}", {"decoding": decoding}, {"policy": policy, "data": sources.data})
    generations = {"generations": generate, "data": sources.data}
    judge_parameters = {"judge": experiment.judge.kind, "model": experiment.judge.model}
    scorers = {
        "win_rate": (judge_parameters, generations | ({"judge": judge} if judge else {})),
        "toxicity": (
            {"toxicity_model": sources.toxicity_model},
            generations | ({"toxicity": sources.toxicity} if sources.toxicity else {}),
        ),
        "style": ({}, generations),
        "benchmark": _benchmark(sources, policy),
        "exact": (
            {
                "method": entry.method,
                "parameters": settings.get("parameters", {}),
                "weights": entry.rewards or experiment.rewards,
            },
            {"policy": policy, "data": sources.data, "enumeration": sources.enumeration},
        ),
    }
    scores = {suite: Stage(f"score_{suite}", f"{suite} {name}", *scorers[suite]) for suite in experiment.suites}
    sweep, value = next(iter(trial.items()), (None, None))
    point = _short(
        [
            entry_name,
            size,
            settings,
            sources.data.key,
            policy.inputs["base"].key if "base" in policy.inputs else policy.key,
        ]
    )
    return PlannedCell(entry.method, entry_name, size, seed, settings, sweep, value, point, policy, generate, scores)


def _benchmark(sources: Sources, policy: Stage) -> tuple[Mapping[str, Any], Mapping[str, Stage | File]]:
    """The published benchmarks with their files, or the world's own task, which lies beside its data."""
    if sources.benchmarks is None:
        return {}, {"policy": policy, "data": sources.data}
    parameters, files = sources.benchmarks
    return parameters, {"policy": policy, **files}


def _method_code(name: str, parameters: Mapping[str, Any]) -> tuple[str, ...]:
    """The modules a method's loss lives in, its base loss's included."""
    names = [name, *(value for value in parameters.values() if isinstance(value, str))]
    from trainers.methods import methods

    return tuple(sorted({methods()[name].__module__ for name in names if name in methods()}))


def _short(identity: Any) -> str:
    return hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:12]

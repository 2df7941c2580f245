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
from harness.experiment import BASE, Experiment, MethodEntry, OracleData, PairData, Size
from harness.judging import judged, require_budget
from harness.prompt_sets import INCOMPLETE, KNOWN, file_rows, read_prompts, read_references, without_reference
from harness.recipes import Kitchen, Sources, given
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
    def trained(self) -> bool:
        """Whether the policy comes from a method; the base does not."""
        return self.method != BASE

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
    _require_distinct(cells)
    planned = Plan(experiment, tuple(cells), origin or experiment.name)
    require_budget(planned.stages.values())
    return planned


def _require_distinct(cells: list[PlannedCell]) -> None:
    owner: dict[str, PlannedCell] = {}
    for cell in cells:
        if (other := owner.setdefault(cell.cell, cell)) is not cell:
            raise UsageError(f"methods: {other.label} and {cell.label} are the same policy; leave one of them out")


def _oracle_data(data: OracleData) -> Stage:
    return Stage("world", "oracle world", data.model_dump(exclude={"source"}))


def _pair_data(data: PairData) -> Stage:
    parameters = data.model_dump(exclude={"source", "path", "mixture", "prompts"})
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
    spec = experiment.toxicity
    toxicity = None
    if spec.model or spec.labelled or isinstance(experiment.data, OracleData):
        toxicity = _toxicity_scorer("toxicity", spec.model, spec.labelled, spec.training, data)
    held_out = None
    if toxicity and spec.held_out:
        own = spec.held_out
        held_out = _toxicity_scorer("toxicity.held_out", own.model, own.labelled, own.training, data)
        if held_out == toxicity or getattr(held_out, "key", 0) == getattr(toxicity, "key", 1):
            raise UsageError("toxicity.held_out: is the scorer that it is held out from; name another model or other labels")
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
    return Sources(data, _prompts(experiment, data), toxicity, held_out, enumeration, benchmarks)


def _toxicity_scorer(
    key: str, model: str | None, labelled: str | None, training: Mapping[str, Any], data: Stage
) -> Stage | File | str:
    """A Detoxify model by name, a checkpoint by its bytes, or the stage that trains one."""
    from suites.toxicity import checkpoint_file

    if model is not None:
        try:
            file = checkpoint_file(model)
        except ValueError as error:
            raise UsageError(f"{key}.model: {error}") from None
        return model if file is None else File(file)
    inputs: dict[str, Stage | File] = {"data": data}
    if labelled:
        if not Path(labelled).is_file():
            raise UsageError(f"{key}.labelled: {labelled}: no such file")
        inputs = {"labelled": File(Path(labelled))}
    return Stage("train_toxicity", key.replace(".", " ") + " classifier", {"training": training}, inputs)


def _prompts(experiment: Experiment, data: Stage) -> Stage:
    """The stage that makes ``prompts.jsonl``; files are read here already, so that their faults are told at once."""
    spec = getattr(experiment.data, "prompts", None)
    if spec is None:
        return data
    path, parameters = Path(spec.set), {"template": spec.template, "limit": spec.limit}
    inputs, references = {}, None
    if spec.references is not None:
        if not Path(spec.references).is_file():
            raise UsageError(f"data.prompts.references: {spec.references}: no such file")
        inputs["references"] = File(Path(spec.references))
        references = read_references(file_rows(Path(spec.references)))
    if path.is_file():
        inputs["file"] = File(path)
        lacking = without_reference(read_prompts(file_rows(path), references)[: spec.limit])
    elif spec.set in KNOWN:
        parameters["set"] = spec.set
        incomplete = spec.set in INCOMPLETE and references is None
        lacking = "some prompts have no reference response" if incomplete else None
    else:
        raise UsageError(f"data.prompts.set: {spec.set}: no such file or set{nearest(spec.set, KNOWN)}")
    if "win_rate" in experiment.suites and lacking:
        raise UsageError(
            f"data.prompts.set: {spec.set}: {lacking}, which the suite 'win_rate' needs; name a file with a model's "
            "responses (--set data.prompts.references=FILE) or leave 'win_rate' out of 'suites'"
        )
    return Stage("prompts", f"prompts from {path.name}", parameters, inputs)


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
    if experiment.judge.kind != "reward_model" or experiment.judge.model is not None:
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
        settings |= {"rewards": entry.rewards} if entry.rewards else {}
    label = kitchen.label(name, trial)
    decoding = {**experiment.decoding.model_dump(exclude={"backend"}), "seed": kitchen.seed}
    asked = {"policy": policy, "data": sources.data} | ({"condition": condition} if condition else {})
    generator = {"hf": "generate", "vllm": "generate_vllm"}[experiment.decoding.backend]
    generate = Stage(generator, f"generate {label}", {"decoding": decoding}, asked | {"data": sources.prompts})
    generations = {"generations": generate, "data": sources.prompts}
    # A closed form is known only for what a loss alone aims at.
    target = {
        "method": entry.method,
        "parameters": settings.get("parameters", {}),
        "weights": entry.rewards or experiment.rewards,
    }
    plain = not (entry.data or entry.rounds or entry.soup or entry.references)
    scorers = {
        "win_rate": judged("win_rate", experiment.judge, generations, judge),
        "toxicity": _toxicity(sources, generations),
        "style": ({}, generations),
        "benchmark": _benchmark(sources, asked),
        "exact": (target if plain else {"method": None}, asked | {"enumeration": sources.enumeration}),
    }
    scores = {suite: Stage(f"score_{suite}", f"{suite} {label}", *scorers[suite]) for suite in experiment.suites}
    if experiment.judge.second and "win_rate" in scores:
        second = judged("win_rate_second", experiment.judge.second, generations)
        scores["win_rate_second"] = Stage("score_win_rate", f"second judge {label}", *second)
    sweep, value = next(iter(trial.items()), (None, None))
    size, seed = kitchen.size, kitchen.seed
    point = _short([name, size, settings, sources.data.key, kitchen.base.key])
    return PlannedCell(entry.method, name, size, seed, settings, sweep, value, point, policy, generate, scores)


def _benchmark(sources: Sources, asked: Mapping[str, Stage]) -> tuple[Mapping[str, Any], Mapping[str, Stage | File]]:
    """The published benchmarks with their files, or the world's own task, which lies beside its data."""
    if sources.benchmarks is None:
        return {}, asked
    parameters, files = sources.benchmarks
    return parameters, {"policy": asked["policy"], **files}


def _toxicity(sources: Sources, generations: Mapping[str, Stage]) -> tuple[dict, dict]:
    names, inputs = given(toxicity=sources.toxicity, held_out=sources.held_out)
    own, scorer = given(toxicity=sources.toxicity)
    label = "toxicity of the prompts and references"
    baselines = Stage("reference_toxicity", label, own, {"data": sources.prompts, **scorer})
    return names, {**generations, **inputs, "baselines": baselines}


def _short(identity: Any) -> str:
    return hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:12]

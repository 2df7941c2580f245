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
from harness.experiment import Experiment, MethodEntry, OracleData, PairData, Size
from harness.prompt_sets import INCOMPLETE, KNOWN, file_rows, read_prompts, read_references, without_reference
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
    prompts: Stage
    """Whose prompts are generated for: the data's own held-out ones, or a set of prompts."""
    toxicity: Stage | File | str | None
    held_out: Stage | File | str | None
    """A toxicity scorer that is no reward."""
    enumeration: Stage | None = None


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
        names, inputs = _given(toxicity=sources.toxicity)
        parameters = {"objectives": sorted(experiment.rewards), **names}
        rewards = Stage("rewards", "designer rewards of the pairs", parameters, {"data": data, **inputs})
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
    return Plan(experiment, tuple(cells), origin or experiment.name)


def _oracle_data(data: OracleData) -> Stage:
    return Stage("world", "oracle world", data.model_dump(exclude={"source"}))


def _pair_data(data: PairData) -> Stage:
    parameters = data.model_dump(exclude={"source", "path", "prompts"})
    path = Path(data.path)
    if path.exists():
        return Stage("pairs", f"pairs from {path.name}", parameters, {"file": File(path)})
    if path.suffix or data.path.count("/") != 1:
        raise UsageError(f"data.path: {data.path}: no such file (a hub id is written OWNER/NAME)")
    return Stage("pairs", f"pairs from {data.path}", {**parameters, "hub": data.path})


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
    return Sources(data, _prompts(experiment, data), toxicity, held_out, enumeration)


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


def _given(**sources: Stage | File | str | None) -> tuple[dict[str, str], dict[str, Stage | File]]:
    """Scorers as a stage takes them: a name as the parameter ``ROLE_model``, anything else as the input ``ROLE``."""
    names = {f"{role}_model": source for role, source in sources.items() if isinstance(source, str)}
    return names, {role: source for role, source in sources.items() if isinstance(source, (Stage, File))}


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
        "weights": experiment.rewards if "rewards" in inputs else {},
    }
    return Stage("align", label, parameters, inputs, code=_method_code(entry.method, method))


def _cell(experiment, sources, judge, policy, entry_name, entry, trial, size, seed) -> PlannedCell:
    settings = (
        {} if policy.kind != "align" else dict(zip(("parameters", "training"), settings_of(experiment, entry, trial)))
    )
    name = policy.label if policy.kind == "align" else f"{BASE} {size} seed {seed}"
    decoding = {**experiment.decoding.model_dump(), "seed": seed}
    generate = Stage(
        "generate", f"generate {name}", {"decoding": decoding}, {"policy": policy, "data": sources.prompts}
    )
    generations = {"generations": generate, "data": sources.prompts}
    judge_parameters = {"judge": experiment.judge.kind, "model": experiment.judge.model}
    scorers = {
        "win_rate": (judge_parameters, generations | ({"judge": judge} if judge else {})),
        "toxicity": _toxicity(sources, generations),
        "style": ({}, generations),
        "benchmark": ({}, {"policy": policy, "data": sources.data}),
        "exact": (
            {"method": entry.method, "parameters": settings.get("parameters", {}), "weights": experiment.rewards},
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


def _toxicity(sources: Sources, generations: Mapping[str, Stage]) -> tuple[dict, dict]:
    names, inputs = _given(toxicity=sources.toxicity, held_out=sources.held_out)
    own, scorer = _given(toxicity=sources.toxicity)
    label = "toxicity of the prompts and references"
    baselines = Stage("reference_toxicity", label, own, {"data": sources.prompts, **scorer})
    return names, {**generations, **inputs, "baselines": baselines}


def _method_code(name: str, parameters: Mapping[str, Any]) -> tuple[str, ...]:
    """The modules a method's loss lives in, its base loss's included."""
    names = [name, *(value for value in parameters.values() if isinstance(value, str))]
    from trainers.methods import methods

    return tuple(sorted({methods()[name].__module__ for name in names if name in methods()}))


def _short(identity: Any) -> str:
    return hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:12]

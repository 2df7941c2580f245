"""Objectives of an experiment, its own among them, and its designer rewards as parameters of stages."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.errors import UsageError
from harness.inputs.designer_rewards import DeclaredReward
from harness.inputs.models import COMMIT, ModelError, require_safetensors
from harness.inputs.own_scorers import OwnScorer
from harness.plan.judging import endpoint_terms
from harness.plan.stage import Cache, File, Model, Source, Stage
from harness.records import Objective
from harness.spec.data import PairData
from harness.spec.experiment import Experiment
from harness.spec.objectives import OwnObjective


def objectives_of(experiment: Experiment) -> dict[str, Objective]:
    """Every objective that an experiment may name: those of its suites, its own, and the other registered ones."""
    from suites.registry import objectives, suites

    registered = suites()
    chosen = [registered[name] for name in experiment.suites if name in registered]
    of_suites = {objective.name: objective for suite in chosen for objective in suite.objectives}
    own = {name: spec.objective(name) for name, spec in experiment.objectives.items()}
    return of_suites | own | {name: objective for name, objective in objectives().items() if name not in of_suites}


@dataclass(frozen=True)
class OwnStage:
    """What a stage needs to measure an own objective: its scorer, inputs and code, and limits of an endpoint."""

    scorer: OwnScorer
    inputs: Mapping[str, Source]
    code: tuple[str, ...]
    limits: Mapping[str, Any]


def own_stage(name: str, spec: OwnObjective) -> OwnStage:
    """The scorer of an own objective with the files and models that it names, by their bytes.

    Raises
    ------
    UsageError
        For a file or a model folder that does not exist.
    """
    from suites.custom import create

    assert spec.kind is not None
    scorer = create(spec.kind, spec.scorer)
    inputs = {
        field: source
        for field, named in scorer.sources.items()
        if (source := _source(f"objectives.{name}.{field}", named, spec.scorer.get("revision"))) is not None
    }
    placeless = scorer.with_sources({**scorer.sources, **{field: source.path.name for field, source in inputs.items()}})
    module = type(scorer).__module__
    roles = {field: f"{name} {field}" for field in inputs}
    settings = {field: getattr(placeless, field) for field in spec.scorer}
    limits: Mapping[str, Any] = {}
    answers: dict[str, Source] = {}
    if spec.endpoint is not None:
        settings["endpoint"], limits = endpoint_terms(spec.endpoint)
        answers = {"answers": Cache("judgements")}
    declared = OwnScorer(
        kind=spec.kind,
        module=module,
        settings=settings,
        inputs=roles,
        clip=spec.clip,
    )
    files = {roles[field]: source for field, source in inputs.items()}
    return OwnStage(declared, files | answers, (module, *scorer.code), limits)


def _source(key: str, named: str, revision: str | None) -> File | Model | None:
    """A file or model folder of the user's; None for a model's name on the hub, which needs its commit."""
    path = Path(named)
    if path.is_dir():
        try:
            require_safetensors(path)
        except ModelError as fault:
            raise UsageError(f"{key}: {fault}") from None
        return Model.folder(path)
    if path.is_file():
        return File(path)
    if path.suffix or named.startswith(("/", ".", "~")) or named.count("/") != 1:
        raise UsageError(f"{key}: {named}: no such file or folder")
    if revision is None or not COMMIT.fullmatch(revision):
        raise UsageError(f"{key}: {named}: a model of the hub needs its commit as 'revision' (40 hexadecimal digits)")
    return None


def own_suites(experiment: Experiment, generations: Stage, prompts: Stage, label: str, device: str) -> dict[str, Stage]:
    """The stages that score a policy's responses with the experiment's own objectives, by objective."""
    stages = {}
    for name, spec in experiment.objectives.items():
        if spec.column is not None:
            continue
        own = own_stage(name, spec)
        parameters = {
            "objective": name, "direction": spec.direction, "bounds": list(spec.bounds), "scorer": own.scorer,
        }  # fmt: skip
        inputs = {"generations": generations, "data": prompts, **own.inputs}
        settings = {"device": device, **({"limits": own.limits} if own.limits else {})}
        stages[name] = Stage(f"score_{name}", f"{name} {label}", parameters, inputs, own.code, settings, "score_own")
    return stages


@dataclass(frozen=True)
class Rewards:
    """Designer rewards as a stage needs them: as JSON by name, with inputs, code and settings of own scorers."""

    declared: dict[str, DeclaredReward]
    inputs: Mapping[str, Source]
    code: tuple[str, ...]
    settings: Mapping[str, Any]
    """Limits of endpoints by objective; empty where there is none."""

    @property
    def need_toxicity(self) -> bool:
        return any("toxicity" in declared["needs"] for declared in self.declared.values())


def reward_names(experiment: Experiment) -> list[str]:
    """The objectives that can be designer rewards; a column can where the training data may have it."""
    from suites.registry import designer_rewards

    of_data = isinstance(experiment.data, PairData)
    own = (name for name, spec in experiment.objectives.items() if spec.column is None or of_data)
    return [*designer_rewards(), *own]


def columns_of(experiment: Experiment, names: Iterable[str]) -> dict[str, str]:
    """The columns of the training data that hold objectives, by the objectives' names."""
    named = ((name, experiment.objectives[name].column) for name in names if name in experiment.objectives)
    return {name: column for name, column in named if column is not None}


def declared_rewards(experiment: Experiment, names: Iterable[str]) -> Rewards:
    """The rewards as their suites, or the experiment, declare them.

    Examples
    --------
    >>> from harness.spec.loading import load
    >>> rewards = declared_rewards(load("bench"), ["readability"])
    >>> rewards.declared["readability"]["bounds"], rewards.code
    ([0.0, 1.0], ('suites.style.readability',))
    """
    from suites.registry import designer_rewards

    registered = designer_rewards()
    rewards: dict[str, DeclaredReward] = {}
    inputs: dict[str, Source] = {}
    code: set[str] = set()
    limits: dict[str, Mapping[str, Any]] = {}
    for name in sorted(names):
        spec = experiment.objectives.get(name)
        if spec is not None and spec.column is not None:
            rewards[name] = DeclaredReward(
                direction=spec.direction,
                bounds=list(spec.bounds),
                function="",
                needs=[],
                column=spec.column,
                clip=spec.clip,
            )
            continue
        if spec is not None:
            own = own_stage(name, spec)
            rewards[name] = DeclaredReward(
                direction=spec.direction, bounds=list(spec.bounds), function="", needs=[], scorer=own.scorer
            )
            inputs |= own.inputs
            code.update(own.code)
            limits |= {name: own.limits} if own.limits else {}
            continue
        objective, reward = registered[name]
        code.add(reward.function.__module__)
        rewards[name] = DeclaredReward(
            direction=objective.direction,
            bounds=list(objective.bounds),
            function=f"{reward.function.__module__}:{reward.function.__name__}",
            needs=list(reward.needs),
        )
    return Rewards(rewards, inputs, tuple(sorted(code)), {"scorer_limits": limits} if limits else {})

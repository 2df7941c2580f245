"""Needs of suites as stage inputs: one function for each need that a suite can declare (`suites.registry.NEEDS`)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from harness.plan.judging import judged
from harness.plan.shared_stages import SharedStages, scorer_inputs
from harness.plan.stage import Model, Source, Stage
from harness.plan.user_parameters import users_parameters
from harness.spec.experiment import Experiment
from suites.registry import Suite


@dataclass(frozen=True)
class Measured:
    """What a policy's suites have in common.

    Parameters
    ----------
    label : str
        Of the policy, for progress and logs.
    policy, generate : Stage or None
        None where an entry brings no checkpoint or no responses.
    condition : Stage or None
        The condition of a conditioned policy.
    judge : Stage, Model or None
        The judge's checkpoint, where it has one.
    target : mapping
        The method, its hyperparameters and weights; the method is None where no closed form is known.
    """

    experiment: Experiment
    shared: SharedStages
    label: str
    policy: Stage | None
    generate: Stage | None
    condition: Stage | None
    judge: Stage | Model | None
    target: Mapping[str, Any]
    device: str
    settled: dict[str, StageInputs] = field(default_factory=dict)
    """What needs give that do not depend on the policy, by need, for all that are measured alike."""

    def inputs_of(self, need: str) -> StageInputs:
        """What a need gives to a stage."""
        if need in OF_POLICY:
            return NEEDS[need](self)
        if need not in self.settled:
            self.settled[need] = NEEDS[need](self)
        return self.settled[need]

    @property
    def data(self) -> dict[str, Source]:
        """The training data, with the condition that the policy answers it under."""
        condition: dict[str, Source] = {"condition": self.condition} if self.condition else {}
        return {"data": self.shared.data, **condition}


@dataclass(frozen=True)
class StageInputs:
    """Parameters, inputs, code and settings of a stage (`harness.plan.stage.Stage`)."""

    parameters: Mapping[str, Any] = field(default_factory=dict)
    inputs: Mapping[str, Source] = field(default_factory=dict)
    code: tuple[str, ...] = ()
    settings: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def together(cls, parts: Iterable[StageInputs]) -> StageInputs:
        """What all parts give; no two may give one input different sources."""
        parameters: dict[str, Any] = {}
        inputs: dict[str, Source] = {}
        code: list[str] = []
        settings: dict[str, Any] = {}
        for part in parts:
            parameters |= part.parameters
            code += part.code
            settings |= part.settings
            for name, source in part.inputs.items():
                if inputs.setdefault(name, source) is not source:
                    raise ValueError(f"two needs give the input {name!r} different sources")
        return cls(parameters, inputs, tuple(code), settings)


def suite_stages(suite: Suite, measured: Measured) -> dict[str, Stage]:
    """The stages that score a policy with a suite, by name: ``NAME``, and ``NAME_second`` by a second judge."""
    parts = [measured.inputs_of(need) for need in suite.needs]
    if suite.measure is not None:
        parts.append(StageInputs({"suite": suite.name, "module": suite.module}, {}, (suite.module,)))
    stages = {suite.name: _stage(suite, f"{suite.name} {measured.label}", StageInputs.together(parts))}
    if "judge" in suite.needs and measured.experiment.preference_judge.second is not None:
        second = StageInputs.together([*parts, _second_judge(measured)])
        stages[f"{suite.name}_second"] = _stage(suite, f"second judge {measured.label}", second)
    return stages


def lacking(suite: Suite, measured: Measured) -> tuple[str, ...]:
    """What a suite needs and a policy does not have."""
    has = {"generations": measured.generate, "policy": measured.policy}
    return tuple(need for need in suite.needs if need in has and has[need] is None)


def _stage(suite: Suite, label: str, needs: StageInputs) -> Stage:
    runner = "" if suite.measure is None else "score"
    return Stage(f"score_{suite.name}", label, needs.parameters, needs.inputs, needs.code, needs.settings, runner)


def _generations(measured: Measured) -> StageInputs:
    assert measured.generate is not None
    return StageInputs({}, {"generations": measured.generate, "data": measured.shared.prompts})


def _references(measured: Measured) -> StageInputs:
    return StageInputs({}, {"data": measured.shared.prompts})


def _policy(measured: Measured) -> StageInputs:
    assert measured.policy is not None
    return StageInputs({}, {"policy": measured.policy})


def _device(measured: Measured) -> StageInputs:
    return StageInputs(settings={"device": measured.device})


def _judge(measured: Measured) -> StageInputs:
    return StageInputs(*judged("win_rate", measured.experiment.preference_judge, {}, measured.judge, measured.device))


def _second_judge(measured: Measured) -> StageInputs:
    second = measured.experiment.preference_judge.second
    assert second is not None
    return StageInputs(*judged("win_rate_second", second, {}, measured.shared.second, measured.device))


def _toxicity(measured: Measured) -> StageInputs:
    names, inputs = scorer_inputs(toxicity=measured.shared.toxicity, held_out=measured.shared.held_out)
    return StageInputs(names, inputs)


def _toxicity_baselines(measured: Measured) -> StageInputs:
    names, scorer = scorer_inputs(toxicity=measured.shared.toxicity)
    inputs = {"data": measured.shared.prompts, **scorer}
    label = "toxicity of the prompts and references"
    baselines = Stage("reference_toxicity", label, names, inputs, settings={"device": measured.device})
    return StageInputs({}, {"baselines": baselines})


def _enumeration(measured: Measured) -> StageInputs:
    assert measured.shared.enumeration is not None
    return StageInputs({}, {**measured.data, "enumeration": measured.shared.enumeration})


def _target(measured: Measured) -> StageInputs:
    return StageInputs(measured.target)


def _users(measured: Measured) -> StageInputs:
    """The users, who are all given the same policy."""
    parameters, code = users_parameters(measured.experiment)
    return StageInputs(parameters, {"data": measured.shared.data}, code)


def _benchmarks(measured: Measured) -> StageInputs:
    """The published benchmarks with their files, or the world's own task, which lies beside its data."""
    if measured.shared.benchmarks is None:
        return StageInputs({}, measured.data)
    return StageInputs(*measured.shared.benchmarks)


NEEDS: dict[str, Callable[[Measured], StageInputs]] = {
    "generations": _generations,
    "references": _references,
    "policy": _policy,
    "device": _device,
    "judge": _judge,
    "toxicity": _toxicity,
    "toxicity_baselines": _toxicity_baselines,
    "enumeration": _enumeration,
    "target": _target,
    "users": _users,
    "benchmarks": _benchmarks,
}
"""By the names of `suites.registry.NEEDS`."""
OF_POLICY = frozenset({"generations", "policy"})
"""The needs that differ between policies of one setting."""

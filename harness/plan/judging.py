"""Judges of an experiment: parameters and inputs of the stages that use them."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from harness.errors import UsageError
from harness.plan.stage import Cache, Model, Source, Stage
from harness.spec.entries import Served
from suites.judges.registry import judges
from suites.judges.remote.chat import DEFAULT_KEY

if TYPE_CHECKING:
    from harness.spec.experiment import Experiment
    from harness.spec.scorers import Endpoint, Judge
    from suites.judges.templates import Template

DEFAULT_PROMPT = "upo"


def judged(
    objective: str,
    judge: Judge,
    generations: Mapping[str, Stage],
    source: Stage | Model | None = None,
    device: str = "cpu",
) -> tuple[dict[str, Any], dict[str, Source], tuple[str, ...], dict[str, Any]]:
    """Parameters, inputs, code and settings of the stage that scores `generations` with a judge, models on `device`."""
    judge_parameters, judging, code = judge_inputs(judge, source)
    parameters: dict[str, Any] = {"objective": objective, **judge_parameters}
    inputs: dict[str, Source] = {**generations, **judging}
    needs = judges()[judge.kind].needs
    settings: dict[str, Any] = {"device": device}
    if "prompt" in needs:
        template = _template(judge)
        parameters |= {"prompt": judge.prompt or DEFAULT_PROMPT, "prompt_revision": template.revision}
    if "backend" in needs:
        parameters["backend"] = judge.backend or "hf"
    if judge.endpoint is not None:
        parameters["endpoint"], settings["limits"] = endpoint_terms(judge.endpoint)
        inputs["judgements"] = Cache("judgements")
    return parameters, inputs, code, settings


def endpoint_terms(endpoint: Endpoint) -> tuple[dict[str, Any], dict[str, Any]]:
    """What of an endpoint determines answers, and how it may be used."""
    limits = endpoint.model_dump(exclude_none=True)
    terms: dict[str, Any] = {name: limits.pop(name) for name in ("base_url", "revision", "pin") if name in limits}
    # The default has no entry, so that its stage keys stay the same; null is not the default.
    if limits.pop("temperature", None) != 0.0:
        terms["temperature"] = endpoint.temperature
    return terms, limits | {"token_limit": endpoint.token_limit}


def judge_inputs(
    judge: Judge, source: Stage | Model | None
) -> tuple[dict[str, Any], dict[str, Source], tuple[str, ...]]:
    """Parameters, inputs and code of a stage's judge: a trained one, a folder or a file by its bytes, or a name."""
    module = judges()[judge.kind].module
    parameters: dict[str, Any] = {"judge": judge.kind, "judge_module": module, "model": judge.model}
    if isinstance(source, Model):
        # The name goes into the records, so it is a part of what is made; where the folder lies is not.
        return {**parameters, "model": source.path.name}, {"model": source}, (module,)
    if source is not None and source.kind == "dequantised":
        return {**parameters, "model": source.parameters["file"]}, {"model": source}, (module,)
    return parameters, {"judge": source} if source else {}, (module,)


def check_judges(judge: Judge | None) -> None:
    """Raise `UsageError` for a prompt template or a package that is missing."""
    for key, spec in (("judge", judge), ("judge.second", judge and judge.second)):
        if spec is None:
            continue
        if spec.backend == "vllm":
            require_package(f"{key}.backend", "vllm", "vllm")
        if "prompt" in judges()[spec.kind].needs:
            try:
                _template(spec)
            except ValueError as error:
                raise UsageError(f"{key}.prompt: {error}") from None


def require_package(key: str, package: str, extra: str) -> None:
    """Raise `UsageError`, naming the extra, if an optional package is not installed."""
    if find_spec(package) is None:
        raise UsageError(f"{key}: the package {package!r} is not installed: pip install 'prefrontier[{extra}]'")


def require_key(experiment: Experiment) -> None:
    """Raise `UsageError` if an endpoint on another machine needs a key and its environment variable is not set."""
    for key, endpoint in _endpoints(experiment):
        name = endpoint.key or DEFAULT_KEY
        if not endpoint.local and not os.environ.get(name):
            raise UsageError(f"{key}.endpoint.key: the environment variable {name} is not set")


def _endpoints(experiment: Experiment) -> Iterator[tuple[str, Endpoint]]:
    """Every endpoint of an experiment with its section."""
    second = experiment.judge and experiment.judge.second
    for key, judge in (("judge", experiment.judge), ("judge.second", second)):
        if judge is not None and judge.endpoint is not None:
            yield key, judge.endpoint
    for name, entry in experiment.entries.items():
        if isinstance(entry, Served):
            yield f"methods.{name}", entry.endpoint
    for name, objective in experiment.objectives.items():
        if objective.endpoint is not None:
            yield f"objectives.{name}", objective.endpoint


def _template(judge: Judge) -> Template:
    from suites.judges.templates import load_template

    return load_template(judge.prompt or DEFAULT_PROMPT)

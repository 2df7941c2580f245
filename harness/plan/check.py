"""What the schema of an experiment cannot see: the names and values that the other rooms define.

Everything an experiment lacks is an error here, before anything runs.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

from harness.costs import COSTS
from harness.errors import UsageError, nearest
from harness.plan.judging import check_judges, require_package
from harness.spec.data import OracleData
from harness.spec.experiment import BASE, Experiment
from harness.spec.methods import MethodEntry
from suites.judges.registry import judges


def check(experiment: Experiment) -> None:
    """Raise `UsageError`, naming the key and the nearest valid choice, for the first thing that is wrong."""
    _check_objectives(experiment)
    _check_settings(experiment)
    for name, entry in experiment.methods.items():
        _check_method(f"methods.{name}", experiment, entry)


def has_toxicity(experiment: Experiment) -> bool:
    """Whether something can measure toxicity: a named model, or labels to train one on."""
    spec = experiment.toxicity
    return bool(spec.model or spec.labelled) or isinstance(experiment.data, OracleData)


def without_toxicity(experiment: Experiment) -> Experiment:
    """The experiment on its other objectives, where toxicity is optional and nothing can measure it."""
    if has_toxicity(experiment) or experiment.toxicity.required:
        return experiment
    note = (
        "No toxicity scorer was named, so toxicity is neither rewarded nor measured here: this is the lexical "
        "objective alone (--set toxicity.model=NAME or --set toxicity.labelled=FILE.csv adds it)."
    )
    changes = {
        "rewards": _rest(experiment.rewards),
        "methods": {
            name: entry.model_copy(update={"rewards": _rest(entry.rewards)})
            for name, entry in experiment.methods.items()
        },
        "suites": [suite for suite in experiment.suites if suite != "toxicity"],
        "reference_point": {k: v for k, v in experiment.reference_point.items() if k != "toxicity"},
        "caveat": f"{experiment.caveat} {note}".strip(),
    }
    return experiment.model_copy(update=changes)


def _rest(rewards: Mapping[str, float]) -> dict[str, float]:
    """The weights without toxicity's, made to add up to 1 again."""
    rest = {name: weight for name, weight in rewards.items() if name != "toxicity"}
    total = sum(rest.values())
    return {name: weight / total for name, weight in rest.items()}


def settings_of(experiment: Experiment, entry: MethodEntry, trial: Mapping[str, float]) -> dict[str, dict]:
    """A trial's settings by what they set, such as ``parameters`` of the method and ``training``.

    What an entry has besides (`data`, `rounds`, `soup`) is there as well. The sweep may name a setting of any.
    """
    given = {
        "parameters": entry.parameters,
        "data": entry.data.parameters if entry.data else {},
        "rounds": entry.rounds or {},
        "soup": {"share": entry.soup.share} if entry.soup and entry.soup.share is not None else {},
        "training": {**experiment.training, **entry.training},
    }
    swept = {name: part for part, cls in reversed(settable(entry).items()) for name in _names(cls)}
    return {
        part: {**given[part], **{name: value for name, value in trial.items() if swept.get(name) == part}}
        for part in settable(entry)
    }


def settable(entry: MethodEntry) -> dict[str, type]:
    """What an entry has settings of: the data classes that check them."""
    from trainers.config import TrainConfig
    from trainers.data_steps import steps
    from trainers.edit.rounds import Rounds, Soup
    from trainers.methods import methods

    if entry.soup is not None:
        return {"soup": Soup}
    parts = {"parameters": methods()[entry.method]}
    if entry.data is not None:
        parts["data"] = steps()[entry.data.step]
    if entry.rounds is not None:
        parts["rounds"] = Rounds
    return {**parts, "training": TrainConfig}


def _check_objectives(experiment: Experiment) -> None:
    from suites.registry import designer_rewards, objectives, suites

    for section, names, known in (
        ("suites", experiment.suites, suites()),
        ("rewards", experiment.rewards, designer_rewards()),
        ("reference_point", experiment.reference_point, objectives() | COSTS),
    ):
        for name in names:
            if name not in known:
                what = "suite" if section == "suites" else "objective"
                raise UsageError(f"{section}: unknown {what} {name!r}{nearest(name, known)}")
    oracle = isinstance(experiment.data, OracleData)
    if "exact" in experiment.suites and not oracle:
        raise UsageError("suites: 'exact' needs data.source: oracle")
    if "benchmark" in experiment.suites and not (oracle or experiment.benchmarks):
        raise UsageError("suites: 'benchmark' needs benchmarks.tasks, or data.source: oracle for the world's own task")
    if experiment.benchmarks and "benchmark" not in experiment.suites:
        raise UsageError("benchmarks: nothing runs them; add 'benchmark' to 'suites'")
    if not has_toxicity(experiment) and "toxicity" in (*experiment.rewards, *experiment.suites):
        raise UsageError(
            "toxicity: no scorer; name a Detoxify model (--set toxicity.model=unbiased), give labels to train one "
            "(--set toxicity.labelled=FILE.csv), or leave it out of 'rewards' and 'suites'"
        )


def _check_settings(experiment: Experiment) -> None:
    from suites.generation.decoding import Decoding
    from suites.oracle.world import WorldSpec
    from suites.toxicity.classifier import ClassifierConfig
    from trainers.config import TrainConfig

    if isinstance(experiment.data, OracleData):
        _build("data.world", WorldSpec, experiment.data.world)
    _build("training", TrainConfig, experiment.training)
    _build("base.training", TrainConfig, experiment.base.training)
    check_judges(experiment.judge)
    if experiment.decoding.backend == "vllm":
        require_package("decoding.backend", "vllm", "vllm")
    _build("judge.training", TrainConfig, experiment.judge.training)
    _build("toxicity.training", ClassifierConfig, experiment.toxicity.training)
    _build("decoding", Decoding, experiment.decoding.model_dump(exclude={"backend"}))


def _check_method(section: str, experiment: Experiment, entry: MethodEntry) -> None:
    from trainers.data_steps import create as create_step
    from trainers.data_steps import steps
    from trainers.methods import create, methods

    if entry.soup is None and entry.method not in methods():
        raise UsageError(f"{section}: unknown method {entry.method!r}{nearest(entry.method, methods())}")
    if entry.data is not None and entry.data.step not in steps():
        raise UsageError(f"{section}.data: unknown step {entry.data.step!r}{nearest(entry.data.step, steps())}")
    parts = settable(entry)
    sweepable = [name for cls in parts.values() for name in _names(cls)]
    for name in entry.sweep:
        if name not in sweepable:
            raise UsageError(f"{section}.sweep: unknown setting {name!r}{nearest(name, sweepable)}")
    _check_names(section, experiment, entry)
    for trial in entry.trials:
        settings = settings_of(experiment, entry, trial)
        for part in settings.keys() - {"parameters", "data"}:
            _build(f"{section}.{part}", parts[part], settings[part])
        if entry.soup is not None:
            continue
        try:
            method = create(entry.method, **settings["parameters"])
        except (TypeError, ValueError) as error:
            raise UsageError(f"{section}: {error}") from None
        try:
            step = create_step(entry.data.step, **settings["data"]) if entry.data else None
        except (TypeError, ValueError) as error:
            raise UsageError(f"{section}.data: {error}") from None
        _check_needs(section, experiment, entry, method.needs, step)


def _check_names(section: str, experiment: Experiment, entry: MethodEntry) -> None:
    """Entries that an entry names exist, give one policy each, and do not lead back to it."""
    key = "soup.policies" if entry.soup else "references"
    known = [BASE, *experiment.methods, *([] if entry.soup else experiment.sizes)]
    for name in entry.soup.policies if entry.soup else entry.references:
        if name not in known:
            raise UsageError(f"{section}.{key}: unknown policy {name!r}{nearest(name, known)}")
        if name not in experiment.methods:
            continue
        other = experiment.methods[name]
        if len(other.trials) > 1:
            raise UsageError(f"{section}.{key}: {name!r} has {len(other.trials)} trials; name an entry that has one")
        if is_conditioned(other):
            raise UsageError(
                f"{section}.{key}: {name!r} answers under a condition ({other.data.step}) and is no policy"
            )
        if section.removeprefix("methods.") in _behind(experiment, name):
            raise UsageError(f"{section}.{key}: {name!r} is itself made from this entry")


def _behind(experiment: Experiment, name: str, seen: frozenset[str] = frozenset()) -> frozenset[str]:
    """The names of an entry and of those it is made from."""
    entry = experiment.methods.get(name)
    if entry is None or name in seen:
        return seen
    seen |= {name}
    for other in entry.soup.policies if entry.soup else entry.references:
        seen = _behind(experiment, other, seen)
    return seen


def is_conditioned(entry: MethodEntry) -> bool:
    """Whether a policy of this entry is asked with a condition at the end of its prompts."""
    from trainers.data_steps import steps
    from trainers.data_steps.step import conditions

    return entry.data is not None and conditions(steps()[entry.data.step])


def _check_needs(section: str, experiment: Experiment, entry: MethodEntry, needs, step) -> None:
    """What a method and its data step declare they need must come from somewhere."""
    from trainers.data.records import Example, ResponseGroup
    from trainers.methods import methods

    if needs.rewards and not experiment.rewards:
        raise UsageError(f"{section}: {entry.method} needs designer rewards; name them under 'rewards'")
    if (needs.on_policy or (step is not None and step.needs.user)) and judges()[experiment.judge.kind].reward is None:
        numbers = sorted(name for name, kind in judges().items() if kind.reward)
        who = entry.method if needs.on_policy else f"data step {entry.data.step}"
        raise UsageError(
            f"{section}: {who} needs the users' reward as a number, and a judge of kind {experiment.judge.kind} only "
            f"compares; judge.kind must be {' or '.join(numbers)}"
        )
    if needs.on_policy and (entry.data or entry.references):
        what = "data" if entry.data else "references"
        raise UsageError(f"{section}.{what}: {entry.method} learns from its own samples; leave it out")
    if needs.encoder and _is_path(needs.encoder) and not (Path(needs.encoder) / "config.json").is_file():
        raise UsageError(f"{section}.parameters.encoder: {needs.encoder} is no model folder: it has no config.json")
    if step is not None and step.needs.designer and not experiment.rewards:
        raise UsageError(f"{section}.data: {entry.data.step} needs designer rewards; name them under 'rewards'")
    if needs.base_responses and (entry.data is None or entry.data.step != "base_responses"):
        raise UsageError(
            f"{section}: {entry.method} needs responses of the base model; add data: {{step: base_responses}}"
        )
    if needs.references > 1 and len(entry.references) != needs.references:
        example = ", ".join([BASE, *(name for name in experiment.methods if entry is not experiment.methods[name])][:2])
        raise UsageError(
            f"{section}: {entry.method} needs {needs.references} reference models, "
            f"{len(entry.references) or 'none'} given; name them, as in references: [{example}]"
        )
    if entry.references and len(entry.references) != needs.references:
        raise UsageError(f"{section}.references: {entry.method} takes {needs.references}, not {len(entry.references)}")
    if entry.rounds is not None and entry.references:
        raise UsageError(f"{section}.references: a round's reference is the policy it begins at; leave them out")
    if "beta_growth" in {**(entry.rounds or {}), **entry.sweep} and not hasattr(methods()[entry.method], "beta"):
        raise UsageError(f"{section}.rounds.beta_growth: {entry.method} has no beta that could grow")
    if entry.rounds is not None and is_conditioned(entry):
        raise UsageError(f"{section}.rounds: {entry.data.step} asks its policy with a condition and has no rounds")
    if step is None:
        return
    if step.makes is ResponseGroup and not needs.groups:
        raise UsageError(f"{section}.data: {entry.data.step} makes groups without labels; {entry.method} needs labels")
    if step.makes is Example and needs.pairs:
        raise UsageError(f"{section}.data: {entry.data.step} makes unpaired examples; {entry.method} needs pairs")


def _is_path(model: str) -> bool:
    """Whether a model's name can only be a folder's: hub ids are NAME or OWNER/NAME."""
    return model.startswith(("/", ".", "~")) or model.count("/") > 1 or Path(model).exists()


def _build(section: str, cls: type, settings: Mapping[str, Any]) -> None:
    """Check settings by making the data class they are for."""
    for name in settings:
        if name not in _names(cls):
            raise UsageError(f"{section}: unknown setting {name!r}{nearest(name, _names(cls))}")
    try:
        made = cls(**settings)
    except (TypeError, ValueError) as error:
        raise UsageError(f"{section}: {error}") from None
    if getattr(made, "sharding", False):
        raise UsageError(f"{section}: sharding needs several processes for one policy: torchrun -m trainers FILE")


def _names(cls: type) -> list[str]:
    return [field.name for field in fields(cls)]

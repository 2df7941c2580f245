"""Checks of an experiment against the methods, objectives and settings that the other packages define.

Everything that an experiment lacks is an error here, before anything runs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.costs import COSTS
from harness.errors import UsageError, nearest
from harness.plan.designer import objectives_of, reward_names
from harness.plan.judging import check_judges, require_package
from harness.spec.data import OracleData
from harness.spec.entries import FromFile
from harness.spec.experiment import BASE, Experiment
from harness.spec.methods import EACH, Choice, MethodEntry
from suites.judges.registry import judges
from suites.registry import suites
from trainers.checks import require_types

if TYPE_CHECKING:
    from trainers.data_steps import DataStep
    from trainers.methods import Method
    from trainers.methods.interface import Needs

Settings = dict[str, dict[str, Any]]
"""Settings of a trial by what they set: ``parameters`` of the method, ``training``, ``data``, ``rounds``, ``soup``."""


ADD_TOXICITY = "--set toxicity.model=NAME or --set toxicity.labelled=FILE.csv"


def check(experiment: Experiment) -> None:
    """Raise `UsageError`, naming the key and the nearest valid choice, for the first thing that is wrong."""
    _check_objectives(experiment)
    _check_costs(experiment)
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
        f"objective alone ({ADD_TOXICITY} adds it)."
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
    """The weights without toxicity's, scaled to add up to 1."""
    rest = {name: weight for name, weight in rewards.items() if name != "toxicity"}
    total = sum(rest.values())
    return {name: weight / total for name, weight in rest.items()}


def settings_of(experiment: Experiment, entry: MethodEntry, trial: Mapping[str, Choice]) -> Settings:
    """A trial's settings. The sweep may name a setting of any part that the entry has."""
    parts: Settings = {
        "parameters": entry.parameters,
        "data": entry.data.parameters if entry.data else {},
        "rounds": entry.rounds or {},
        "soup": {"share": entry.soup.share} if entry.soup and entry.soup.share is not None else {},
        "training": {**experiment.training, **entry.training},
    }
    swept = {name: part for part, cls in reversed(settable(entry).items()) for name in _names(cls)}
    return {
        part: {**parts[part], **{name: value for name, value in trial.items() if swept.get(name) == part}}
        for part in settable(entry)
    }


def settable(entry: MethodEntry) -> dict[str, type]:
    """The parts of an entry that have settings, and the data classes that check them."""
    from trainers.config import TrainConfig
    from trainers.data_steps import steps
    from trainers.edit.rounds import Rounds, Soup
    from trainers.methods import methods

    if entry.soup is not None:
        return {"soup": Soup}
    parts: dict[str, type] = {"parameters": methods()[entry.method]}
    if entry.data is not None:
        parts["data"] = steps()[entry.data.step]
    if entry.rounds is not None:
        parts["rounds"] = Rounds
    return {**parts, "training": TrainConfig}


NOT_TRAINED = ("train_seconds", "trained_tokens")
NOT_GENERATED = ("generated_tokens",)
"""Costs that are not known of an entry that was trained, or whose responses were generated, elsewhere."""


def _check_costs(experiment: Experiment) -> None:
    """Raise `UsageError` for a cost as an axis that an entry would have for nothing."""
    for name, entry in experiment.entries.items():
        unknown = NOT_TRAINED + (NOT_GENERATED if isinstance(entry, FromFile) else ())
        for cost in unknown:
            if cost in experiment.reference_point:
                why = "whose responses come from a file" if cost in NOT_GENERATED else "which was not trained here"
                raise UsageError(f"reference_point.{cost}: is not known of methods.{name}, {why}; leave it out")


def _check_objectives(experiment: Experiment) -> None:
    from suites.registry import objectives

    checked_names: tuple[tuple[str, str, Iterable[str], Iterable[str]], ...] = (
        ("suites", "suite", experiment.suites, suites()),
        ("rewards", "objective", experiment.rewards, reward_names(experiment)),
        ("reference_point", "objective", experiment.reference_point, objectives_of(experiment) | COSTS),
    )
    for section, what, names, valid in checked_names:
        for name in names:
            if name not in valid:
                raise UsageError(f"{section}: unknown {what} {name!r}{nearest(name, valid)}")
    for name in experiment.objectives:
        if name in objectives():
            raise UsageError(f"objectives.{name}: is a shipped objective; choose another name")
    for suite in experiment.suites:
        for need in suites()[suite].needs:
            if need in _LACKS and (lack := _LACKS[need](experiment, suite)):
                raise UsageError(lack)
    if experiment.benchmarks and "benchmark" not in experiment.suites:
        raise UsageError("benchmarks: nothing runs them; add 'benchmark' to 'suites'")
    if "toxicity" in experiment.rewards and (lack := _no_toxicity(experiment, "toxicity")):
        raise UsageError(lack)


def _no_world(experiment: Experiment, suite: str) -> str | None:
    return None if isinstance(experiment.data, OracleData) else f"suites: {suite!r} needs data.source: oracle"


def _no_benchmarks(experiment: Experiment, suite: str) -> str | None:
    if isinstance(experiment.data, OracleData) or experiment.benchmarks:
        return None
    return f"suites: {suite!r} needs benchmarks.tasks, or data.source: oracle for the world's own task"


def _no_toxicity(experiment: Experiment, suite: str) -> str | None:
    if has_toxicity(experiment):
        return None
    return (
        "toxicity: no scorer; name a Detoxify model (--set toxicity.model=unbiased), give labels to train one "
        "(--set toxicity.labelled=FILE.csv), or leave it out of 'rewards' and 'suites'"
    )


_LACKS: dict[str, Callable[[Experiment, str], str | None]] = {
    "enumeration": _no_world,
    "benchmarks": _no_benchmarks,
    "toxicity": _no_toxicity,
    "toxicity_baselines": _no_toxicity,
}
"""By need: the error of an experiment that lacks it, for the name of the suite that has the need."""


def _check_settings(experiment: Experiment) -> None:
    from suites.generation.decoding import Decoding
    from suites.oracle.population import PopulationSpec
    from suites.oracle.world import WorldSpec
    from suites.toxicity.classifier import ClassifierConfig
    from trainers.config import ModelConfig, TrainConfig

    if isinstance(experiment.data, OracleData):
        build("data.world", WorldSpec, experiment.data.world)
        build("data.population", PopulationSpec, experiment.data.population or {})
    for name, size in experiment.sizes.items():
        build(f"sizes.{name}", ModelConfig, size.model_dump(exclude_none=True, exclude={"model"}))
    build("training", TrainConfig, experiment.training)
    build("base.training", TrainConfig, experiment.base.training)
    check_judges(experiment.judge)
    if experiment.decoding.backend == "vllm":
        require_package("decoding.backend", "vllm", "vllm")
    build("judge.training", TrainConfig, experiment.judge.training if experiment.judge else {})
    build("toxicity.training", ClassifierConfig, experiment.toxicity.training)
    if experiment.toxicity.held_out:
        build("toxicity.held_out.training", ClassifierConfig, experiment.toxicity.held_out.training)
    build("decoding", Decoding, experiment.decoding.model_dump(exclude={"backend"}))


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
            build(f"{section}.{part}", parts[part], settings[part])
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
        _check_needs(section, experiment, entry, method, step)


def _check_names(section: str, experiment: Experiment, entry: MethodEntry) -> None:
    """Entries that an entry names exist, give one policy each, and are not made from it."""
    key = "soup.policies" if entry.soup else "references"
    policies = [BASE, *experiment.methods, *([] if entry.soup else experiment.sizes)]
    for name in entry.soup.policies if entry.soup else entry.references:
        if name not in policies:
            raise UsageError(f"{section}.{key}: unknown policy {name!r}{nearest(name, policies)}")
        if name not in experiment.methods:
            continue
        other = experiment.methods[name]
        if len(other.trials) > 1:
            raise UsageError(f"{section}.{key}: {name!r} has {len(other.trials)} trials; name an entry that has one")
        if other.data is not None and is_conditioned(other):
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
    """Whether a policy of this entry generates with a condition at the end of its prompts."""
    from trainers.data_steps import steps
    from trainers.data_steps.step import conditions

    return entry.data is not None and conditions(steps()[entry.data.step])


@dataclass(frozen=True)
class _Entry:
    """An entry with what its method and its data step need."""

    experiment: Experiment
    entry: MethodEntry
    needs: Needs
    step: DataStep | None

    @property
    def method(self) -> str:
        return self.entry.method

    @property
    def step_name(self) -> str:
        return self.entry.data.step if self.entry.data else ""


def _check_needs(
    section: str, experiment: Experiment, entry: MethodEntry, method: Method, step: DataStep | None
) -> None:
    """Raise `UsageError` where what a method and its data step need comes from nowhere."""
    checked = _Entry(experiment, entry, method.needs, step)
    for rule in (_rewards_faults, _sample_faults, _reference_faults, _data_faults, _person_faults):
        for key, fault in rule(checked):
            raise UsageError(f"{section}{key}: {fault}")


Faults = Iterator[tuple[str, str]]
"""Keys below the entry, and what is wrong there."""


def _rewards_faults(checked: _Entry) -> Faults:
    experiment, needs, step = checked.experiment, checked.needs, checked.step
    if needs.rewards and not experiment.rewards:
        yield "", f"{checked.method} needs designer rewards; name them under 'rewards'"
    judge = experiment.preference_judge
    if (needs.on_policy or (step is not None and step.needs.user)) and judges()[judge.kind].reward is None:
        kinds = " or ".join(sorted(name for name, kind in judges().items() if kind.reward))
        subject = checked.method if needs.on_policy else f"data step {checked.step_name}"
        yield (
            "",
            f"{subject} needs the users' reward as a number, and a judge of kind {judge.kind} only compares; "
            f"judge.kind must be {kinds}",
        )
    if step is not None and step.needs.designer and not experiment.rewards:
        yield ".data", f"{checked.step_name} needs designer rewards; name them under 'rewards'"


def _sample_faults(checked: _Entry) -> Faults:
    if checked.needs.on_policy and (checked.entry.data or checked.entry.references):
        key = "data" if checked.entry.data else "references"
        yield f".{key}", f"{checked.method} learns from its own samples; leave it out"


def _reference_faults(checked: _Entry) -> Faults:
    from trainers.methods import methods

    entry, needs = checked.entry, checked.needs
    if needs.encoder and _is_path(needs.encoder) and not (Path(needs.encoder) / "config.json").is_file():
        yield ".parameters.encoder", f"{needs.encoder} is no model folder: it has no config.json"
    if needs.references > 1 and len(entry.references) != needs.references:
        others = (name for name, other in checked.experiment.methods.items() if other is not entry)
        example = ", ".join([BASE, *others][:2])
        yield (
            "",
            f"{entry.method} needs {needs.references} reference models, {len(entry.references) or 'none'} given; "
            f"name them, as in references: [{example}]",
        )
    if entry.references and len(entry.references) != needs.references:
        yield ".references", f"{entry.method} takes {needs.references}, not {len(entry.references)}"
    if entry.rounds is not None and entry.references:
        yield ".references", "a round's reference is the policy it begins at; leave them out"
    if "beta_growth" in {**(entry.rounds or {}), **entry.sweep} and not hasattr(methods()[entry.method], "beta"):
        yield ".rounds.beta_growth", f"{entry.method} has no beta that could grow"


def _data_faults(checked: _Entry) -> Faults:
    from trainers.data.records import Example, ResponseGroup
    from trainers.data_steps import steps
    from trainers.data_steps.step import is_online

    entry, needs, step = checked.entry, checked.needs, checked.step
    if needs.base_responses and not getattr(step, "third_response", False):
        giving = " or ".join(f"{{step: {name}}}" for name, cls in steps().items() if hasattr(cls, "third_response"))
        yield "", f"{entry.method} needs a third response to each prompt; add data: {giving}"
    if entry.rounds is not None and is_conditioned(entry) and not is_online(step):
        yield ".rounds", f"{checked.step_name} gives its policy a condition and has no rounds"
    if is_online(step) and (entry.rounds or {}).get("extrapolation"):
        yield ".rounds.extrapolation", f"{checked.step_name} has no extrapolation; leave it out"
    if step is None:
        return
    if step.makes is ResponseGroup and not needs.groups:
        yield ".data", f"{checked.step_name} makes groups without labels; {entry.method} needs labels"
    if step.makes is Example and needs.pairs:
        yield ".data", f"{checked.step_name} makes unpaired examples; {entry.method} needs pairs"


def _person_faults(checked: _Entry) -> Faults:
    from suites.oracle.population import PopulationSpec

    person, data = checked.entry.person, checked.experiment.data
    if person is None:
        return
    if not isinstance(data, OracleData) or data.population is None:
        yield ".person", "needs users; add data.population, which the oracle world alone has"
        return
    spec = PopulationSpec(**data.population)
    if person not in (users := (EACH, *spec.tastes, *spec.persons)):
        yield ".person", f"unknown user or taste {person!r}{nearest(person, users)}"


def _is_path(model: str) -> bool:
    """Whether a model's name can only be a folder's: hub ids are NAME or OWNER/NAME."""
    return model.startswith(("/", ".", "~")) or model.count("/") > 1 or Path(model).exists()


def build(section: str, cls: type, settings: Mapping[str, Any]) -> None:
    """Check settings by making the data class they are for."""
    for name in settings:
        if name not in _names(cls):
            raise UsageError(f"{section}: unknown setting {name!r}{nearest(name, _names(cls))}")
    try:
        require_types(cls, settings)
        made = cls(**settings)
    except (TypeError, ValueError) as error:
        raise UsageError(f"{section}: {error}") from None
    if getattr(made, "sharding", False):
        raise UsageError(f"{section}: sharding needs several processes for one policy: torchrun -m trainers FILE")


def _names(cls: type) -> list[str]:
    return [field.name for field in fields(cls)]

"""What the schema of an experiment cannot see: the names and values that the other rooms define.

Everything an experiment lacks is an error here, before anything runs.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

from harness.errors import UsageError, nearest
from harness.experiment import Experiment, MethodEntry, OracleData, PairData
from harness.measuring import REWARDS

SUITES = ("win_rate", "toxicity", "style", "benchmark", "exact")
ORACLE_SUITES = ("benchmark", "exact")
"""Those that need the oracle world."""


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
    rest = {name: weight for name, weight in experiment.rewards.items() if name != "toxicity"}
    total = sum(rest.values())
    note = (
        "No toxicity scorer was named, so toxicity is neither rewarded nor measured here: this is the lexical "
        "objective alone (--set toxicity.model=NAME or --set toxicity.labelled=FILE.csv adds it)."
    )
    changes = {
        "rewards": {name: weight / total for name, weight in rest.items()},
        "suites": [suite for suite in experiment.suites if suite != "toxicity"],
        "reference_point": {k: v for k, v in experiment.reference_point.items() if k != "toxicity"},
        "caveat": f"{experiment.caveat} {note}".strip(),
    }
    return experiment.model_copy(update=changes)


def settings_of(experiment: Experiment, entry: MethodEntry, trial: Mapping[str, float]) -> tuple[dict, dict]:
    """A trial's hyperparameters of the method and of training; the sweep may name either."""
    from trainers.methods import methods

    own = _names(methods()[entry.method])
    method = {**entry.parameters, **{k: v for k, v in trial.items() if k in own}}
    training = {**experiment.training, **entry.training, **{k: v for k, v in trial.items() if k not in own}}
    return method, training


def _check_objectives(experiment: Experiment) -> None:
    from suites.objectives import OBJECTIVES

    for section, names, known in (
        ("suites", experiment.suites, SUITES),
        ("rewards", experiment.rewards, REWARDS),
        ("reference_point", experiment.reference_point, OBJECTIVES),
    ):
        for name in names:
            if name not in known:
                what = "suite" if section == "suites" else "objective"
                raise UsageError(f"{section}: unknown {what} {name!r}{nearest(name, known)}")
    if isinstance(experiment.data, PairData):
        for suite in ORACLE_SUITES:
            if suite in experiment.suites:
                raise UsageError(f"suites: {suite!r} needs data.source: oracle")
    if not has_toxicity(experiment) and "toxicity" in (*experiment.rewards, *experiment.suites):
        raise UsageError(
            "toxicity: no scorer; name a Detoxify model (--set toxicity.model=unbiased), give labels to train one "
            "(--set toxicity.labelled=FILE.csv), or leave it out of 'rewards' and 'suites'"
        )


def _check_settings(experiment: Experiment) -> None:
    from suites.decoding import Decoding
    from suites.oracle.world import WorldSpec
    from trainers.classifier import ClassifierConfig
    from trainers.config import TrainConfig

    if isinstance(experiment.data, OracleData):
        _build("data.world", WorldSpec, experiment.data.world)
    _build("training", TrainConfig, experiment.training)
    _build("base.training", TrainConfig, experiment.base.training)
    _build("judge.training", TrainConfig, experiment.judge.training)
    _build("toxicity.training", ClassifierConfig, experiment.toxicity.training)
    _build("decoding", Decoding, experiment.decoding.model_dump())


def _check_method(section: str, experiment: Experiment, entry: MethodEntry) -> None:
    from trainers.config import TrainConfig
    from trainers.methods import create, methods

    if entry.method not in methods():
        raise UsageError(f"{section}: unknown method {entry.method!r}{nearest(entry.method, methods())}")
    sweepable = [*_names(methods()[entry.method]), *_names(TrainConfig)]
    for name in entry.sweep:
        if name not in sweepable:
            raise UsageError(f"{section}.sweep: unknown setting {name!r}{nearest(name, sweepable)}")
    for trial in entry.trials:
        parameters, training = settings_of(experiment, entry, trial)
        _build(f"{section}.training", TrainConfig, training)
        try:
            needs = create(entry.method, **parameters).needs
        except (TypeError, ValueError) as error:
            raise UsageError(f"{section}: {error}") from None
        _check_needs(section, experiment, entry.method, needs)


def _check_needs(section: str, experiment: Experiment, method: str, needs) -> None:
    """What a method declares it needs must come from somewhere."""
    if needs.rewards and not experiment.rewards:
        raise UsageError(f"{section}: {method} needs designer rewards; name them under 'rewards'")
    if needs.encoder and _is_path(needs.encoder) and not (Path(needs.encoder) / "config.json").is_file():
        raise UsageError(f"{section}.parameters.encoder: {needs.encoder} is no model folder: it has no config.json")
    lacking = {
        f"{needs.references} reference models": needs.references > 1,
        "responses of the base model": needs.base_responses,
    }
    for what, lacks in lacking.items():
        if lacks:
            raise UsageError(f"{section}: {method} needs {what}, which no stage of an experiment makes yet")


def _is_path(model: str) -> bool:
    """Whether a model's name can only be a folder's: hub ids are NAME or OWNER/NAME."""
    return model.startswith(("/", ".", "~")) or model.count("/") > 1 or Path(model).exists()


def _build(section: str, cls: type, settings: Mapping[str, Any]) -> None:
    """Check settings by making the data class they are for."""
    for name in settings:
        if name not in _names(cls):
            raise UsageError(f"{section}: unknown setting {name!r}{nearest(name, _names(cls))}")
    try:
        cls(**settings)
    except (TypeError, ValueError) as error:
        raise UsageError(f"{section}: {error}") from None


def _names(cls: type) -> list[str]:
    return [field.name for field in fields(cls)]

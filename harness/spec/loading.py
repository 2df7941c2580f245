"""Reading an experiment file: what it extends, its scales and ``--set``, and errors that name the nearest known key.

An experiment is one YAML file. ``extends: NAME`` starts from another one and overrides it key by key; ``null``
takes a key out, ``{}`` empties a mapping. ``scales: {NAME: ...}`` holds overrides of the same form, taken by
``--set scale=NAME``. An unknown key is an error that offers the nearest known one; the fully resolved experiment is saved beside
the results. What a file may say is in `harness.spec.experiment`.
"""

from __future__ import annotations

import inspect
import typing
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ValidationError

from harness.errors import UsageError, nearest
from harness.plugins import load_plugins
from harness.spec.experiment import Experiment

Raw = dict[str, Any]
"""An experiment file before it is checked."""

SHIPPED = Path(__file__).parents[1] / "experiments"
SCALE = "scale"
"""Key of ``--set`` besides those of an experiment."""


def shipped() -> list[str]:
    """Names of the experiments that come with the package."""
    return sorted(path.stem for path in SHIPPED.glob("*.yaml"))


def scales(name_or_path: str) -> list[str]:
    """The scales that an experiment's file names.

    Examples
    --------
    >>> scales("bench"), scales("paper-upo-pythia")
    ([], ['tiny'])
    """
    return sorted(_read(name_or_path).get("scales", {}))


def load(name_or_path: str, overrides: Iterable[str] = ()) -> Experiment:
    """Read an experiment by shipped name or path, apply ``a.b=c`` overrides and check it.

    Raises
    ------
    UsageError
        With the file, the key and the nearest valid choice.

    Examples
    --------
    >>> load("bench", ["seeds=[7]"]).seeds
    [7]
    >>> load("bench", ["sedes=[7]"])
    Traceback (most recent call last):
    harness.errors.UsageError: bench: sedes: unknown key; did you mean 'seeds'?
    """
    raw = _read(name_or_path)
    named = raw.pop("scales", {})
    overrides = list(overrides)
    for override in [text for text in overrides if text.startswith(f"{SCALE}=")]:
        overrides.remove(override)
        raw = _merge(raw, _scale(name_or_path, named, override.removeprefix(f"{SCALE}=")))
    for override in overrides:
        _apply(raw, override)
    plugins = raw.get("plugins", [])
    if not isinstance(plugins, list) or not all(isinstance(file, str) for file in plugins):
        raise UsageError(f"{name_or_path}: plugins: should be a list of files, not {plugins!r}")
    load_plugins(plugins)
    try:
        return Experiment.model_validate(raw)
    except ValidationError as error:
        raise UsageError(f"{name_or_path}: {_explain(error, [SCALE] if overrides else [])}") from None


def _scale(experiment: str, named: Raw, name: str) -> Raw:
    """The overrides of one of the scales that the experiment's file names."""
    if name not in named:
        has = "" if named else f"; {experiment} names none under 'scales'"
        raise UsageError(f"--set scale={name}: no such scale{nearest(name, named)}{has}")
    overrides: Raw = named[name]
    return overrides


def dump(experiment: Experiment) -> str:
    """The resolved experiment as YAML; loading it gives the same experiment.

    Keys that older versions do not know are left out at their defaults, so that a run can be compared with an older one.
    """
    absent: dict[str, Any] = {
        name: True for name in ("plugins", "entries", "objectives") if not getattr(experiment, name)
    }
    if not getattr(experiment.data, "worlds", True):
        absent["data"] = {"worlds"}
    resolved = experiment.model_dump(mode="json", by_alias=True, exclude=absent)
    text: str = yaml.safe_dump(resolved, sort_keys=False, allow_unicode=True)
    return text


def _read(name_or_path: str, seen: tuple[str, ...] = ()) -> Raw:
    path = Path(name_or_path)
    if path.suffix not in (".yaml", ".yml"):
        if name_or_path not in shipped():
            raise UsageError(
                f"no experiment {name_or_path!r}{nearest(name_or_path, shipped())} (or give the path of a .yaml file)"
            )
        path = SHIPPED / f"{name_or_path}.yaml"
    try:
        raw = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UsageError(f"{path}: no such file") from None
    except UnicodeDecodeError as error:
        raise UsageError(f"{path}: not UTF-8 text ({error.reason} at byte {error.start})") from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f":{mark.line + 1}" if mark else ""
        raise UsageError(f"{path}{where}: not valid YAML ({getattr(error, 'problem', error)})") from None
    if not isinstance(raw, dict):
        raise UsageError(f"{path}: an experiment is a mapping of keys, not a {type(raw).__name__}")
    parent = raw.pop("extends", None)
    if parent is None:
        return raw
    if parent in seen:
        raise UsageError(f"{path}: extends itself through {' -> '.join(seen)}")
    return _merge(_read(parent, (*seen, parent)), raw)


def _merge(parent: Raw, child: Raw) -> Raw:
    merged = dict(parent)
    for key, value in child.items():
        if value is None:
            merged.pop(key, None)
        elif value and isinstance(value, dict) and isinstance(merged.get(key), dict):
            merged[key] = _merge(merged[key], value)
        else:
            merged[key] = value
    return merged


def _apply(raw: Raw, override: str) -> None:
    dotted, separator, text = override.partition("=")
    if not separator or not dotted:
        raise UsageError(f"--set {override}: write it as key.subkey=value")
    try:
        value = yaml.safe_load(text)
    except yaml.YAMLError:
        raise UsageError(f"--set {override}: {text!r} is not a YAML value") from None
    *parents, leaf = dotted.split(".")
    for parent in parents:
        raw = raw.setdefault(parent, {})
        if not isinstance(raw, dict):
            raise UsageError(f"--set {override}: {parent!r} is a value, it has no keys")
    if value is None:
        raw.pop(leaf, None)
    else:
        raw[leaf] = value


def _explain(error: ValidationError, settable: list[str]) -> str:
    first = error.errors()[0]
    location = [str(part) for part in first["loc"]]
    if first["type"] == "extra_forbidden":
        keys = _known_keys(first["loc"][:-1]) + (settable if len(location) == 1 else [])
        return f"{'.'.join(location)}: unknown key{nearest(location[-1], keys)}"
    message = (
        first["msg"].removeprefix("Value error, ").replace("Input should be", "should be").partition(", unable")[0]
    )
    if first["type"] == "missing":
        message = "is missing"
    elif first["type"] != "value_error" and not isinstance(first["input"], dict):
        message += f", not {first['input']!r}"
    return f"{'.'.join(location)}: {message}" if location else message


def _known_keys(location: Sequence[str | int]) -> list[str]:
    """The keys of the model at a location of the schema; a step that names no field chooses among a union or a mapping."""
    models: list[type[BaseModel]] = [Experiment]
    for step in location:
        fields = [
            field for model in models for name, field in model.model_fields.items() if step in (name, field.alias)
        ]
        if fields:
            models = [model for field in fields for model in _models(field.annotation)]
        elif chosen := [model for model in models if step in _sources(model)]:
            models = chosen
    return [field.alias or name for model in models for name, field in model.model_fields.items()]


def _sources(model: type[BaseModel]) -> tuple[Any, ...]:
    """The values of ``source`` that choose a model among several."""
    return typing.get_args(model.model_fields["source"].annotation) if "source" in model.model_fields else ()


def _models(annotation: Any) -> list[type[BaseModel]]:
    """The models in an annotation such as a union or a mapping."""
    if inspect.isclass(annotation) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for argument in typing.get_args(annotation) for model in _models(argument)]

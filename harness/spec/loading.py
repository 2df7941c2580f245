"""Reading an experiment file: what it extends, its scales and ``--set``, and errors that name the nearest known key.

An experiment is one YAML file. ``extends: NAME`` starts from another one and overrides it key by key; ``null``
takes a key out, ``{}`` empties a mapping. ``scales: {NAME: ...}`` holds overrides of the same form, taken by
``--set scale=NAME``. An unknown key is an error that offers the nearest known one; the fully resolved experiment is saved beside
the results. What a file may say is in `harness.spec.experiment`.
"""

from __future__ import annotations

import inspect
import re
import reprlib
import typing
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from harness.errors import UsageError, nearest
from harness.plugins import load_plugins
from harness.spec.entries import KINDS
from harness.spec.experiment import Experiment
from harness.spec.yaml_files import parse_yaml, read_yaml, write_yaml

Raw = dict[str, Any]
"""An experiment file before it is checked."""

SHIPPED = Path(__file__).parents[1] / "experiments"
RESOLVED = "experiment.resolved.yaml"
"""File of a run folder: the experiment with every default."""
SOURCES = ("oracle", "pairs")
"""Values of `data.source`, which choose the model of `data`."""
SCALE = "scale"
"""Key of ``--set`` besides those of an experiment."""


NEWER: dict[str, Any] = {
    "form": None, "subset": None, "revision": None, "columns": {}, "licence": None, "evaluation_prompts": "refuse",
}  # fmt: skip
"""Keys of `data` that older versions do not know, with their defaults."""


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
    return sorted(_scales(name_or_path, _read(name_or_path)))


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
    named = _scales(name_or_path, raw)
    raw.pop("scales", None)
    overrides = list(overrides)
    for override in [text for text in overrides if text.startswith(f"{SCALE}=")]:
        overrides.remove(override)
        raw = _merge(raw, _scale(name_or_path, named, override.removeprefix(f"{SCALE}=")))
    for override in overrides:
        raw = _override(raw, override)
    plugins = raw.get("plugins", [])
    if not isinstance(plugins, list) or not all(isinstance(file, str) for file in plugins):
        raise UsageError(f"{name_or_path}: plugins: should be a list of files, not {plugins!r}")
    load_plugins(plugins)
    try:
        return Experiment.model_validate(raw).named
    except ValidationError as error:
        raise UsageError(f"{name_or_path}: {_explain(error, raw, [SCALE] if overrides else [])}") from None


def _scales(experiment: str, raw: Raw) -> Raw:
    """The scales of an experiment's file by name."""
    named = raw.get("scales") or {}
    if not isinstance(named, dict) or not all(isinstance(overrides, dict) for overrides in named.values()):
        raise UsageError(f"{experiment}: scales: should be a mapping of names to keys, not {reprlib.repr(named)}")
    return named


def _scale(experiment: str, named: Raw, name: str) -> Raw:
    """The overrides of one of the scales that the experiment's file names."""
    if name not in named:
        has = "" if named else f"; {experiment} names none under 'scales'"
        raise UsageError(f"--set scale={name}: no such scale{nearest(name, named)}{has}")
    overrides: Raw = named[name]
    return overrides


def dump(experiment: Experiment) -> str:
    """The resolved experiment as YAML; loading it gives the same experiment.

    Keys that older versions do not know (`NEWER`) are left out at their defaults, so that a run can be compared with an older one.
    """
    absent: dict[str, Any] = {
        name: True for name in ("plugins", "entries", "decoded", "objectives") if not getattr(experiment, name)
    }
    if experiment.users == type(experiment.users)():
        absent["users"] = True
    absent["data"] = {
        name for name in ("worlds", "population", "instructions") if not getattr(experiment.data, name, True)
    }
    absent["data"] |= {name for name in ("test_turns",) if getattr(experiment.data, name, True) is None}
    absent["methods"] = {
        name: {key for key in ("seeds", "person") if getattr(entry, key) is None}
        for name, entry in experiment.methods.items()
    }
    if experiment.judge is not None and not experiment.judge.frozen:
        absent["judge"] = {"frozen": True, "second": {"frozen"}}
    resolved = experiment.model_dump(mode="json", by_alias=True, exclude=absent)
    for part in (resolved["data"], *resolved["data"].get("mixture", [])):
        for name, default in NEWER.items():
            if part.get(name, default) == default:
                part.pop(name, None)
    return write_yaml(resolved)


def run_file(name_or_folder: str) -> Path | None:
    """The resolved experiment of a run, by its folder or by its name in ``runs``; None for what is no run."""
    if name_or_folder in shipped():
        return None
    files = (folder / RESOLVED for folder in (Path(name_or_folder), Path("runs") / name_or_folder))
    return next((file for file in files if file.is_file()), None)


def _read(name_or_path: str, seen: tuple[str, ...] = ()) -> Raw:
    path = Path(name_or_path)
    if path.suffix not in (".yaml", ".yml"):
        file = run_file(name_or_path)
        if name_or_path not in shipped() and file is None:
            suggestion = nearest(name_or_path, shipped())
            raise UsageError(
                f"no experiment {name_or_path!r}{suggestion} (or give a .yaml file or the folder of a run)"
            )
        path = file or SHIPPED / f"{name_or_path}.yaml"
    raw = read_yaml(path)
    if not isinstance(raw, dict):
        raise UsageError(f"{path}: an experiment is a mapping of keys, not a {type(raw).__name__}")
    parent = raw.pop("extends", None)
    if parent is None:
        return raw
    if not isinstance(parent, str):
        raise UsageError(f"{path}: extends: should be a name or the path of a .yaml file, not {reprlib.repr(parent)}")
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


def _override(raw: Raw, override: str) -> Raw:
    """The experiment with one ``a.b=c`` applied; null takes the key out."""
    dotted, separator, text = override.partition("=")
    keys = dotted.split(".")
    if not separator or not all(keys):
        raise UsageError(f"--set {override}: write it as key.subkey=value")
    value = parse_yaml(text, f"--set {override}")

    def changed(part: Raw, key: str, *rest: str) -> Raw:
        if not rest:
            return {**part, key: value} if value is not None else {k: v for k, v in part.items() if k != key}
        below = part.get(key, {})
        if not isinstance(below, dict):
            raise UsageError(f"--set {override}: {key!r} is a value, it has no keys")
        return {**part, key: changed(below, *rest)}

    return changed(raw, *keys)


def _explain(error: ValidationError, raw: Raw, settable: list[str]) -> str:
    """The first fault with its key, what is expected there and what was found."""
    located = [(_keys(fault["loc"], raw, fault["type"] == "missing"), fault) for fault in error.errors()]
    start = located[0][0]
    # Each member of a union has a fault of its own; the one that lies deepest is of the member that was meant.
    location, fault = max((one for one in located if one[0][: len(start)] == start), key=lambda one: len(one[0]))
    kind, value, key = fault["type"], fault["input"], ".".join(location)
    if kind == "extra_forbidden":
        keys = _known_keys(fault["loc"][:-1]) + (settable if len(location) == 1 else [])
        keys += KINDS if location[0] == "methods" and len(location) == 3 else ()
        return f"{key}: unknown key{nearest(location[-1], keys)}"
    if kind == "union_tag_invalid":
        return f"{key}.source: unknown source {_short(value['source'])}{nearest(str(value['source']), SOURCES)}"
    if kind == "literal_error" and isinstance(value, str):
        choices = re.findall("'([^']+)'", fault["msg"])
        return f"{key}: unknown value {value!r}{nearest(value, choices)}"
    if kind == "too_short":
        least = fault["ctx"]["min_length"]
        return f"{key}: needs at least {least} {'entry' if least == 1 else 'entries'}"
    message = _EXPECTED.get(kind) or fault["msg"].removeprefix("Value error, ").replace("Input should", "should")
    if kind not in ("value_error", "missing"):
        message += f", not {_short(value)}"
    return f"{key}: {message}" if key else message


_EXPECTED = {
    "missing": "is missing",
    "string_too_short": "should not be empty",
    "int_type": "should be a whole number",
    "float_type": "should be a number",
    "bool_type": "should be true or false",
    "string_type": "should be a text",
    "list_type": "should be a list",
    "dict_type": "should be a mapping",
    "model_type": "should be a mapping",
    "model_attributes_type": "should be a mapping",
    "union_tag_not_found": "needs a 'source': oracle or pairs",
}
"""What is expected, by pydantic's types of faults."""


def _keys(location: Sequence[str | int], raw: Any, missing: bool) -> list[str]:
    """A location in the file's own keys: without the names of the models that unions chose."""
    chosen = len(location) > 1 and location[0] == "data" and location[1] in SOURCES
    steps, keys = [*location[:1], *location[2:]] if chosen else [*location], []
    if steps[:1] == ["entries"]:
        del steps[2:3]  # the kind of the entry
        steps[0] = "entries" if steps[0] in raw else "methods"  # where a file has them
    for step in steps:
        holds = step in raw if isinstance(raw, dict) else isinstance(raw, list) and isinstance(step, int)
        if holds:
            raw = raw[step]
        if holds or (missing and step == steps[-1]):
            keys.append(str(step))
    return keys


def _short(value: object) -> str:
    """A value as far as it fits into a line; a mapping by its kind alone."""
    return "a mapping" if isinstance(value, dict) else reprlib.repr(value)


def _known_keys(location: Sequence[str | int]) -> list[str]:
    """The keys of the model at a location of the schema.

    A step that chooses one of several models comes before one that is the name of a field: `pairs` is both. A step that is
    neither is a key of a mapping; the name of an entry may be anything.
    """
    models: list[type[BaseModel]] = [Experiment]
    for step in (*location[:1], *location[2:]) if location[:1] == ("entries",) else location:
        chosen = [model for model in models if step in _sources(model) or KINDS.get(str(step)) is model]
        fields = [
            field for model in models for name, field in model.model_fields.items() if step in (name, field.alias)
        ]
        if len(models) > 1 and chosen:
            models = chosen
        elif fields:
            models = [model for field in fields for model in _models(field.annotation)]
    return [field.alias or name for model in models for name, field in model.model_fields.items()]


def _sources(model: type[BaseModel]) -> tuple[Any, ...]:
    """The values of ``source`` that choose a model among several."""
    return typing.get_args(model.model_fields["source"].annotation) if "source" in model.model_fields else ()


def _models(annotation: Any) -> list[type[BaseModel]]:
    """The models in an annotation such as a union or a mapping."""
    if inspect.isclass(annotation) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for argument in typing.get_args(annotation) for model in _models(argument)]

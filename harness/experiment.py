"""The experiment file: what to compare, strictly checked.

An experiment is one YAML file. ``extends: NAME`` starts from another one and overrides it key by key; ``null``
takes a key out, ``{}`` empties a mapping. An unknown key is an error that offers the nearest known one; the fully resolved experiment is saved beside
the results.
"""

from __future__ import annotations

import types
import typing
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from harness.errors import UsageError, nearest

SHIPPED = Path(__file__).parent / "experiments"
Positive = Annotated[float, Field(gt=0)]
Count = Annotated[int, Field(ge=1)]


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class OracleData(Strict):
    """The embedded world whose optimum is known."""

    source: Literal["oracle"] = "oracle"
    world: dict[str, Any] = {}
    corpus: Count = 64000
    pairs: Count = 8192
    labelled: Count = 6000


class PromptSet(Strict):
    """Evaluation prompts of their own, in place of those held out from the pairs."""

    set: str
    """A known set, fetched from the hub, or a local file in one of their forms (`harness.prompt_sets`)."""
    references: str | None = None
    """A file with a model's responses, to compare with instead of the set's own."""
    template: str = "{prompt}"
    """How the policy sees a prompt: text with {prompt} and perhaps {response} at its end, or 'chat'."""
    limit: Count | None = None

    @field_validator("template")
    @classmethod
    def _holds_the_prompt(cls, template: str) -> str:
        if template != "chat" and template.count("{prompt}") != 1:
            raise ValueError(f"needs {{prompt}} once, or is 'chat', not {template!r}")
        if "{response}" in template.removesuffix("{response}"):
            raise ValueError(f"{{response}} ends the template, not {template!r}")
        return template


class PairData(Strict):
    """Real preference pairs: a hub id or a local JSONL, JSONL.gz or Parquet file."""

    source: Literal["pairs"]
    path: str
    split: str = "train"
    pairs: Count = 5000
    """How many pairs the policies learn from, at most."""
    judge_share: Annotated[float, Field(gt=0, lt=1)] = 0.3
    """Share of conversations kept for training the judge; the policies never see them."""
    test_prompts: Count = 128
    prompts: PromptSet | None = None
    on_invalid: Literal["error", "drop"] = "drop"


class Size(Strict):
    """A model made from scratch (the architecture's numbers) or a pretrained one (`model`)."""

    model: str | None = None
    architecture: str | None = None
    layers: Count | None = None
    hidden: Count | None = None
    heads: Count | None = None
    intermediate: Count | None = None
    context: Count | None = None

    @model_validator(mode="after")
    def _one_of(self) -> Size:
        made = [self.architecture, self.layers, self.hidden, self.heads, self.intermediate, self.context]
        if (self.model is None) == all(value is None for value in made):
            raise ValueError("give either 'model' or the numbers of a model to make (architecture, layers, hidden ...)")
        return self


class Base(Strict):
    """How the starting point of every method is made where a size names no pretrained model."""

    vocabulary: Count = 4096
    training: dict[str, Any] = {}


class Judge(Strict):
    """Who decides a win: the world's own users, or a Bradley-Terry reward model."""

    kind: Literal["oracle", "reward_model"]
    model: str | None = None
    training: dict[str, Any] = {}


class HeldOutToxicity(Strict):
    """A second toxicity scorer that is never the reward: Detoxify (`model`), or one trained on other labels."""

    model: str | None = None
    labelled: str | None = None
    training: dict[str, Any] = {}

    @model_validator(mode="after")
    def _one_of(self) -> HeldOutToxicity:
        if (self.model is None) == (self.labelled is None):
            raise ValueError("give either 'model' or 'labelled'")
        return self


class Toxicity(Strict):
    """Detoxify by a hub name (`model`), or a small classifier trained on the world's or the user's labels."""

    model: str | None = None
    labelled: str | None = None
    required: bool = True
    """False: with neither of the two, run on the other objectives alone and say so."""
    training: dict[str, Any] = {}
    held_out: HeldOutToxicity | None = None


class MethodEntry(Strict):
    """One method with its sweep: a hyperparameter (of the method or of training) and its values."""

    method: str
    parameters: dict[str, Any] = {}
    training: dict[str, Any] = {}
    sweep: dict[str, list[float]] = {}

    @field_validator("sweep")
    @classmethod
    def _one_scalar(cls, sweep: dict[str, list[float]]) -> dict[str, list[float]]:
        if len(sweep) > 1:
            raise ValueError(f"a method sweeps one scalar, not {len(sweep)}: {', '.join(sweep)}")
        for name, values in sweep.items():
            if not values or len(set(values)) != len(values):
                raise ValueError(f"the sweep of {name!r} needs distinct values, not {values}")
        return sweep

    @property
    def trials(self) -> list[dict[str, float]]:
        """The settings this entry tries, one dictionary each."""
        return [{name: value} for name, values in self.sweep.items() for value in values] or [{}]


class DecodingSpec(Strict):
    max_new_tokens: Count = 32
    temperature: Annotated[float, Field(ge=0)] = 1.0
    top_p: Annotated[float, Field(gt=0, le=1)] = 1.0
    samples: Count = 1
    batch_size: Count = 128


class Experiment(Strict):
    """Everything that determines a run."""

    schema_version: Literal[1] = Field(1, alias="schema")
    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]*$")]
    title: str
    description: str = ""
    caveat: str = ""
    seeds: list[Annotated[int, Field(ge=0)]]
    data: Annotated[OracleData | PairData, Field(discriminator="source")]
    sizes: dict[str, Size]
    base: Base = Base()
    training: dict[str, Any] = {}
    """Settings every method shares (`trainers.config.TrainConfig`)."""
    rewards: dict[str, Annotated[float, Field(ge=0)]] = {}
    """Designer objectives and their weights in the designer reward R; the weights add up to 1."""
    toxicity: Toxicity = Toxicity()
    judge: Judge
    methods: dict[str, MethodEntry]
    decoding: DecodingSpec = DecodingSpec()
    suites: list[str] = ["win_rate", "toxicity", "style"]
    reference_point: dict[str, float] = {}
    """Of the hypervolume, per objective; stated here and never derived from the data."""

    @field_validator("methods", mode="before")
    @classmethod
    def _named_after_method(cls, methods: Any) -> Any:
        """An entry's name is its method unless it says otherwise; a bare name is an entry without a sweep."""
        if isinstance(methods, dict):
            return {
                name: {"method": name, **(entry or {})} if entry is None or isinstance(entry, dict) else entry
                for name, entry in methods.items()
            }
        return methods

    @model_validator(mode="after")
    def _consistent(self) -> Experiment:
        if not self.seeds or len(set(self.seeds)) != len(self.seeds):
            raise ValueError(f"seeds: needs distinct numbers, not {self.seeds}")
        if not self.methods or not self.sizes:
            raise ValueError("methods and sizes: each needs at least one entry")
        if self.rewards and abs(sum(self.rewards.values()) - 1) > 1e-6:
            raise ValueError(f"rewards: the weights add up to {sum(self.rewards.values()):g}, not 1")
        if self.judge.kind == "oracle" and self.data.source != "oracle":
            raise ValueError("judge.kind: the oracle judge needs data.source: oracle")
        return self


def shipped() -> list[str]:
    """Names of the experiments that come with the package."""
    return sorted(path.stem for path in SHIPPED.glob("*.yaml"))


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
    for override in overrides:
        _apply(raw, override)
    try:
        return Experiment.model_validate(raw)
    except ValidationError as error:
        raise UsageError(f"{name_or_path}: {_explain(error)}") from None


def dump(experiment: Experiment) -> str:
    """The resolved experiment as YAML; loading it gives the same experiment."""
    return yaml.safe_dump(experiment.model_dump(mode="json", by_alias=True), sort_keys=False, allow_unicode=True)


def _read(name_or_path: str, seen: tuple[str, ...] = ()) -> dict:
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


def _merge(parent: dict, child: dict) -> dict:
    merged = dict(parent)
    for key, value in child.items():
        if value is None:
            merged.pop(key, None)
        elif value and isinstance(value, dict) and isinstance(merged.get(key), dict):
            merged[key] = _merge(merged[key], value)
        else:
            merged[key] = value
    return merged


def _apply(raw: dict, override: str) -> None:
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


def _explain(error: ValidationError) -> str:
    first = error.errors()[0]
    location = [str(part) for part in first["loc"]]
    if first["type"] == "extra_forbidden":
        return f"{'.'.join(location)}: unknown key{nearest(location[-1], _known_keys(first['loc'][:-1]))}"
    message = first["msg"].removeprefix("Value error, ")
    return f"{'.'.join(location)}: {message}" if location else message


def _known_keys(location: tuple) -> list[str]:
    """The keys of the model at a location of the schema; a step that names no field chooses among a union or a mapping."""
    models: list[type[BaseModel]] = [Experiment]
    for step in location:
        fields = [
            field for model in models for name, field in model.model_fields.items() if step in (name, field.alias)
        ]
        if fields:
            models = [model for field in fields for model in _models(field.annotation)]
        elif any("source" in m.model_fields and m.model_fields["source"].annotation == Literal[step] for m in models):
            models = [m for m in models if m.model_fields["source"].annotation == Literal[step]]
    return [field.alias or name for model in models for name, field in model.model_fields.items()]


def _models(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and not isinstance(annotation, types.GenericAlias):
        return [annotation] if issubclass(annotation, BaseModel) else []
    return [model for argument in typing.get_args(annotation) for model in _models(argument)]

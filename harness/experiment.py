"""The experiment file: what to compare, strictly checked.

An experiment is one YAML file. ``extends: NAME`` starts from another one and overrides it key by key; ``null``
takes a key out, ``{}`` empties a mapping. ``scales: {NAME: ...}`` holds overrides of the same form, taken by
``--set scale=NAME``. An unknown key is an error that offers the nearest known one; the fully resolved experiment is saved beside
the results.
"""

from __future__ import annotations

import types
import typing
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from harness.errors import UsageError, nearest

SHIPPED = Path(__file__).parent / "experiments"
Positive = Annotated[float, Field(gt=0)]
Count = Annotated[int, Field(ge=1)]
BASE = "base"
"""The unaligned starting point, measured beside every method."""
SOUP = "soup"
"""The method of an entry that mixes the policies of others."""


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class OracleData(Strict):
    """The embedded world whose optimum is known."""

    source: Literal["oracle"] = "oracle"
    world: dict[str, Any] = {}
    corpus: Count = 64000
    pairs: Count = 8192
    labelled: Count = 6000


class PairSource(Strict):
    """One data set of a mixture: a hub id or a local file, and how its rows become pairs."""

    path: str
    split: str = "train"
    form: Literal["pairs", "shp", "oasst"] = "pairs"


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
    """Real preference pairs: a hub id or a local JSONL, JSONL.gz or Parquet file, or a mixture of several."""

    source: Literal["pairs"]
    path: str | None = None
    mixture: list[PairSource] = []
    """Instead of `path`: several data sets, mixed in an order that depends on the pairs alone."""
    split: str = "train"
    pairs: Count = 5000
    """How many pairs the policies learn from, at most."""
    judge_share: Annotated[float, Field(gt=0, lt=1)] = 0.3
    """Share of conversations kept for training the judge; the policies never see them."""
    test_prompts: Count = 128
    prompts: PromptSet | None = None
    on_invalid: Literal["error", "drop"] = "drop"

    @model_validator(mode="after")
    def _one_source(self) -> PairData:
        if (self.path is None) == (not self.mixture):
            raise ValueError("give either 'path' or 'mixture'")
        return self


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


class Price(Strict):
    """Dollars per million tokens."""

    input: Annotated[float, Field(ge=0)]
    output: Annotated[float, Field(ge=0)]


class Endpoint(Strict):
    """Where an OpenAI-compatible judge is, and how it may be used (`suites.judges.endpoint.Endpoint`)."""

    base_url: str
    key: str = "OPENAI_API_KEY"
    """Name of the environment variable that holds the key."""
    revision: str | None = None
    pin: Literal["fingerprint", "model"] = "fingerprint"
    price: Price | None = None
    max_cost: Annotated[float, Field(ge=0)] = 0.0
    """Dollars; a run that would cost more is refused, and stopped where it turns out to."""
    concurrency: Count = 4
    requests_per_minute: Positive | None = None
    timeout: Positive = 60.0
    max_retries: Annotated[int, Field(ge=0)] = 5
    max_failed: Annotated[float, Field(ge=0, le=1)] = 0.1

    @property
    def local(self) -> bool:
        """Whether it is a server on this machine, which needs neither key nor price."""
        return urlsplit(self.base_url).hostname in ("localhost", "127.0.0.1", "::1")

    @model_validator(mode="after")
    def _priced(self) -> Endpoint:
        if urlsplit(self.base_url).scheme not in ("http", "https"):
            raise ValueError(f"base_url: {self.base_url!r} is no URL (https://HOST/v1)")
        if not self.local and (self.price is None or not self.max_cost):
            raise ValueError(
                "a judge that is not on this machine needs a 'price' (input and output, dollars per million tokens) and "
                "a 'max_cost' in dollars"
            )
        return self


class Judge(Strict):
    """Who decides a win: the world's own users, a Bradley-Terry reward model, or a language model that is asked."""

    kind: Literal["oracle", "reward_model", "local_lm", "endpoint"]
    model: str | None = None
    training: dict[str, Any] = {}
    prompt: str | None = None
    """A language model's: a shipped template's name (upo if not given) or the path of one's own."""
    backend: Literal["hf", "vllm"] | None = None
    """A local language model's; hf if not given."""
    endpoint: Endpoint | None = None
    second: Judge | None = None
    """Decides the same wins again, as the objective ``win_rate_second``: does the ranking depend on the judge?"""

    @model_validator(mode="after")
    def _complete(self) -> Judge:
        asked = self.kind in ("local_lm", "endpoint")
        if asked and self.model is None:
            raise ValueError(f"a judge of kind {self.kind} needs a 'model'")
        if (self.kind == "endpoint") != (self.endpoint is not None):
            raise ValueError("'endpoint' (base_url ...) belongs to a judge of kind endpoint, which needs it")
        if self.prompt is not None and not asked:
            raise ValueError("'prompt' belongs to a judge of kind local_lm or endpoint")
        if self.backend is not None and self.kind != "local_lm":
            raise ValueError("'backend' belongs to a judge of kind local_lm")
        if self.second is not None and self.second.kind == "reward_model" and self.second.model is None:
            raise ValueError(
                "second: a second reward model must be named ('model'): trained here, it would know the same pairs"
            )
        if self.second is not None and self.second.second is not None:
            raise ValueError("second: there is no third judge")
        return self

    @property
    def identity(self) -> dict[str, Any]:
        """What the verdicts depend on, for a comparison of runs: without prices and limits."""
        how = {
            "endpoint": {name: True for name in Endpoint.model_fields if name not in ("base_url", "revision", "pin")}
        }
        return self.model_dump(exclude_none=True, exclude=how | {"second": how})


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


class DataSpec(Strict):
    """A data step (`trainers.data_steps`) that makes what the method learns from."""

    step: str
    parameters: dict[str, Any] = {}


class SoupSpec(Strict):
    """A policy mixed from those of other entries (`trainers.outer.Soup`)."""

    policies: Annotated[list[str], Field(min_length=2)]
    share: float | None = None


class MethodEntry(Strict):
    """One method with its sweep: a setting (of the method, of training, or of what goes around) and its values."""

    method: str
    parameters: dict[str, Any] = {}
    training: dict[str, Any] = {}
    data: DataSpec | None = None
    rounds: dict[str, Any] | None = None
    """Settings of `trainers.outer.Rounds`: train again and again, each time from the policy before."""
    soup: SoupSpec | None = None
    references: list[str] = []
    """Of a method that needs several, or another than the base: `base`, entries, or sizes (their bases)."""
    sweep: dict[str, list[float]] = {}
    rewards: dict[str, Annotated[float, Field(ge=0)]] = {}
    """Weights of the designer objectives for this entry, instead of the experiment's; they add up to 1."""

    @field_validator("rewards")
    @classmethod
    def _whole(cls, rewards: dict[str, float]) -> dict[str, float]:
        return _add_up_to_one(rewards)

    @field_validator("sweep")
    @classmethod
    def _one_scalar(cls, sweep: dict[str, list[float]]) -> dict[str, list[float]]:
        if len(sweep) > 1:
            raise ValueError(f"a method sweeps one scalar, not {len(sweep)}: {', '.join(sweep)}")
        for name, values in sweep.items():
            if not values or len(set(values)) != len(values):
                raise ValueError(f"the sweep of {name!r} needs distinct values, not {values}")
        return sweep

    @model_validator(mode="after")
    def _soup_alone(self) -> MethodEntry:
        trained = [name for name in ("parameters", "training", "data", "rounds", "references") if getattr(self, name)]
        if self.soup and (trained or self.method != SOUP):
            what = ", ".join(trained) or f"method {self.method}"
            raise ValueError(f"a soup trains nothing: {what} belongs to the entries of its policies")
        return self

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
    backend: Literal["hf", "vllm"] = "hf"


class SamplingSpec(Strict):
    """Responses of a policy to the training prompts, for data steps; what is not given is as in `decoding`."""

    samples: Count = 4
    """For each training pair."""
    max_new_tokens: Count | None = None
    temperature: Annotated[float, Field(gt=0)] | None = None
    top_p: Annotated[float, Field(gt=0, le=1)] | None = None
    batch_size: Count | None = None


class Published(Strict):
    """Figures of a paper, which the report sets beside the run's own."""

    source: str
    note: str = ""
    values: dict[str, dict[str, dict[str, float]]]
    """By objective, label of the point (an entry without a sweep is called by its name) and size."""


class BenchmarkFiles(Strict):
    """Local files of one benchmark."""

    items: str
    examples: str | None = None
    """Rows that few-shot examples are drawn from."""


class Benchmarks(Strict):
    """Published benchmarks, by lm-eval's own definitions."""

    tasks: Annotated[list[str], Field(min_length=1)]
    data: str | dict[str, str | BenchmarkFiles] = {}
    """A folder of data sets, or files by benchmark; a benchmark without files is taken from the hub."""
    limit: Count | None = None
    """Questions per task."""
    fewshot: Annotated[int, Field(ge=0)] | dict[str, Annotated[int, Field(ge=0)]] = {}
    """Examples per question, for all benchmarks or by name, instead of the definition's own number."""
    batch_size: Count = 64
    allow_code_execution: bool = False
    """Run programs that the model writes."""


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
    sampling: SamplingSpec = SamplingSpec()
    suites: list[str] = ["win_rate", "toxicity", "style"]
    benchmarks: Benchmarks | None = None
    """What the suite `benchmark` runs; without it the oracle world's own task."""
    reference_point: dict[str, float] = {}
    """Of the hypervolume, per objective; stated here and never derived from the data."""
    published: Published | None = None

    @field_validator("rewards")
    @classmethod
    def _whole(cls, rewards: dict[str, float]) -> dict[str, float]:
        return _add_up_to_one(rewards)

    @field_validator("methods", mode="before")
    @classmethod
    def _named_after_method(cls, methods: Any) -> Any:
        """An entry's name is its method unless it says otherwise; a bare name is an entry without a sweep."""
        if isinstance(methods, dict):
            return {
                name: {"method": _method_of(name, entry or {}), **(entry or {})}
                if entry is None or isinstance(entry, dict)
                else entry
                for name, entry in methods.items()
            }
        return methods

    @model_validator(mode="after")
    def _consistent(self) -> Experiment:
        if not self.seeds or len(set(self.seeds)) != len(self.seeds):
            raise ValueError(f"seeds: needs distinct numbers, not {self.seeds}")
        if not self.methods or not self.sizes:
            raise ValueError("methods and sizes: each needs at least one entry")
        for name, entry in self.methods.items():
            if lacking := [objective for objective in entry.rewards if objective not in self.rewards]:
                raise ValueError(f"methods.{name}.rewards: {lacking[0]!r} is not among the experiment's 'rewards'")
        judges = [self.judge, *([self.judge.second] if self.judge.second else [])]
        if any(judge.kind == "oracle" for judge in judges) and self.data.source != "oracle":
            raise ValueError("judge.kind: the oracle judge needs data.source: oracle")
        return self


def _method_of(name: str, entry: dict) -> str:
    return SOUP if entry.get("soup") else name


def _add_up_to_one(rewards: dict[str, float]) -> dict[str, float]:
    if rewards and abs(sum(rewards.values()) - 1) > 1e-6:
        raise ValueError(f"the weights add up to {sum(rewards.values()):g}, not 1")
    return rewards


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
    scales = raw.pop("scales", {})
    overrides = list(overrides)
    for override in [text for text in overrides if text.startswith("scale=")]:
        overrides.remove(override)
        raw = _merge(raw, _scale(name_or_path, scales, override.removeprefix("scale=")))
    for override in overrides:
        _apply(raw, override)
    try:
        return Experiment.model_validate(raw)
    except ValidationError as error:
        raise UsageError(f"{name_or_path}: {_explain(error)}") from None


def _scale(experiment: str, scales: dict, name: str) -> dict:
    """The overrides of one of the scales that the experiment's file names."""
    if name not in scales:
        has = "" if scales else f"; {experiment} names none under 'scales'"
        raise UsageError(f"--set scale={name}: no such scale{nearest(name, scales)}{has}")
    return scales[name]


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

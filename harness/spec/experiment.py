"""Schema of an experiment file, strictly checked."""

from __future__ import annotations

import reprlib
from pathlib import PurePath
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from harness.errors import UsageError
from harness.spec.data import OracleData, PairData, PromptData
from harness.spec.entries import Entry, kind_of
from harness.spec.evaluation import Benchmarks, DecodingSpec, Published, SamplingSpec
from harness.spec.methods import SOUP, MethodEntry, add_up_to_one
from harness.spec.objectives import Name, OwnObjective
from harness.spec.scorers import Judge, Toxicity
from harness.spec.strict import Label, Path, Seed, Strict, Weight
from harness.spec.users import DECODES, Decoded, Users

BASE = "base"
"""The unaligned starting point, measured beside every method."""


class Size(Strict):
    """A model made from scratch (the architecture's numbers) or a pretrained one (`model`)."""

    model: Path | None = None
    architecture: str | None = None
    layers: int | None = None
    hidden: int | None = None
    heads: int | None = None
    intermediate: int | None = None
    context: int | None = None

    @model_validator(mode="after")
    def _one_of(self) -> Size:
        made = [self.architecture, self.layers, self.hidden, self.heads, self.intermediate, self.context]
        if (self.model is None) == all(value is None for value in made):
            raise ValueError("give either 'model' or the numbers of a model to make (architecture, layers, hidden ...)")
        return self

    @property
    def words(self) -> str:
        """The model in words: its name, or how it is made."""
        if self.model is not None:
            return PurePath(self.model).name if PurePath(self.model).is_absolute() else self.model
        made = ", ".join(
            f"{name} {value}" for name, value in self.model_dump(exclude_none=True, exclude={"model"}).items()
        )
        return f"made here with {made}"


class Base(Strict):
    """How the starting point of every method is made where a size names no pretrained model."""

    vocabulary: Annotated[int, Field(ge=300, le=10**6)] = 4096
    training: dict[str, Any] = {}


class Experiment(Strict):
    """Everything that determines a run."""

    schema_version: Literal[1] = Field(1, alias="schema")
    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]*$", max_length=100)]
    title: Annotated[str, Field(min_length=1, max_length=500, pattern=r"^\S(.*\S)?$")]
    description: str = ""
    caveat: str = ""
    plugins: list[Path] = []
    """Python files that register suites, judges, methods, data steps, executors or trackers (`harness.plugins`)."""
    seeds: Annotated[list[Seed], Field(max_length=1000)] = [0]
    data: Annotated[OracleData | PairData | PromptData, Field(discriminator="source")]
    sizes: dict[Label, Size] = {}
    base: Base = Base()
    training: dict[str, Any] = {}
    """Settings every method shares (`trainers.config.TrainConfig`)."""
    rewards: dict[str, Weight] = {}
    """Designer objectives and their weights in the designer reward R; the weights add up to 1."""
    objectives: dict[Name, OwnObjective] = {}
    """The user's own objectives, by name."""
    toxicity: Toxicity = Toxicity()
    judge: Judge | None = None
    """Of the suite `win_rate` and of methods; a run without both needs none."""
    methods: dict[Label, MethodEntry] = {}
    users: Users = Users()
    """How policies are measured for the unseen users of a population."""
    decoded: dict[Label, Decoded] = {}
    """Entries that decode or steer the policies of others; those of `methods` are moved here."""
    entries: dict[Label, Entry] = {}
    """Entries that are not trained; those of `methods` are moved here."""
    decoding: DecodingSpec = DecodingSpec()
    sampling: SamplingSpec = SamplingSpec()
    suites: Annotated[list[str], Field(min_length=1)] = ["win_rate", "toxicity", "style"]
    benchmarks: Benchmarks | None = None
    """What the suite `benchmark` runs; without it the oracle world's own task."""
    reference_point: dict[str, float] = {}
    """Of the hypervolume, per objective; stated here and never derived from the data."""
    published: Published | None = None

    @model_validator(mode="before")
    @classmethod
    def _entries_apart(cls, raw: Any) -> Any:
        """Entries of `methods` that are not trained, recognised by their key, among `entries` and `decoded`."""
        if not isinstance(raw, dict) or not isinstance(raw.get("methods"), dict):
            return raw
        places = {name: raw.get(name) or {} for name in ("entries", "decoded")}
        if not all(isinstance(place, dict) for place in places.values()):
            return raw
        entries = {name: entry for name, entry in raw["methods"].items() if isinstance(entry, dict)}
        brought = {name: entry for name, entry in entries.items() if kind_of(entry)}
        decoded = {name: entry for name, entry in entries.items() if entry.keys() & DECODES and name not in brought}
        trained = {name: entry for name, entry in raw["methods"].items() if name not in {**brought, **decoded}}
        moved = {"entries": {**places["entries"], **brought}, "decoded": {**places["decoded"], **decoded}}
        return {**raw, "methods": trained, **{name: entries for name, entries in moved.items() if entries}}

    @field_validator("schema_version", mode="before")
    @classmethod
    def _number(cls, version: object) -> object:
        if isinstance(version, bool):
            raise ValueError(f"should be 1, not {version}")
        return version

    @field_validator("rewards")
    @classmethod
    def _whole(cls, rewards: dict[str, float]) -> dict[str, float]:
        return add_up_to_one(rewards)

    @property
    def named(self) -> Experiment:
        """The experiment with ``{data}`` and ``{bases}`` in its title, description and caveat filled in."""
        words = {
            "{data}": self.data.words,
            "{bases}": ", ".join(f"{n}: {size.words}" for n, size in self.sizes.items()),
        }
        texts = {name: getattr(self, name) for name in ("title", "description", "caveat")}
        for mark, word in words.items():
            texts = {name: text.replace(mark, word) for name, text in texts.items()}
        return self.model_copy(update=texts)

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
            raise ValueError(f"seeds: needs distinct numbers, not {reprlib.repr(self.seeds)}")
        if len(set(self.suites)) != len(self.suites):
            raise ValueError(f"suites: needs distinct names, not {reprlib.repr(self.suites)}")
        if not self.methods and not self.entries and not self.decoded:
            raise ValueError("methods: needs at least one entry")
        self._require_what_training_needs()
        for name, entry in self.methods.items():
            if entry.seeds and (unknown := [seed for seed in entry.seeds if seed not in self.seeds]):
                raise ValueError(f"methods.{name}.seeds: {unknown[0]} is not among the experiment's 'seeds'")
            if lacking := [objective for objective in entry.rewards if objective not in self.rewards]:
                raise ValueError(f"methods.{name}.rewards: {lacking[0]!r} is not among the experiment's 'rewards'")
        for judge in filter(None, (self.judge, self.judge and self.judge.second)):
            if "world" in judge.needs and self.data.source != "oracle":
                raise ValueError(f"judge.kind: the {judge.kind} judge needs data.source: oracle")
        return self

    def _require_what_training_needs(self) -> None:
        if (self.methods or self.decoded) and not self.sizes:
            raise ValueError("sizes: needs at least one entry, to train methods at")
        if self.methods and self.data.source == "prompts":
            raise ValueError(f"methods.{next(iter(self.methods))}: training needs pairs; data.source is 'prompts'")
        if self.judge is None and (self.methods or "win_rate" in self.suites):
            raise ValueError("judge: is missing; methods and the suite 'win_rate' need one")

    @property
    def preference_judge(self) -> Judge:
        """The judge, where methods or suites need one."""
        if self.judge is None:
            raise UsageError("judge: is missing")
        return self.judge


def _method_of(name: str, entry: dict[str, Any]) -> str:
    return SOUP if entry.get("soup") else name

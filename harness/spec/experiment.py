"""Schema of an experiment file, strictly checked."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from harness.spec.data import OracleData, PairData
from harness.spec.evaluation import Benchmarks, DecodingSpec, Published, SamplingSpec
from harness.spec.methods import SOUP, MethodEntry, add_up_to_one
from harness.spec.scorers import Judge, Toxicity
from harness.spec.strict import Count, Strict

BASE = "base"
"""The unaligned starting point, measured beside every method."""


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


class Experiment(Strict):
    """Everything that determines a run."""

    schema_version: Literal[1] = Field(1, alias="schema")
    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]*$")]
    title: str
    description: str = ""
    caveat: str = ""
    plugins: list[str] = []
    """Python files that register suites, judges, methods, data steps or executors (`harness.plugins`)."""
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
        return add_up_to_one(rewards)

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
        for judge in judges:
            if "world" in judge.needs and self.data.source != "oracle":
                raise ValueError(f"judge.kind: the {judge.kind} judge needs data.source: oracle")
        return self


def _method_of(name: str, entry: dict[str, Any]) -> str:
    return SOUP if entry.get("soup") else name

"""Schema of the evaluation: decoding, benchmarks and published figures."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from harness.spec.strict import Count, Strict


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

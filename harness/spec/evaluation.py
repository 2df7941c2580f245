"""Schema of the evaluation: decoding, benchmarks and published figures."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from harness.spec.strict import Count, Few, Label, Path, Strict

Shots = Annotated[int, Field(ge=0, le=1000)]


class DecodingSpec(Strict):
    max_new_tokens: Few = 32
    temperature: Annotated[float, Field(ge=0, le=100)] = 1.0
    top_p: Annotated[float, Field(gt=0, le=1)] = 1.0
    samples: Few = 1
    batch_size: Few = 128
    backend: Literal["hf", "vllm"] = "hf"


class SamplingSpec(Strict):
    """Responses of a policy to the training prompts, for data steps; what is not given is as in `decoding`."""

    samples: Few = 4
    """For each training pair."""
    max_new_tokens: Few | None = None
    temperature: Annotated[float, Field(gt=0, le=100)] | None = None
    top_p: Annotated[float, Field(gt=0, le=1)] | None = None
    batch_size: Few | None = None


class Published(Strict):
    """Figures of a paper, which the report sets beside the run's own."""

    source: str
    note: str = ""
    values: dict[Label, dict[Label, dict[Label, float]]]
    """By objective, label of the point (an entry without a sweep is called by its name) and size."""


class BenchmarkFiles(Strict):
    """Local files of one benchmark."""

    items: Path
    examples: Path | None = None
    """Rows that few-shot examples are drawn from."""


class Benchmarks(Strict):
    """Published benchmarks, by lm-eval's own definitions."""

    tasks: Annotated[list[Label], Field(min_length=1)]
    data: Path | dict[Label, Path | BenchmarkFiles] = {}
    """A folder of data sets, or files by benchmark; a benchmark without files is taken from the hub."""
    limit: Count | None = None
    """Questions per task."""
    fewshot: Shots | dict[Label, Shots] = {}
    """Examples per question, for all benchmarks or by name, instead of the definition's own number."""
    batch_size: Few = 64
    allow_code_execution: bool = False
    """Run programs that the model writes."""

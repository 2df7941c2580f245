"""Schema of the entries that are not trained here: checkpoints, responses, item scores and logs of others."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Discriminator, Tag

from harness.spec.scorers import Endpoint
from harness.spec.strict import Label, Path, Seed, Strict


class Brought(Strict):
    """What every entry may say of its model where the file does not."""

    size: Label | None = None
    """The model size that the report shows it under."""


class FromFile(Brought):
    """An entry whose results lie in a file."""

    generator: Label | None = None
    """The one of the file's generators; without it each of them is an entry."""
    seed: Seed | None = None
    columns: dict[str, str] = {}
    """The file's own names of fields, by the names that are read: ``{prompt: question, response: answer}``."""


class Generations(FromFile):
    """Responses that a model gave: JSON lines of prompt and response, or AlpacaEval's outputs."""

    generations: Path


class Scores(FromFile):
    """Item scores as a table: CSV, JSON lines or Parquet."""

    scores: Path


class Log(FromFile):
    """A log of another harness."""

    log: Path


class Checkpoint(Brought):
    """A model that was trained elsewhere: a folder or a model of the hub; adapters are merged into their base."""

    checkpoint: Path
    revision: str | None = None
    """The commit of a model of the hub."""
    base: Path | None = None
    """The base of an adapter, where it is not the one that the adapter names."""
    base_revision: str | None = None


class Served(Brought):
    """A served model that answers the prompts, through an OpenAI-compatible endpoint."""

    endpoint: Endpoint
    model: Path
    system: str | None = None
    """A system message in front of every prompt."""


KINDS: dict[str, type[Brought]] = {
    "checkpoint": Checkpoint,
    "generations": Generations,
    "endpoint": Served,
    "scores": Scores,
    "log": Log,
}
"""By the key that an entry is recognised by."""


def kind_of(entry: Any) -> str | None:
    """The kind of an entry that is not trained; None for one that is."""
    keys = entry if isinstance(entry, dict) else type(entry).model_fields if isinstance(entry, Brought) else {}
    return next((kind for kind in KINDS if kind in keys), None)


Entry = Annotated[
    Annotated[Checkpoint, Tag("checkpoint")]
    | Annotated[Generations, Tag("generations")]
    | Annotated[Served, Tag("endpoint")]
    | Annotated[Scores, Tag("scores")]
    | Annotated[Log, Tag("log")],
    Discriminator(kind_of),
]

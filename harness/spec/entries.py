"""Schema of the entries that are not trained here: checkpoints, responses, item scores and logs of others."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Discriminator, Tag

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


KINDS: dict[str, type[Brought]] = {"generations": Generations, "scores": Scores, "log": Log}
"""By the key that an entry is recognised by."""


def kind_of(entry: Any) -> str | None:
    """The kind of an entry that is not trained; None for one that is."""
    keys = entry if isinstance(entry, dict) else type(entry).model_fields if isinstance(entry, Brought) else {}
    return next((kind for kind in KINDS if kind in keys), None)


Entry = Annotated[
    Annotated[Generations, Tag("generations")] | Annotated[Scores, Tag("scores")] | Annotated[Log, Tag("log")],
    Discriminator(kind_of),
]

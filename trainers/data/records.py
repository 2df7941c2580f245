"""Preference, unpaired and SFT records, read from files or the hub and checked row by row.

Records have the fields that TRL and the hub use. A prompt or response is a string or a list of
``{"role": ..., "content": ...}`` messages. How the rows of a data set become pairs is its form, `trainers.data.forms`.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal, TypeVar

from trainers.data.fields import Fields, LeftOut, Unusable, describe
from trainers.data.forms import Draft, create, pairs_of
from trainers.data.rows import DataError, read_rows
from trainers.tokens.dialogue import Text

__all__ = [
    "DataError", "Document", "Example", "Pair", "Record", "Records", "ResponseGroup", "Text", "read_corpus",
    "read_examples", "read_groups", "read_mixture", "read_pairs", "read_preferences",
]  # fmt: skip

OnInvalid = Literal["error", "drop"]


@dataclass(frozen=True)
class Pair:
    """Two responses to one prompt, the first preferred; optionally one of the base model's own."""

    id: str
    prompt: Text
    chosen: Text
    rejected: Text
    base_response: Text | None = None


@dataclass(frozen=True)
class Example:
    """One response and whether it is desirable."""

    id: str
    prompt: Text
    response: Text
    label: bool


@dataclass(frozen=True)
class ResponseGroup:
    """Any number of responses to one prompt, told apart by their rewards alone."""

    id: str
    prompt: Text
    responses: tuple[Text, ...]


@dataclass(frozen=True)
class Document:
    """One SFT record. With a prompt only the response is learned; without, the whole text."""

    id: str
    prompt: Text
    response: Text


Record = TypeVar("Record", bound=Pair | Example | ResponseGroup | Document)


class Records(list[Record]):
    """A list of records, and the number of rows that were left out, by reason."""

    dropped: Counter[str]

    def __init__(self, records: Iterable[Record] = (), dropped: Counter[str] | None = None) -> None:
        super().__init__(records)
        self.dropped = dropped or Counter()


def read_pairs(source: str | Path, *, split: str = "train", on_invalid: OnInvalid = "error") -> Records[Pair]:
    """Read ``prompt, chosen, rejected`` records.

    Parameters
    ----------
    source : path or str
        A ``.jsonl``, ``.jsonl.gz`` or ``.parquet`` file, or the id of a data set on the hub.
    split : str
        The split of a hub data set.
    on_invalid : {"error", "drop"}
        Whether the first bad row raises, or bad rows are left out and counted in ``.dropped``.

    Raises
    ------
    DataError
        Naming file, line and id, for a malformed or non-UTF-8 line, a missing field, a field of another type, an empty
        prompt or response, identical responses, two different prompts, or an id that occurs twice.

    Examples
    --------
    >>> import tempfile
    >>> file = Path(tempfile.mkdtemp()) / "pairs.jsonl"
    >>> _ = file.write_text('{"prompt": "Hi", "chosen": " you", "rejected": " there"}\\n{"prompt": ""}\\n')
    >>> pairs = read_pairs(file, on_invalid="drop")
    >>> pairs[0].chosen, dict(pairs.dropped)
    (' you', {"no 'chosen'": 1})
    """
    return _read_form(source, split, on_invalid, "pairs")


def read_mixture(sources: Sequence[tuple[str | Path, str, str]], *, on_invalid: OnInvalid = "error") -> Records[Pair]:
    """Read pairs from several sources, in an order that depends on the pairs alone.

    Parameters
    ----------
    sources : sequence of (source, split, form)
        `source` and `split` as for `read_pairs`; `form` is the name of one of `trainers.data.forms`.
    on_invalid : {"error", "drop"}
        As for `read_pairs`. Rows that a form leaves out are no mistakes: they are counted either way.

    Returns
    -------
    Records of Pair
        Sorted by a hash of the id, so that the first n are a sample of the whole.
    """
    pairs: list[Pair] = []
    dropped: Counter[str] = Counter()
    for source, split, form in sources:
        part = _read_form(source, split, on_invalid, form)
        pairs += part
        dropped += part.dropped
    return Records(sorted(pairs, key=lambda pair: hashlib.sha256(pair.id.encode()).digest()), dropped)


def read_examples(source: str | Path, *, split: str = "train", on_invalid: OnInvalid = "error") -> Records[Example]:
    """Read unpaired ``prompt, response`` (or ``completion``) and ``label`` records; see `read_pairs`."""
    return _read(source, split, on_invalid, _example)


def read_groups(source: str | Path, *, split: str = "train", on_invalid: OnInvalid = "error") -> Records[ResponseGroup]:
    """Read ``prompt, responses`` records, each with as many responses as the first; see `read_pairs`.

    Responses may be equal, as samples of a policy are.
    """
    expected: list[int] = []

    def parse(row: Fields, identifier: str) -> ResponseGroup:
        group = _group(row, identifier)
        if expected and len(group.responses) != expected[0]:
            raise Unusable(f"{len(group.responses)} responses where the first row has {expected[0]}")
        expected[:1] = [len(group.responses)]
        return group

    return _read(source, split, on_invalid, parse)


def read_corpus(source: str | Path, *, split: str = "train", on_invalid: OnInvalid = "error") -> Records[Document]:
    """Read SFT records: ``prompt, response`` (or ``completion``), or ``text``; see `read_pairs`."""
    return _read(source, split, on_invalid, _document)


def read_preferences(
    source: str | Path, *, split: str = "train", on_invalid: OnInvalid = "error"
) -> Records[Pair] | Records[Example] | Records[ResponseGroup]:
    """Read pairs where the first row has a ``chosen`` response, groups where it has ``responses``, else examples."""
    first: Mapping[str, object] = next((row for _, row in read_rows(source, split) if isinstance(row, Mapping)), {})
    if "chosen" in first:
        return read_pairs(source, split=split, on_invalid=on_invalid)
    if "responses" in first:
        return read_groups(source, split=split, on_invalid=on_invalid)
    return read_examples(source, split=split, on_invalid=on_invalid)


Parsed = tuple[str, str | None, str, Callable[[str], Record] | LeftOut | Unusable]
"""Where a row is, its own id, its digest, and what makes its record for an id, or why there is none."""


def _read_form(source: str | Path, split: str, on_invalid: OnInvalid, name: str) -> Records[Pair]:
    """Read the pairs of a source in one of the registered forms."""
    form, plain = create(name), create("pairs")

    def parsed() -> Iterator[Parsed[Pair]]:
        for where, outcome in pairs_of(form, plain, read_rows(source, split)):
            if isinstance(outcome, LeftOut | Unusable):
                yield where, None, "", outcome
            else:
                yield where, outcome.id, outcome.digest, partial(_pair, outcome)

    return _collect(source, on_invalid, parsed())


def _read(
    source: str | Path, split: str, on_invalid: OnInvalid, parse: Callable[[Fields, str], Record]
) -> Records[Record]:
    """Read the records of a source whose rows become a record each."""

    def parsed() -> Iterator[Parsed[Record]]:
        for where, value in read_rows(source, split):
            try:
                if isinstance(value, Unusable):
                    raise value
                row = Fields.of(value)
                yield where, row.own_id(), row.digest(), partial(parse, row)
            except Unusable as reason:
                yield where, None, "", reason

    return _collect(source, on_invalid, parsed())


def _collect(source: str | Path, on_invalid: OnInvalid, parsed: Iterable[Parsed[Record]]) -> Records[Record]:
    """Records under ids that occur once; the n-th row without an id and with the same content gets a suffix."""
    if on_invalid not in ("error", "drop"):
        raise ValueError(f"on_invalid must be 'error' or 'drop', not {on_invalid!r}")
    records: list[Record] = []
    dropped: Counter[str] = Counter()
    places: dict[str, str] = {}
    repeats: Counter[str] = Counter()
    for where, own_id, digest, make in parsed:
        place = where if own_id is None else f"{where} (id {own_id})"
        try:
            if isinstance(make, LeftOut | Unusable):
                raise make
            repeats[digest] += own_id is None
            identifier = own_id or (digest if repeats[digest] == 1 else f"{digest}-{repeats[digest]}")
            if identifier in places:
                raise Unusable("duplicate id", f"{identifier!r} is also at {places[identifier]}")
            records.append(make(identifier))
            places[identifier] = place
        except LeftOut as reason:
            dropped[reason.why] += 1
        except Unusable as reason:
            if on_invalid == "error":
                raise DataError(place, reason.why, reason.detail) from None
            dropped[reason.why] += 1
    if not records:
        raise DataError(str(source), "no usable row", ", ".join(f"{n} × {why}" for why, n in dropped.items()))
    return Records(records, dropped)


def _pair(draft: Draft, identifier: str) -> Pair:
    return Pair(identifier, draft.prompt, draft.chosen, draft.rejected, draft.base_response)


def _example(row: Fields, identifier: str) -> Example:
    label = row.flag("label")
    return Example(identifier, row.text_or_messages("prompt"), row.text_or_messages("response", "completion"), label)


def _group(row: Fields, identifier: str) -> ResponseGroup:
    responses = row.values.get("responses")
    if not isinstance(responses, list) or len(responses) < 2:
        raise Unusable("'responses' is not a list of two or more", describe(responses))
    texts = tuple(Fields({"response": response}).text_or_messages("response") for response in responses)
    return ResponseGroup(identifier, row.text_or_messages("prompt"), texts)


def _document(row: Fields, identifier: str) -> Document:
    if "text" in row:
        return Document(identifier, "", row.text("text"))
    return Document(identifier, row.text_or_messages("prompt"), row.text_or_messages("response", "completion"))

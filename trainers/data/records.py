"""Preference, unpaired and SFT records, read from files or the hub and checked row by row.

Records have the fields that TRL and the hub use. A prompt or response is a string or a list of
``{"role": ..., "content": ...}`` messages. How the rows of a data set become pairs is its form, `trainers.data.forms`.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Literal, NamedTuple, TypeVar

from trainers.data.fields import Fields, LeftOut, Unusable, describe
from trainers.data.forms import Draft, create, pairs_of
from trainers.data.forms.recognition import LOOKED_AT, Recognised, named, recognise
from trainers.data.rows import DataError, Located, read_rows
from trainers.registry import nearest
from trainers.tokens.dialogue import Text

__all__ = [
    "DataError", "DataSet", "Document", "Example", "Pair", "Record", "Records", "ResponseGroup", "Text", "read_corpus",
    "read_data", "read_examples", "read_groups", "read_mixture", "read_pairs", "read_preferences", "rows_of",
]  # fmt: skip

OnInvalid = Literal["error", "drop"]


@dataclass(frozen=True)
class Pair:
    """Two responses to one prompt, the first preferred; optionally one of the base model's own.

    `scores` are what the data set says of both responses, chosen and rejected, by the names of its columns.
    """

    id: str
    prompt: Text
    chosen: Text
    rejected: Text
    base_response: Text | None = None
    scores: Mapping[str, tuple[float, float]] | None = None


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
    """A list of records, the number of rows that were left out, by reason, and the form of every source."""

    dropped: Counter[str]
    forms: tuple[Recognised, ...]

    def __init__(
        self,
        records: Iterable[Record] = (),
        dropped: Counter[str] | None = None,
        forms: tuple[Recognised, ...] = (),
    ) -> None:
        super().__init__(records)
        self.dropped = dropped or Counter()
        self.forms = forms


class DataSet(NamedTuple):
    """A data set: where it is, and how its rows become pairs.

    Parameters
    ----------
    source : path or str
        A file, or the id of a data set on the hub.
    split, subset, revision : str
        The split of a hub data set, its configuration and its commit.
    form : str, optional
        One of `trainers.data.forms`; recognised by the columns if not given.
    columns : mapping of str to str
        The data set's own names of columns, by the names that forms read.
    """

    source: str | Path
    split: str = "train"
    form: str | None = None
    columns: Mapping[str, str] = {}
    subset: str | None = None
    revision: str | None = None


def read_pairs(source: str | Path, *, split: str = "train", on_invalid: OnInvalid = "error") -> Records[Pair]:
    """Read ``prompt, chosen, rejected`` records.

    Parameters
    ----------
    source : path or str
        A JSON Lines, JSON, CSV or Parquet file, or the id of a data set on the hub.
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
    return read_data(DataSet(source, split, "pairs"), on_invalid=on_invalid)


def read_mixture(
    sources: Iterable[DataSet | tuple[str | Path, str, str]], *, on_invalid: OnInvalid = "error"
) -> Records[Pair]:
    """Read pairs from several sources, in an order that depends on the pairs alone.

    Parameters
    ----------
    sources : iterable of DataSet
        Or the first three fields of one: source, split and form.
    on_invalid : {"error", "drop"}
        As for `read_pairs`. Rows that a form leaves out are no mistakes: they are counted either way.

    Returns
    -------
    Records of Pair
        Sorted by a hash of the id, so that the first n are a sample of the whole.
    """
    pairs: list[Pair] = []
    dropped: Counter[str] = Counter()
    forms: tuple[Recognised, ...] = ()
    for source in sources:
        part = read_data(DataSet(*source), on_invalid=on_invalid)
        pairs += part
        dropped += part.dropped
        forms += part.forms
    return Records(sorted(pairs, key=lambda pair: hashlib.sha256(pair.id.encode()).digest()), dropped, forms)


def read_data(data: DataSet, *, on_invalid: OnInvalid = "error") -> Records[Pair]:
    """Read the pairs of a data set in the order of its rows; see `read_pairs`.

    Raises
    ------
    DataError
        Also with the columns of the first row, where no form is named and none fits.

    Examples
    --------
    >>> import tempfile
    >>> file = Path(tempfile.mkdtemp()) / "mine.csv"
    >>> _ = file.write_text("instruction,better,worse\\nWhy?,Because.,Go.\\n")
    >>> pairs = read_data(DataSet(file, columns={"prompt": "instruction", "chosen": "better", "rejected": "worse"}))
    >>> pairs[0].chosen, pairs.forms[0].name
    ('Because.', 'pairs')
    """
    rows: Iterable[Located] = rows_of(data)
    if data.form is None:
        rows = list(rows)
        form = recognise(islice(rows, LOOKED_AT), str(data.source))
    else:
        form = named(data.form)
    made, plain = create(form.name), create("pairs")

    def parsed() -> Iterator[Parsed[Pair]]:
        for where, outcome in pairs_of(made, plain, rows):
            if isinstance(outcome, LeftOut | Unusable):
                yield where, None, "", outcome
            else:
                yield where, outcome.id, outcome.digest, partial(_pair, outcome)

    records = _collect(data.source, on_invalid, parsed())
    records.forms = (form,)
    return records


def rows_of(data: DataSet) -> Iterator[Located]:
    """The rows of a data set under the names that forms read.

    Raises
    ------
    DataError
        For a named column that the first row does not have.
    """
    extra = {} if data.subset is None and data.revision is None else {"subset": data.subset, "revision": data.revision}
    checked = not data.columns
    for where, row in read_rows(data.source, data.split, **extra):
        if isinstance(row, Mapping) and data.columns:
            if not checked:
                _require_columns(where, row, data.columns)
                checked = True
            row = {**row, **{name: row.get(own) for name, own in data.columns.items()}}
        yield where, row


def _require_columns(where: str, row: Mapping[str, object], columns: Mapping[str, str]) -> None:
    if lacking := next((own for own in columns.values() if own not in row), None):
        names = sorted(map(str, row))
        raise DataError(where, f"columns: no column {lacking!r}{nearest(lacking, names)}")


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
    scores = draft.scores or None
    return Pair(identifier, draft.prompt, draft.chosen, draft.rejected, draft.base_response, scores)


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

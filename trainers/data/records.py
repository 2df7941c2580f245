"""Preference, unpaired and SFT records from files or the hub, checked row by row.

Records are as TRL and the hub have them. A prompt or response is a string or a list of
``{"role": ..., "content": ...}`` messages. Pairs without a ``prompt`` hold the whole dialogue on both
sides (Anthropic's form): the prompt is what comes before the last assistant turn.
"""

from __future__ import annotations

import gzip
import hashlib
import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeVar

from trainers.data.forms import FORMS, LeftOut, Rows

Text = str | list[dict]
OnInvalid = Literal["error", "drop"]
ASSISTANT_TURN = "\n\nAssistant:"


class DataError(ValueError):
    """A row that cannot be used: where it is, and why.

    Parameters
    ----------
    where : str
        ``file:line`` and the row's id where it has one.
    why : str
        The reason, one of a small set, so that dropped rows can be counted by it.
    """

    def __init__(self, where: str, why: str, detail: str = "") -> None:
        super().__init__(f"{where}: {why}{': ' + detail if detail else ''}")
        self.where, self.why, self.detail = where, why, detail

    def __reduce__(self) -> tuple:
        """Pickled by what it was made from, so that it survives the way from a worker process."""
        return type(self), (self.where, self.why, self.detail)


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


Record = TypeVar("Record", Pair, Example, ResponseGroup, Document)


class Records(list[Record]):
    """A list of records that knows how many rows it left out, by reason."""

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
        Which split of a hub data set.
    on_invalid : {"error", "drop"}
        Whether the first bad row raises, or bad rows are left out and counted in ``.dropped``.

    Raises
    ------
    DataError
        Naming file, line and id, for a malformed or non-UTF-8 line, a missing field, an empty prompt or
        response, identical responses, two different prompts, or an id that occurs twice.

    Examples
    --------
    >>> import tempfile
    >>> file = Path(tempfile.mkdtemp()) / "pairs.jsonl"
    >>> _ = file.write_text('{"prompt": "Hi", "chosen": " you", "rejected": " there"}\\n{"prompt": ""}\\n')
    >>> pairs = read_pairs(file, on_invalid="drop")
    >>> pairs[0].chosen, dict(pairs.dropped)
    (' you', {"no 'chosen'": 1})
    """
    return _read(source, split, on_invalid, _pair)


def read_mixture(sources: Sequence[tuple[str | Path, str, str]], *, on_invalid: OnInvalid = "error") -> Records[Pair]:
    """Read pairs from several sources, in an order that depends on the pairs alone.

    Parameters
    ----------
    sources : sequence of (source, split, form)
        `source` and `split` as for `read_pairs`; `form` is one of `trainers.data.forms.FORMS`.
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
        if form not in FORMS:
            raise ValueError(f"{source}: form must be one of {', '.join(FORMS)}, not {form!r}")
        found = _read(source, split, on_invalid, _pair, FORMS[form])
        pairs += found
        dropped += found.dropped
    return Records(sorted(pairs, key=lambda pair: hashlib.sha256(pair.id.encode()).digest()), dropped)


def read_examples(source: str | Path, *, split: str = "train", on_invalid: OnInvalid = "error") -> Records[Example]:
    """Read unpaired ``prompt, response`` (or ``completion``) and ``label`` records; see `read_pairs`."""
    return _read(source, split, on_invalid, _example)


def read_groups(source: str | Path, *, split: str = "train", on_invalid: OnInvalid = "error") -> Records[ResponseGroup]:
    """Read ``prompt, responses`` records, each with as many responses as the first; see `read_pairs`.

    Responses may be equal, as samples of a policy are.
    """
    groups = _read(source, split, on_invalid, _group)
    k = len(groups[0].responses)
    for group in groups:
        if len(group.responses) != k:
            raise DataError(
                f"{source} (id {group.id})", f"{len(group.responses)} responses where the first row has {k}"
            )
    return groups


def read_corpus(source: str | Path, *, split: str = "train", on_invalid: OnInvalid = "error") -> Records[Document]:
    """Read SFT records: ``prompt, response`` (or ``completion``), or ``text``; see `read_pairs`."""
    return _read(source, split, on_invalid, _document)


def read_preferences(
    source: str | Path, *, split: str = "train", on_invalid: OnInvalid = "error"
) -> Records[Pair] | Records[Example] | Records[ResponseGroup]:
    """Read pairs where the first row has a ``chosen`` response, groups where it has ``responses``, else examples."""
    _, first = next(_rows(source, split), ("", None))
    names = first if isinstance(first, dict) else {}
    read = read_pairs if "chosen" in names else read_groups if "responses" in names else read_examples
    return read(source, split=split, on_invalid=on_invalid)


class _Unusable(Exception):
    """Why one row cannot be used; `_read` adds where it is."""

    def __init__(self, why: str, detail: str = "") -> None:
        super().__init__(why)
        self.why, self.detail = why, detail


def _read(
    source: str | Path,
    split: str,
    on_invalid: OnInvalid,
    parse: Callable[[dict, str], Record],
    form: Callable[[Rows], Rows] = FORMS["pairs"],
) -> Records:
    if on_invalid not in ("error", "drop"):
        raise ValueError(f"on_invalid must be 'error' or 'drop', not {on_invalid!r}")
    records: list[Record] = []
    dropped: Counter[str] = Counter()
    seen: dict[str, str] = {}
    repeats: Counter[str] = Counter()
    for where, row in form(_rows(source, split)):
        if isinstance(row, LeftOut):
            dropped[row.why] += 1
            continue
        try:
            if isinstance(row, _Unusable):
                raise row
            if not isinstance(row, dict):
                raise _Unusable("not a JSON object")
            given = row.get("id")
            identifier = str(given) if given is not None else _content_id(row, repeats)
            where = f"{where} (id {identifier})" if given is not None else where
            if identifier in seen:
                raise _Unusable("duplicate id", f"{identifier!r} is also at {seen[identifier]}")
            seen[identifier] = where
            records.append(parse(row, identifier))
        except _Unusable as fault:
            if on_invalid == "error":
                raise DataError(where, fault.why, fault.detail) from None
            dropped[fault.why] += 1
    if not records:
        raise DataError(str(source), "no usable row", ", ".join(f"{n} × {why}" for why, n in dropped.items()))
    return Records(records, dropped)


def _content_id(row: dict, repeats: Counter[str]) -> str:
    """A stable id from the row's content; the n-th equal row gets a suffix, as samples may repeat."""
    digest = hashlib.sha256(json.dumps(row, sort_keys=True, ensure_ascii=False).encode()).hexdigest()[:16]
    repeats[digest] += 1
    return digest if repeats[digest] == 1 else f"{digest}-{repeats[digest]}"


def _rows(source: str | Path, split: str) -> Iterator[tuple[str, object]]:
    path = Path(source)
    if path.is_file():
        if path.name.endswith((".jsonl", ".jsonl.gz")):
            yield from _json_lines(path)
        elif path.suffix == ".parquet":
            import pyarrow.parquet

            for number, row in enumerate(pyarrow.parquet.read_table(path).to_pylist(), start=1):
                yield f"{path}:{number}", row
        else:
            raise DataError(str(path), "unknown kind of file; .jsonl, .jsonl.gz and .parquet are read")
    elif str(source).count("/") == 1 and not path.suffix and not str(source).startswith((".", "/", "~")):
        yield from _hub_rows(str(source), split)
    else:
        raise DataError(str(source), "no such file")


def _json_lines(path: Path) -> Iterator[tuple[str, object]]:
    opener = gzip.open if path.suffix == ".gz" else open
    with opener(path, "rb") as lines:
        number = 0
        try:
            for number, line in enumerate(lines, start=1):
                if not line.strip():
                    continue
                where = f"{path}:{number}"
                try:
                    yield where, json.loads(line.decode("utf-8"))
                except UnicodeDecodeError as fault:
                    yield where, _Unusable("not UTF-8", f"byte {fault.start} of the line")
                except json.JSONDecodeError as fault:
                    yield where, _Unusable("not JSON", f"{fault.msg} at column {fault.colno}")
        except (EOFError, gzip.BadGzipFile) as fault:
            raise DataError(f"{path}:{number + 1}", "damaged gzip file", str(fault)) from None


def _hub_rows(name: str, split: str) -> Iterator[tuple[str, object]]:
    import datasets

    try:
        rows = datasets.load_dataset(name, split=split)
    except Exception as fault:  # whatever the hub's client raises, the user needs the same one line
        raise DataError(name, "neither a file nor a data set that can be loaded from the hub", str(fault)) from fault
    for number, row in enumerate(rows):
        yield f"{name}[{split}]:{number}", row


def _text(row: dict, *names: str) -> Text:
    """The first of the named fields that the row has, as text or messages that say something."""
    name = next((name for name in names if row.get(name) is not None), None)
    if name is None:
        raise _Unusable(f"no {names[0]!r}", f"the row has {', '.join(sorted(map(str, row))) or 'no field'}")
    value = row[name]
    if isinstance(value, str):
        contents = [value]
    elif isinstance(value, list) and all(isinstance(turn, dict) and {"role", "content"} <= set(turn) for turn in value):
        contents = [turn["content"] for turn in value]
    else:
        raise _Unusable(f"{names[0]!r} is neither text nor a list of messages")
    if not contents or not all(isinstance(content, str) and content.strip() for content in contents):
        raise _Unusable(f"empty {names[0]!r}")
    return value


def _pair(row: dict, identifier: str) -> Pair:
    chosen, rejected = _text(row, "chosen"), _text(row, "rejected")
    if row.get("prompt") is None:
        (prompt, chosen), (other, rejected) = _split_dialogue(chosen), _split_dialogue(rejected)
        if prompt != other:
            raise _Unusable("chosen and rejected answer different prompts")
        _text({"chosen": chosen, "rejected": rejected}, "chosen")
        _text({"chosen": chosen, "rejected": rejected}, "rejected")
    else:
        prompt = _text(row, "prompt")
    if chosen == rejected:
        raise _Unusable("identical responses")
    if type(chosen) is not type(rejected) or type(prompt) is not type(chosen):
        raise _Unusable("text and messages are mixed")
    base_response = _text(row, "base_response") if row.get("base_response") is not None else None
    return Pair(identifier, prompt, chosen, rejected, base_response)


def _split_dialogue(dialogue: Text) -> tuple[Text, Text]:
    if isinstance(dialogue, list):
        if len(dialogue) < 2:
            raise _Unusable("no 'prompt'", "a single message cannot hold prompt and response")
        return dialogue[:-1], dialogue[-1:]
    head, turn, response = dialogue.rpartition(ASSISTANT_TURN)
    if not turn:
        raise _Unusable("no 'prompt'", f"and no {ASSISTANT_TURN!r} at which to split the dialogue")
    return head + turn, response


def _example(row: dict, identifier: str) -> Example:
    label = row.get("label")
    if not isinstance(label, bool | int) or label not in (0, 1):
        raise _Unusable("'label' is not true or false", repr(label))
    return Example(identifier, _text(row, "prompt"), _text(row, "response", "completion"), bool(label))


def _group(row: dict, identifier: str) -> ResponseGroup:
    responses = row.get("responses")
    if not isinstance(responses, list) or len(responses) < 2:
        raise _Unusable("'responses' is not a list of two or more")
    texts = tuple(_text({"response": response}, "response") for response in responses)
    return ResponseGroup(identifier, _text(row, "prompt"), texts)


def _document(row: dict, identifier: str) -> Document:
    if row.get("text") is not None:
        return Document(identifier, "", _text(row, "text"))
    return Document(identifier, _text(row, "prompt"), _text(row, "response", "completion"))

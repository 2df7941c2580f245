"""Rows of benchmark files: reading, and conversion to the fields and types of the hub's data sets.

Known forms are converted: a label written as a string, a list written as JSON or as a Python literal in a CSV cell, the
letter of a choice. Everything else is refused with the field and its value, because a definition of lm-eval scores a
label of another type 0 without an error.
"""

from __future__ import annotations

import ast
import csv
import gzip
import io
import json
import math
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

Row = Mapping[str, Any]
SHOWN = 60
"""Characters of a refused value in a message."""


class RowError(ValueError):
    """A field of a row that is missing or of no known form."""


def read_rows(path: Path) -> Iterator[dict[str, Any]]:
    """Rows of a ``.jsonl``, ``.csv`` (each also ``.gz``) or ``.parquet`` file.

    Raises
    ------
    ValueError
        Naming the file, and the row where one is at fault.
    """
    try:
        yield from _parquet_rows(path) if path.suffix == ".parquet" else _text_rows(path)
    except (OSError, EOFError, zlib.error, UnicodeDecodeError, csv.Error) as error:
        raise ValueError(f"{path} cannot be read: {error}") from error


def _parquet_rows(path: Path) -> Iterator[dict[str, Any]]:
    import pyarrow
    import pyarrow.parquet

    try:
        yield from pyarrow.parquet.read_table(path).to_pylist()
    except pyarrow.ArrowException as error:
        raise ValueError(f"{path} is not a readable Parquet file: {error}") from error


def _text_rows(path: Path) -> Iterator[dict[str, Any]]:
    raw = path.read_bytes()
    text = (gzip.decompress(raw) if path.suffix == ".gz" else raw).decode("utf-8-sig")
    if ".csv" in path.suffixes:
        reader = csv.DictReader(io.StringIO(text, newline=""), strict=True)
        for number, row in enumerate(reader, start=1):
            if None in row or None in row.values():
                raise ValueError(f"{path}: row {number}: its fields are not those of the header")
            yield row
        return
    # Not splitlines: a JSON string may contain a Unicode line separator.
    for number, line in enumerate((line for line in text.split("\n") if line.strip()), start=1):
        try:
            row = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise ValueError(f"{path}: row {number}: not JSON: {error}") from None
        if not isinstance(row, dict):
            raise ValueError(f"{path}: row {number}: a JSON object is needed, not {_shown(row)}")
        yield row


def text(row: Row, field: str, blank: bool = False) -> str:
    """A field's text, which must not be blank unless `blank` allows it.

    Examples
    --------
    >>> text({"question": None}, "question")
    Traceback (most recent call last):
    suites.benchmarks.rows.RowError: question is None; a text is needed
    """
    value = row[field]
    if not isinstance(value, str) or not (blank or value.strip()):
        raise RowError(f"{field} is {_shown(value)}; a text is needed")
    if any("\ud800" <= character <= "\udfff" for character in value):
        raise RowError(f"{field} is {_shown(value)}; it holds half of a surrogate pair, which is no text")
    return value


def texts(row: Row, field: str, least: int = 1, most: float = math.inf) -> list[str]:
    """A field's list of texts, of `least` to `most` items; in a CSV cell as JSON or as a Python literal.

    Examples
    --------
    >>> texts({"choices": "['a', 'b']"}, "choices")
    ['a', 'b']
    """
    values = structure(row[field])
    if not isinstance(values, list) or not least <= len(values) <= most:
        wanted = f"{least}" if least == most else f"at least {least}"
        raise RowError(f"{field} is {_shown(row[field])}; a list of {wanted} texts is needed")
    return [text({field: value}, field) for value in values]


def index(row: Row, field: str, n: int, letters: bool = False, first: int = 0) -> int:
    """A field's number of a choice, from `first` to ``first + n - 1``; as a number, its string or a letter.

    Examples
    --------
    >>> [index({"answer": value}, "answer", 4, letters=True) for value in (2, "2", 2.0, "C")]
    [2, 2, 2, 2]
    >>> index({"label": -1}, "label", 2)
    Traceback (most recent call last):
    suites.benchmarks.rows.RowError: label is -1; a whole number from 0 to 1 is needed
    """
    value = row[field]
    number: float | None = None
    if isinstance(value, str):
        word = value.strip()
        if letters and len(word) == 1 and "A" <= word <= "Z":
            number = ord(word) - ord("A") + first
        elif word.isascii() and word.isdigit():
            number = int(word[:9])
    elif isinstance(value, int | float) and not isinstance(value, bool):
        number = value
    if number is None or not first <= number < first + n or number != int(number):
        raise RowError(f"{field} is {_shown(value)}; a whole number from {first} to {first + n - 1} is needed")
    return int(number)


def structure(value: Any) -> Any:
    """A value, or what a string writes as JSON or as a Python literal; the string itself where it writes neither."""
    if not isinstance(value, str):
        return value
    for read in (json.loads, ast.literal_eval):
        try:
            return read(value)
        except (ValueError, SyntaxError, RecursionError, MemoryError):
            continue
    return value


def _shown(value: Any) -> str:
    words = repr(value)
    return words if len(words) <= SHOWN else f"{words[: SHOWN - 3]}..."


def gsm8k(task: str, row: Row) -> Row | None:
    """A question and its worked answer."""
    return {"question": text(row, "question"), "answer": text(row, "answer")}


def bbh(task: str, row: Row) -> Row | None:
    """A row of the one file of all 27 tasks, whose field ``task`` names its own."""
    if not task.endswith(f"_{text(row, 'task')}"):
        return None
    return {"input": text(row, "input"), "target": text(row, "target")}


def mmlu(task: str, row: Row) -> Row | None:
    """A row of the one file of all 57 subjects, whose field ``subject`` names its own."""
    subject = text(row, "subject")
    if task != f"mmlu_{subject}":
        return None
    return {
        "question": text(row, "question"),
        "subject": subject,
        "choices": texts(row, "choices", 4, 4),
        "answer": index(row, "answer", 4, letters=True),
    }


def humaneval(task: str, row: Row) -> Row | None:
    """A prompt, its tests and the name of the function that they call."""
    return {name: text(row, name) for name in ("task_id", "prompt", "canonical_solution", "test", "entry_point")}


def hellaswag(task: str, row: Row) -> Row | None:
    """A row with the hub's fields, or one whose query and choices are cleaned already (as OLMo stores them).

    The definition cleans ``activity_label: ctx_a ctx_b`` and the endings by itself. Cleaning strips a leading blank of
    a choice, and removes brackets; an empty bracket in front therefore preserves the blank.
    """
    if "endings" in row:
        context = {name: text(row, name, blank=name != "ctx_a") for name in ("activity_label", "ctx_a", "ctx_b")}
        return context | {"endings": texts(row, "endings", 4, 4), "label": str(index(row, "label", 4))}
    label, _, context_a = text(row, "query").partition(": ")
    choices = texts(row, "choices", 4, 4)
    endings = [f"[]{choice}" if choice.startswith(" ") else choice for choice in choices]
    gold = str(index(row, "gold", 4))
    return {"activity_label": label, "ctx_a": context_a, "ctx_b": "", "endings": endings, "label": gold}


def lambada(task: str, row: Row) -> Row | None:
    """The whole passage as one text, stored as such or as the context and its last word."""
    if "text" in row:
        return {"text": text(row, "text")}
    return {"text": f"{text(row, 'context')} {text(row, 'continuation')}"}


def winogrande(task: str, row: Row) -> Row | None:
    """A sentence with one blank, ``_``, two fillers and the number, 1 or 2, of the right one."""
    sentence = text(row, "sentence")
    if "_" not in sentence:
        raise RowError(f"sentence is {_shown(sentence)}; its blank, an underscore, is missing")
    options = {name: text(row, name) for name in ("option1", "option2")}
    return {"sentence": sentence} | options | {"answer": str(index(row, "answer", 2, first=1))}


def piqa(task: str, row: Row) -> Row | None:
    """A goal, two solutions and the number, 0 or 1, of the right one."""
    return {name: text(row, name) for name in ("goal", "sol1", "sol2")} | {"label": index(row, "label", 2)}


def openbookqa(task: str, row: Row) -> Row | None:
    """A question, its choices as parallel lists of texts and labels, and the label of the right one."""
    choices = structure(row["choices"])
    if not isinstance(choices, dict) or not {"text", "label"} <= set(choices):
        raise RowError(f"choices is {_shown(row['choices'])}; an object with the lists 'text' and 'label' is needed")
    answers, labels = texts(choices, "text", 2), texts(choices, "label", 2)
    key = text(row, "answerKey").strip()
    if key not in labels or len(labels) != len(answers) or len(set(labels)) != len(labels):
        raise RowError(f"answerKey is {_shown(row['answerKey'])}; one of the choices' labels is needed")
    return {
        "question_stem": text(row, "question_stem"),
        "choices": {"text": answers, "label": labels},
        "answerKey": key,
    }


def truthfulqa_choices(task: str, row: Row) -> Row | None:
    """A row with the fields of the hub's ``multiple_choice`` set, or one of TruthfulQA.csv; the true answers come first."""
    if "mc1_targets" in row:
        targets = {name: _targets(row, name) for name in ("mc1_targets", "mc2_targets")}
        if targets["mc1_targets"]["labels"][0] != 1:
            raise RowError(f"mc1_targets is {_shown(row['mc1_targets'])}; its first answer must be the true one")
        return {"question": text(row, "question")} | targets
    best, true, false = (
        text(row, "Best Answer").strip(),
        _answers(row, "Correct Answers"),
        _answers(row, "Incorrect Answers"),
    )
    return {
        "question": text(row, "Question"),
        "mc1_targets": {"choices": [best, *false], "labels": [1] + [0] * len(false)},
        "mc2_targets": {"choices": [*true, *false], "labels": [1] * len(true) + [0] * len(false)},
    }


def _targets(row: Row, field: str) -> dict[str, list[Any]]:
    """Choices and their labels, 1 for a true answer and 0 for a false one."""
    targets = structure(row[field])
    if not isinstance(targets, dict) or not {"choices", "labels"} <= set(targets):
        raise RowError(f"{field} is {_shown(row[field])}; an object with the lists 'choices' and 'labels' is needed")
    choices, labels = texts(targets, "choices"), targets["labels"]
    if not isinstance(labels, list) or len(labels) != len(choices):
        raise RowError(f"{field} is {_shown(row[field])}; its labels must be as many as its choices")
    return {"choices": choices, "labels": [index({"labels": label}, "labels", 2) for label in labels]}


def truthfulqa_answers(task: str, row: Row) -> Row | None:
    """A row with the fields of the hub's ``generation`` set, or one of TruthfulQA.csv."""
    if "correct_answers" in row:
        return {
            "question": text(row, "question"),
            "best_answer": text(row, "best_answer"),
            "correct_answers": texts(row, "correct_answers"),
            "incorrect_answers": texts(row, "incorrect_answers"),
        }
    return {
        "question": text(row, "Question"),
        "best_answer": text(row, "Best Answer").strip(),
        "correct_answers": _answers(row, "Correct Answers"),
        "incorrect_answers": _answers(row, "Incorrect Answers"),
    }


def _answers(row: Row, field: str) -> list[str]:
    """The answers that a cell of TruthfulQA.csv separates by semicolons."""
    return [answer.strip() for answer in text(row, field).split(";") if answer.strip()]

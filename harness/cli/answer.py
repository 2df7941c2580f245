"""Answer of a verb: an exit code, and facts that ``--json`` prints in place of the text."""

from __future__ import annotations

import functools
import inspect
import json
import math
import sys
from collections.abc import Callable, Iterable, Mapping
from contextlib import redirect_stdout
from dataclasses import asdict, dataclass, field, is_dataclass
from typing import Annotated, Any

import typer

from harness.errors import Exit, UsageError, described

JSON = Annotated[
    bool, typer.Option("--json", help="Print one JSON object on standard output; the text goes to standard error.")
]
FAILED = "error"
"""Key of the message where a verb could not be carried out."""


@dataclass(frozen=True)
class Answer:
    """What a verb found out: `facts` in the words of its text, with numbers in full."""

    exit: Exit = Exit.OK
    facts: Mapping[str, Any] = field(default_factory=dict)


def verb(app: typer.Typer, name: str | None = None) -> Callable[[Callable[..., Answer]], Callable[..., None]]:
    """Register a function as a verb with the option ``--json``.

    The function prints its text and returns an `Answer`. With ``--json`` standard output has one object of `facts`, the
    verb and the exit code, or of the error.
    """

    def register(function: Callable[..., Answer]) -> Callable[..., None]:
        word = name or function.__name__

        @functools.wraps(function)
        def command(*, as_json: bool = False, **options: Any) -> None:
            raise typer.Exit((_in_json if as_json else _in_text)(word, function, options))

        signature = inspect.signature(function, eval_str=True)
        option = inspect.Parameter("as_json", inspect.Parameter.KEYWORD_ONLY, default=False, annotation=JSON)
        command.__signature__ = signature.replace(  # type: ignore[attr-defined]  # read by inspect.signature
            parameters=[*signature.parameters.values(), option], return_annotation=None
        )
        command.__annotations__ = {**inspect.get_annotations(function, eval_str=True), "as_json": JSON, "return": None}
        app.command(word)(command)
        return command

    return register


def _in_text(_: str, function: Callable[..., Answer], options: Mapping[str, Any]) -> Exit:
    return function(**options).exit


def _in_json(word: str, function: Callable[..., Answer], options: Mapping[str, Any]) -> Exit:
    try:
        with redirect_stdout(sys.stderr):
            answer = function(**options)
    except UsageError as error:
        _print(word, Exit.USAGE, {FAILED: str(error)})
        raise
    except Exception as error:  # its traceback follows on standard error
        _print(word, Exit.FAILED, {FAILED: described(error)})
        raise
    _print(word, answer.exit, answer.facts)
    return answer.exit


def _print(word: str, exit_code: Exit, facts: Mapping[str, Any]) -> None:
    print(json.dumps({"verb": word, "exit": int(exit_code), **plain(facts)}, allow_nan=False), flush=True)


def plain(value: Any) -> Any:
    """A value as JSON has it: records as objects, paths and other things as text, numbers that are none as null.

    Examples
    --------
    >>> from pathlib import Path
    >>> plain({"path": Path("a"), "values": (1, float("nan")), 3: Exit.OK})
    {'path': 'a', 'values': [1, None], '3': 0}
    """
    if is_dataclass(value) and not isinstance(value, type):
        return plain(asdict(value))
    if isinstance(value, Mapping):
        return {str(key): plain(inner) for key, inner in value.items()}
    if isinstance(value, str | bool | None):
        return str(value) if isinstance(value, str) else value
    if isinstance(value, int):
        return int(value)
    if hasattr(value, "item"):  # a number of numpy
        return plain(value.item())
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return [plain(inner) for inner in value] if isinstance(value, Iterable) else str(value)

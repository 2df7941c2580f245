"""Program that calls a function of a Python file for every line of its input; the standard library alone.

``python child.py FILE FUNCTION SETTINGS``. A line of the input is a JSON list of a prompt and a response, a line of the
output ``{"value": ...}`` or ``{"error": ...}``. What the function prints goes to the standard error.
"""

from __future__ import annotations

import inspect
import json
import os
import sys
from collections.abc import Callable
from importlib.util import module_from_spec, spec_from_file_location
from typing import Any


def load(file: str, name: str, settings: dict[str, Any]) -> Callable[[str, str], Any]:
    """The function as one of a prompt and a response."""
    spec = spec_from_file_location("prefrontier_scorer", file)
    assert spec is not None and spec.loader is not None
    module = module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    function = getattr(module, name)
    free = [parameter for parameter in inspect.signature(function).parameters if parameter not in settings]
    if len(free) == 1:
        return lambda prompt, response: function(response, **settings)
    if len(free) == 2:
        return lambda prompt, response: function(prompt, response, **settings)
    raise TypeError(f"{name} takes {len(free)} arguments; it should take a response, or a prompt and a response")


def error(fault: BaseException) -> str:
    """The first line of an error, with its type."""
    return f"{type(fault).__name__}: {(str(fault).strip() or '-').splitlines()[0]}"[:200]


def answer(value: Any) -> dict[str, Any]:
    """A value that the function returned, as a number."""
    if isinstance(value, bool | int | float) or hasattr(value, "__float__"):
        return {"value": float(value)}
    return {"error": f"it returned {value!r}"[:200] + ", which is no number"}


def main() -> None:
    replies = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)

    def reply(row: dict[str, Any]) -> None:
        print(json.dumps(row), file=replies, flush=True)

    try:
        function = load(sys.argv[1], sys.argv[2], json.loads(sys.argv[3]))
    except BaseException as fault:  # whatever the user's file raises, SystemExit included
        reply({"fatal": error(fault)})
        return
    reply({"ready": True})
    for line in sys.stdin:
        try:
            reply(answer(function(*json.loads(line))))
        except Exception as fault:
            reply({"error": error(fault)})


if __name__ == "__main__":
    main()

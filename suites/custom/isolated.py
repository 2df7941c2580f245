"""Values of a function that runs in a process of its own: an error costs one response, and so does a hang."""

from __future__ import annotations

import json
import math
import os
import selectors
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from suites.custom.scorer import Scored

CHILD = Path(__file__).with_name("child.py")
START_SECONDS = 60.0
"""For the imports of the user's file."""
HANGS = 3
"""After so many responses without a value in time, no further one is scored."""


class ScorerFailed(RuntimeError):
    """A scorer that cannot be loaded."""


@dataclass
class _Process:
    """A running child and what it has written since its last whole line."""

    process: subprocess.Popen[bytes]
    pending: bytes = field(default=b"")

    def ask(self, prompt: str, response: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps([prompt, response]).encode() + b"\n")
        self.process.stdin.flush()

    def reply(self, seconds: float) -> dict[str, Any] | None:
        """The next line; None after `seconds` without one. Raises `EOFError` if the process ended."""
        assert self.process.stdout is not None
        with selectors.DefaultSelector() as selector:
            selector.register(self.process.stdout, selectors.EVENT_READ)
            while b"\n" not in self.pending:
                if not selector.select(seconds):
                    return None
                chunk = os.read(self.process.stdout.fileno(), 1 << 16)
                if not chunk:
                    raise EOFError
                self.pending += chunk
        line, _, self.pending = self.pending.partition(b"\n")
        reply: dict[str, Any] = json.loads(line)
        return reply


def values(
    file: Path | str,
    function: str,
    prompts: Sequence[str],
    responses: Sequence[str],
    seconds: float,
    settings: Mapping[str, Any] | None = None,
) -> list[Scored]:
    """The function's value of every response.

    Parameters
    ----------
    file, function
        A Python file and a function in it, of a response or of a prompt and a response.
    prompts, responses : sequence of str
    seconds : float
        For one response.
    settings : mapping, optional
        Further arguments of the function.

    Raises
    ------
    ScorerFailed
        In one line, if the file cannot be imported or has no such function.
    """
    scored: list[Scored] = []
    hangs = 0
    while len(scored) < len(responses) and hangs < HANGS:
        with _started(file, function, settings or {}) as child:
            for prompt, response in list(zip(prompts, responses, strict=True))[len(scored) :]:
                value = _value(child, prompt, response, seconds)
                scored.append(value if isinstance(value, Scored) else Scored(None, value))
                if isinstance(value, str):
                    hangs += 1
                    break
    left = Scored(None, f"not scored: the scorer gave no value on {HANGS} responses before")
    return scored + [left] * (len(responses) - len(scored))


@contextmanager
def _started(file: Path | str, function: str, settings: Mapping[str, Any]) -> Iterator[_Process]:
    # -P: neither this folder nor the working one is searched for modules, whose bytes no key would hold.
    command = [sys.executable, "-P", str(CHILD), str(file), function, json.dumps(dict(settings))]
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    process = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=environment
    )
    child = _Process(process)
    try:
        yield _ready(child, file)
    finally:
        process.kill()
        process.communicate()


def _ready(child: _Process, file: Path | str) -> _Process:
    try:
        first = child.reply(START_SECONDS)
    except EOFError:
        raise ScorerFailed(f"{file}: its process ended while it was imported") from None
    if first is None:
        raise ScorerFailed(f"{file}: its import took more than {START_SECONDS:g} s")
    if "fatal" in first:
        raise ScorerFailed(f"{file}: {first['fatal']}")
    return child


def _value(child: _Process, prompt: str, response: str, seconds: float) -> Scored | str:
    """The value of one response; a text, why there is none, where the process has to be started again."""
    try:
        child.ask(prompt, response)
        reply = child.reply(seconds)
    except (EOFError, BrokenPipeError):
        return "the scorer's process ended"
    if reply is None:
        return f"no value within {seconds:g} s"
    if "error" in reply:
        return Scored(None, str(reply["error"]))
    value = float(reply["value"])
    return Scored(value) if math.isfinite(value) else Scored(None, f"it returned {value}, which is no finite number")

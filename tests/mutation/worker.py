"""A process that has the heavy libraries imported and runs pytest in a fork of itself, request by request."""

from __future__ import annotations

import contextlib
import importlib
import json
import math
import os
import resource
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path

OPTIONS = [
    "-x", "-q", "--no-header", "-p", "no:cacheprovider", "-p", "no:xdist", "-p", "no:anyio", "--hypothesis-seed=0", "-W", "ignore", "--tb=no",
    "-m", "not slow and not parity",
]  # fmt: skip
WAITING = 20
"""Seconds by the clock for each second of processor time that a run may take: the machine may be busy with other work."""


def serve(preload: Sequence[str]) -> None:
    """Answer each line of standard input with pytest's exit status, or null where it ran past its limit.

    A request has the `files` to collect and the `limit` in seconds of processor time, and either the `tests` to run, in
    this order, or the `sources` whose covered lines are recorded in the file `to`.
    """
    signal.signal(signal.SIGTERM, lambda *_: sys.exit())
    for name in preload:
        with contextlib.suppress(ImportError):
            importlib.import_module(name)
    print(json.dumps({"ready": True}), flush=True)
    for line in sys.stdin:
        print(json.dumps({"status": _forked(json.loads(line))}), flush=True)


def _forked(request: dict) -> int | None:
    child = os.fork()
    if not child:
        os.setsid()
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        silent = os.open(os.devnull, os.O_WRONLY)
        os.dup2(silent, 1)
        os.dup2(silent, 2)
        limit = math.ceil(request["limit"])
        resource.setrlimit(resource.RLIMIT_CPU, (limit, limit + 1))
        os._exit(_pytest(request))
    try:
        return _status(child, WAITING * request["limit"])
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child, signal.SIGKILL)


def _status(child: int, seconds: float) -> int | None:
    """Exit status of a process, negative after a crash; None where it reached its limit."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            code = os.waitstatus_to_exitcode(status)
            return None if code in (-signal.SIGXCPU, -signal.SIGKILL) else code
        time.sleep(0.02)
    os.killpg(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return None


def _pytest(request: dict) -> int:
    import pytest

    from tests.mutation.plugins import Chosen, Recorder

    if "tests" in request:
        plugin = Chosen(request["tests"])
    else:
        plugin = Recorder(Path.cwd(), request["sources"], Path(request["to"]))
    return int(pytest.main([*OPTIONS, *request["files"]], plugins=[plugin]))


if __name__ == "__main__":
    serve(sys.argv[1:])

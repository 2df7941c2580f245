"""A process that has the heavy libraries imported and runs pytest in a fork of itself, request by request."""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import signal
import sys
import time
from collections.abc import Sequence

OPTIONS = [
    "-x", "-q", "--no-header", "-p", "no:cacheprovider", "-p", "no:xdist", "-p", "no:anyio", "--hypothesis-seed=0", "-W", "ignore", "--tb=no",
]  # fmt: skip


def serve(preload: Sequence[str]) -> None:
    """Answer each line of standard input, `{"targets": [...], "limit": seconds}`, with status and seconds."""
    for name in preload:
        with contextlib.suppress(ImportError):
            importlib.import_module(name)
    print(json.dumps({"ready": True}), flush=True)
    for line in sys.stdin:
        request = json.loads(line)
        started = time.monotonic()
        status = _forked(request["targets"], request["limit"])
        print(json.dumps({"status": status, "seconds": time.monotonic() - started}), flush=True)


def _forked(targets: list[str], limit: float) -> int | None:
    """Exit status of pytest; None where it ran past the limit."""
    child = os.fork()
    if not child:
        os.setsid()
        silent = os.open(os.devnull, os.O_WRONLY)
        os.dup2(silent, 1)
        os.dup2(silent, 2)
        os._exit(_pytest(targets))
    end = time.monotonic() + limit
    while time.monotonic() < end:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            # a crash counts as a failed test
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.02)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return None


def _pytest(targets: list[str]) -> int:
    import pytest

    return int(pytest.main([*OPTIONS, *targets]))


if __name__ == "__main__":
    serve(sys.argv[1:])

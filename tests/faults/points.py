"""Numbered points of a run at which it can be killed: whatever it writes, renames, removes or stores.

A control folder holds what the processes of a run share: ``trace``, a line for every point in the order in which they came;
``target``, the number of a point and what happens there; ``main``, the run's process; ``struck``, written when it happened.
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

VARIABLE = "PREFRONTIER_TEST_FAULTS"
"""Environment variable that names the control folder."""
WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC
CHANGES = frozenset(["os.rename", "os.remove", "sqlite3.connect"])
UNSEEN = (".parquet", ".safetensors")
"""Files that libraries write without Python; the store reads them for their hash, which counts in their place."""
KINDS = ("group", "worker", "SIGTERM", "SIGINT")


def install(control: Path) -> None:
    """Number the points of this process and of those that it forks; only paths beside the control folder count."""
    watched, own = f"{control.parent}/", f"{control}/"

    def hook(event: str, arguments: tuple) -> None:
        if event not in CHANGES and event != "open":
            return
        path = os.fsdecode(arguments[0]) if isinstance(arguments[0], str | bytes | os.PathLike) else ""
        if not path.startswith(watched) or path.startswith(own):
            return
        if event == "open" and not (arguments[2] or 0) & WRITES and not ("/partial/" in path and path.endswith(UNSEEN)):
            return
        reached(control, f"{event} {path.removeprefix(watched)}")

    sys.addaudithook(hook)


def reached(control: Path, point: str) -> None:
    """Note a point, and strike where it is the target."""
    number = _append(control / "trace", f"{os.getpid()} {point}\n")
    wanted = (control / "target").read_text().split()
    if wanted[0] == "point" and number == int(wanted[1]):
        strike(control, wanted[2])


def strike(control: Path, kind: str) -> None:
    """Kill the run's process group, kill a worker, or send a signal to the run."""
    main, own = int((control / "main").read_text()), os.getpid()
    (control / "struck").write_text(kind)
    if kind == "group":
        os.killpg(main, signal.SIGKILL)
        if is_worker(control, own):
            os.kill(own, signal.SIGKILL)
    elif kind == "worker":
        victims = [own] if is_worker(control, own) else [w for w in workers(control) if Path(f"/proc/{w}").exists()]
        for victim in victims[-1:]:
            os.kill(victim, signal.SIGKILL)
    else:
        os.kill(main, signal.Signals[kind])


def is_worker(control: Path, process: int) -> bool:
    """Whether a process has come to points, and is not the run's own."""
    return process in workers(control)


def workers(control: Path) -> list[int]:
    """The workers that have come to points, in the order of their first."""
    main = int((control / "main").read_text())
    seen = dict.fromkeys(int(line.split()[0]) for line in trace(control))
    return [process for process in seen if process != main]


def trace(control: Path) -> list[str]:
    """The points so far."""
    return (control / "trace").read_text().splitlines()


def _append(file: Path, line: str) -> int:
    """Append a line in one write; returns its number, from 1."""
    handle = os.open(file, os.O_RDWR | os.O_APPEND | os.O_CREAT)
    try:
        os.write(handle, line.encode())
        end = os.lseek(handle, 0, os.SEEK_CUR)
        return os.pread(handle, end, 0).count(b"\n")
    finally:
        os.close(handle)

"""Ways to start the miniature's run: forked from a process that has imported everything, or as a user does."""

from __future__ import annotations

import multiprocessing
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from multiprocessing.connection import Connection
from pathlib import Path

from tests.faults.points import VARIABLE, install
from tests.paths import ROOT

HOOK = ROOT / "tests" / "faults" / "hook"
SECONDS = 900
WARM = (
    "alpaca_eval", "openai", "transformers.models.llama.modeling_llama", "harness.cli.main", "harness.run.session",
    "harness.run.executors.local", "harness.plan.cells", "reports.build", "reports.page.figures", "reports.page.latex",
    "suites.alpaca.win_rate", "suites.judges.endpoint", "trainers.align",
    *(f"harness.stages.{kind}" for kind in ("pairs", "tokenizer", "base", "reference", "align", "generate", "score_win_rate")),
)  # fmt: skip


@dataclass(frozen=True)
class Ended:
    """How a run ended: its exit code (negative for a signal), None where it did not end, and when."""

    code: int | None
    seconds: float


def environment(control: Path) -> dict[str, str]:
    """For a process of a run whose fault points count."""
    path = os.pathsep.join([str(HOOK), str(ROOT)])
    return os.environ | {VARIABLE: str(control), "PYTHONPATH": path, "HF_HUB_OFFLINE": "1"}


def real(control: Path, arguments: list[str]) -> Ended:
    """The real command in a session of its own."""
    started = time.monotonic()
    command = [sys.executable, "-m", "prefrontier", *arguments]
    with (control / "output").open("ab") as output:
        process = subprocess.Popen(
            command, stdout=output, stderr=output, env=environment(control), start_new_session=True
        )
    (control / "main").write_text(str(process.pid))
    try:
        return Ended(process.wait(SECONDS), time.monotonic() - started)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
        return Ended(None, SECONDS)


class Forked:
    """Runs that a warm process forks; their workers are forked too."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def __call__(self, control: Path, arguments: list[str]) -> Ended:
        self._connection.send((control, arguments))
        ended: Ended = self._connection.recv()
        return ended


@contextmanager
def forking() -> Iterator[Forked]:
    """A warm process; it imports what any run of the miniature imports."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_serve, args=(theirs,))
    process.start()
    theirs.close()
    try:
        ours.recv()
        yield Forked(ours)
    finally:
        ours.close()
        process.join(20)
        process.kill()


def _serve(connection: Connection) -> None:
    _warm()
    connection.send("ready")
    while True:
        try:
            control, arguments = connection.recv()
        except EOFError:
            return
        connection.send(_fork(control, arguments))


def _warm() -> None:
    """Import what the run and its workers import, with one thread."""
    import torch

    torch.set_num_threads(1)
    for name in WARM:
        import_module(name)


def _fork(control: Path, arguments: list[str]) -> Ended:
    started = time.monotonic()
    child = os.fork()
    if child == 0:
        _run(control, arguments)
    while time.monotonic() - started < SECONDS:
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            return Ended(os.waitstatus_to_exitcode(status), time.monotonic() - started)
        time.sleep(0.005)
    os.killpg(child, 9)
    os.waitpid(child, 0)
    return Ended(None, SECONDS)


def _run(control: Path, arguments: list[str]) -> None:
    """The run itself; does not return."""
    from harness.cli.main import main
    from harness.run import worker

    code = 99
    try:
        os.setsid()
        (control / "main").write_text(str(os.getpid()))
        output = os.open(control / "output", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.dup2(output, 1)
        os.dup2(output, 2)
        os.environ |= {VARIABLE: str(control), "HF_HUB_OFFLINE": "1"}
        worker._CONTEXT = multiprocessing.get_context("fork")
        install(control)
        sys.argv = ["prefrontier", *arguments]
        main()
    except SystemExit as ended:
        code = int(ended.code or 0)
    finally:
        os._exit(code)

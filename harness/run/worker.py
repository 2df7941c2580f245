"""Worker processes: each executes one job at a time, tells its steps, and can die without harm to the others."""

from __future__ import annotations

import multiprocessing
import os
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from threading import Thread
from typing import Any

from harness.errors import StageFailed, WorkerDied
from harness.run.job import Job, attempt
from suites.judges.redaction import redact

SECONDS_BETWEEN_REPORTS = 0.5
SECONDS_TO_END = 5.0
_CONTEXT = multiprocessing.get_context("spawn")


@dataclass(frozen=True)
class _Step:
    """How far a job is."""

    progress: Any


class Worker:
    """A spawned process, in a process group of its own with whatever it starts.

    Parameters
    ----------
    logs : Path
        Folder of its output, ``worker-PID.log``.
    """

    def __init__(self, logs: Path) -> None:
        self._connection, theirs = _CONTEXT.Pipe()
        written, output = _CONTEXT.Pipe(duplex=False)
        self._process = _CONTEXT.Process(target=_serve, args=(theirs, output))
        self._process.start()
        # Only the worker holds its ends: its death, even in the middle of a message, ends every read here.
        theirs.close()
        output.close()
        self._log = Thread(target=_keep, args=(written, logs / f"worker-{self.pid}.log"), daemon=True)
        self._log.start()

    @property
    def pid(self) -> int:
        """Number of the process."""
        assert self._process.pid is not None  # it is started
        return self._process.pid

    @property
    def is_alive(self) -> bool:
        """Whether the process can take a job."""
        return self._process.is_alive()

    def execute(self, job: Job, on_step: Callable[[Any], None]) -> float:
        """Execute a job and return its seconds.

        Raises
        ------
        StageFailed
            For an error of the stage.
        WorkerDied
            If the process ended before the job did.
        """
        try:
            self._connection.send(job)
            while isinstance(message := self._connection.recv(), _Step):
                on_step(message.progress)
        except (EOFError, OSError):
            self.kill()
            raise WorkerDied(_cause(self._process.exitcode)) from None
        if isinstance(message, StageFailed):
            raise message
        return float(message)

    def dismiss(self) -> None:
        """Let an idle worker end by itself."""
        self._connection.close()

    def end(self) -> None:
        """Wait a moment for a dismissed worker, then end it and whatever it started."""
        self._process.join(SECONDS_TO_END)
        self.kill()

    def kill(self) -> None:
        """End the worker and whatever it started, at once."""
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)
        self._process.kill()
        self._process.join(SECONDS_TO_END)
        self._log.join(SECONDS_TO_END)


def _keep(written: Connection, log: Path) -> None:
    """Write what a worker prints into its log, line by line as it comes, without keys."""
    with open(written.fileno(), "rb", closefd=False) as lines, log.open("ab") as kept:
        for line in lines:
            kept.write(redact(line.decode(errors="backslashreplace")).encode(errors="backslashreplace"))
            kept.flush()
    written.close()


def _cause(code: int | None) -> str:
    """How a process ended.

    Examples
    --------
    >>> _cause(-9), _cause(3)
    ('the worker process died (killed by SIGKILL, or out of memory)', 'the worker process died (exit code 3)')
    """
    if code == -signal.SIGKILL:
        return "the worker process died (killed by SIGKILL, or out of memory)"
    how = f"exit code {code}" if code is None or code >= 0 else f"killed by {signal.Signals(-code).name}"
    return f"the worker process died ({how})"


def _serve(connection: Connection, output: Connection) -> None:
    """Execute the jobs that come in until the run ends."""
    # Ctrl-C is the run's to handle.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    os.setpgid(0, 0)
    os.environ |= {"OMP_NUM_THREADS": "1", "TQDM_DISABLE": "1", "HF_HUB_DISABLE_PROGRESS_BARS": "1"}
    os.dup2(output.fileno(), 1)
    os.dup2(output.fileno(), 2)
    output.close()
    Thread(target=_end_with_parent, daemon=True).start()
    import torch

    torch.set_num_threads(1)
    with suppress(EOFError, BrokenPipeError):
        while True:
            connection.send(_answer(connection.recv(), connection))


def _answer(job: Job, connection: Connection) -> float | StageFailed:
    """The seconds of a job, or its error."""
    last = 0.0

    def report(progress: Any) -> None:
        nonlocal last
        if time.monotonic() - last > SECONDS_BETWEEN_REPORTS:
            last = time.monotonic()
            connection.send(_Step(progress))

    print(f"--- {job.kind}: {job.label} ({job.key})", flush=True)
    try:
        return attempt(job, report)
    except StageFailed as failed:
        return failed


def _end_with_parent() -> None:
    """End this worker and whatever it started when the run is killed."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os.killpg(0, signal.SIGKILL)

"""Execution of programs written by a model: in a process of their own, with limits on every resource.

The limits contain a careless program: endless loops, memory, output, files, forks, the exit of the
interpreter. They do not contain a malicious one; against that, run the suite in a container.
"""

from __future__ import annotations

import contextlib
import math
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from pathlib import Path

PASSED_EXIT = 99
"""A program that only ends does so with another code, even if it calls ``sys.exit(0)`` before its tests."""
POLL_SECONDS = 0.02
GUARD = Path(__file__).with_name("code_guard.py")


class Verdict(StrEnum):
    """Outcome of a program."""

    PASSED = "passed"
    FAILED = "failed"
    TIMED_OUT = "timed out"


@dataclass(frozen=True)
class Limits:
    """Resources of one program.

    Parameters
    ----------
    seconds : float
        Wall-clock time.
    memory_bytes : int
        Address space.
    file_bytes : int
        Size of any file it writes.
    total_bytes : int
        Size of all files in its folder together, checked every 20 ms.
    files : int
        Number of files and folders in its folder, checked as often.
    """

    seconds: float = 10.0
    memory_bytes: int = 2**30
    file_bytes: int = 2**20
    total_bytes: int = 2**23
    files: int = 1000


def run_program(program: str, limits: Limits = Limits()) -> Verdict:
    """Run Python source to its end; an exception, an early exit, a crash and a limit all mean that it failed.

    The interpreter starts isolated: no site packages, an empty environment, a working directory that is deleted
    afterwards. New processes, changes of files outside of that directory and the network are refused by the system where
    it can (`unenforced` names what it cannot), and the whole process group is killed at the end.

    Examples
    --------
    >>> run_program("assert sorted([2, 1]) == [1, 2]").value
    'passed'
    >>> run_program("import sys; sys.exit(0)").value
    'failed'
    """
    with tempfile.TemporaryDirectory(prefix="prefrontier-program-") as folder:
        file = Path(folder) / "program.py"
        file.write_text(program, encoding="utf-8", errors="surrogatepass")
        command = [sys.executable, "-I", "-S", "-B", str(GUARD), str(file)]
        arguments = [limits.memory_bytes, limits.file_bytes, math.ceil(limits.seconds) + 1, PASSED_EXIT]
        process = subprocess.Popen(
            [*command, *map(str, arguments)],
            cwd=folder,
            env={"HOME": folder, "TMPDIR": folder, "LC_ALL": "C.UTF-8"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        try:
            code = _wait(process, Path(folder), limits)
        except subprocess.TimeoutExpired:
            return Verdict.TIMED_OUT
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        return Verdict.PASSED if code == PASSED_EXIT and _fits(Path(folder), limits) else Verdict.FAILED


def _wait(process: subprocess.Popen[bytes], folder: Path, limits: Limits) -> int | None:
    """The exit code of a program; None for one whose files do not fit its limits."""
    deadline = time.monotonic() + limits.seconds
    while True:
        try:
            return process.wait(POLL_SECONDS)
        except subprocess.TimeoutExpired:
            if time.monotonic() > deadline:
                raise
        if not _fits(folder, limits):
            return None


def _fits(folder: Path, limits: Limits) -> bool:
    """Whether the files of a folder are within the limits; what vanishes meanwhile counts as nothing."""
    size = count = 0
    folders = [folder]
    while folders:
        with contextlib.suppress(OSError), os.scandir(folders.pop()) as entries:
            for entry in entries:
                count += 1
                if entry.is_dir(follow_symlinks=False):
                    folders.append(Path(entry.path))
                with contextlib.suppress(OSError):
                    size += entry.stat(follow_symlinks=False).st_size
                if count > limits.files or size > limits.total_bytes:
                    return False
    return True


@cache
def unenforced() -> tuple[str, ...]:
    """Limits that this system does not enforce, a sentence each: for a warning before programs run."""
    with tempfile.TemporaryDirectory(prefix="prefrontier-program-") as folder:
        command = [sys.executable, "-I", "-S", "-B", str(GUARD), folder]
        said = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    return tuple(said.stdout.split("\n")[:-1]) if said.stdout.strip() else ()


def pass_at_k(n: int, correct: int, k: int) -> float:
    r"""Chance that one of k programs drawn from n, of which some are correct, passes.

    :math:`1 - \binom{n - c}{k} / \binom{n}{k}` (Chen et al., arXiv:2107.03374, equation 1).

    Examples
    --------
    >>> pass_at_k(2, 1, 1), pass_at_k(5, 1, 5)
    (0.5, 1.0)
    """
    if not 0 <= correct <= n or not 1 <= k <= n:
        raise ValueError(f"pass@{k} of {n} programs with {correct} correct ones is not defined")
    return 1.0 - math.comb(n - correct, k) / math.comb(n, k)


@dataclass(frozen=True)
class CodeEval:
    """Replacement of Hugging Face's ``code_eval`` metric, as lm-eval calls it, on `run_program`."""

    limits: Limits = Limits()

    def compute(
        self, references: Sequence[str], predictions: Sequence[Sequence[str]], k: Sequence[int] = (1,)
    ) -> tuple[dict[str, float], dict[int, Counter[Verdict]]]:
        """Mean pass@k over problems, and the verdicts of each problem's programs.

        Parameters
        ----------
        references : sequence of str
            The tests of each problem.
        predictions : sequence of sequence of str
            The programs that answer it.
        k : sequence of int
        """
        verdicts = {
            number: Counter(run_program(f"{program}\n{tests}", self.limits) for program in programs)
            for number, (tests, programs) in enumerate(zip(references, predictions, strict=True))
        }
        figures = {
            f"pass@{size}": math.fsum(pass_at_k(v.total(), v[Verdict.PASSED], size) for v in verdicts.values())
            / len(verdicts)
            for size in k
        }
        return figures, verdicts

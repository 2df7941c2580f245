"""Running programs that a model wrote: in a process of their own, with limits on everything that can run away.

This keeps a careless program from harming the run: endless loops, memory, output, files, forks, the exit of the
interpreter. It is no wall against a malicious one; who fears that runs the suite in a container.
"""

from __future__ import annotations

import contextlib
import math
import os
import signal
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

PASSED_EXIT = 99
"""A program that only ends does so with another code, even if it calls ``sys.exit(0)`` before its tests."""
GUARD = Path(__file__).with_name("code_guard.py")


class Verdict(StrEnum):
    """What became of a program."""

    PASSED = "passed"
    FAILED = "failed"
    TIMED_OUT = "timed out"


@dataclass(frozen=True)
class Limits:
    """What one program may use.

    Parameters
    ----------
    seconds : float
        Wall-clock time.
    memory_bytes : int
        Address space.
    file_bytes : int
        Size of any file it writes.
    """

    seconds: float = 10.0
    memory_bytes: int = 2**30
    file_bytes: int = 2**20


def run_program(program: str, limits: Limits = Limits()) -> Verdict:
    """Run Python source to its end; an exception, an early exit, a crash and a limit all mean that it failed.

    The interpreter starts isolated (no site packages, an empty environment, a working directory that is deleted
    afterwards), without a network where the system allows to leave it, and its whole process group is killed.

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
            code = process.wait(limits.seconds)
        except subprocess.TimeoutExpired:
            return Verdict.TIMED_OUT
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    return Verdict.PASSED if code == PASSED_EXIT else Verdict.FAILED


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
    """What lm-eval expects of Hugging Face's ``code_eval`` metric, on `run_program`."""

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

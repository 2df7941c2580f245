"""Runs of mutants in a copy of the tree, resumable."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from tests.mutation.mutants import Mutant
from tests.mutation.selection import Targets, targets

FACTOR, SLACK = 4.0, 60.0
"""A mutant that takes longer than so many times the unmutated tests, and so many seconds more, is killed by time."""
HEAVY = (
    "numpy", "pandas", "scipy.stats", "scipy.optimize", "matplotlib.figure", "matplotlib.backends.backend_agg", "pytest",
    "hypothesis.core", "hypothesis.strategies", "torch", "transformers", "trl", "accelerate", "jinja2",
    "sklearn.linear_model", "pyarrow.parquet", "moocore",
)  # fmt: skip
"""Libraries that the worker imports once; each run of the tests is a fork of it."""
NO_TESTS = 5
"""pytest's exit status where it collected nothing."""


@dataclass(frozen=True)
class Result:
    """What became of a mutant: killed by a test, by time, or survived. `digest` identifies source and tests."""

    id: str
    outcome: str
    seconds: float
    digest: str


class BaselineError(RuntimeError):
    """The tests fail without any mutation."""


class Runner:
    """A copy of the tree with a worker in it.

    Parameters
    ----------
    root : Path
        The repository.
    copy : Path
        An empty folder for the copy.
    preload : sequence of str
        Libraries that the worker imports once.
    """

    def __init__(self, root: Path, copy: Path, preload: Sequence[str] = HEAVY) -> None:
        self.root, self.copy = root, copy
        self._started, self._writes = int(time.time()), 0
        self._limits: dict[tuple[str, ...], float] = {}
        self._targets: dict[str, Targets] = {}
        listed = subprocess.run(
            ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
            cwd=root, capture_output=True, text=True, check=True,
        ).stdout  # fmt: skip
        for name in filter(None, listed.split("\0")):
            if (root / name).is_file():
                (copy / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(root / name, copy / name)
        environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(copy)}
        self._worker = subprocess.Popen(
            [sys.executable, "-m", "tests.mutation.worker", *preload],
            cwd=copy, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        self._answer()

    def close(self) -> None:
        """End the worker."""
        self._worker.terminate()
        self._worker.wait()

    def digest(self, mutant: Mutant) -> str:
        """Hash of the mutated file and of the tests that it is run against."""
        names = [mutant.path, *self._of(mutant).files]
        hashed = hashlib.sha256()
        for name in sorted(set(names)):
            files = sorted((self.root / name).rglob("*.py")) if (self.root / name).is_dir() else [self.root / name]
            for file in files:
                hashed.update(file.read_bytes())
        return hashed.hexdigest()[:16]

    def run(self, mutant: Mutant) -> Result:
        """Run the tests of a mutant's module, group by group, until one fails."""
        original = (self.root / mutant.path).read_text(encoding="utf-8")
        target, spent, outcome = self.copy / mutant.path, 0.0, "survived"
        try:
            for group in self._of(mutant).groups:
                limit = self._limit(group)
                self._write(target, mutant.apply(original))
                status, seconds = self._ask(group, limit)
                self._write(target, original)
                spent += seconds
                if status is None:
                    outcome = "timeout"
                elif status not in (0, NO_TESTS):
                    outcome = "killed"
                if outcome != "survived":
                    break
        finally:
            self._write(target, original)
        return Result(mutant.id, outcome, spent, self.digest(mutant))

    def _write(self, target: Path, source: str) -> None:
        """Write a file with a modification time of its own, so that no compiled file of another version is used."""
        self._writes += 1
        target.write_text(source, encoding="utf-8")
        os.utime(target, (self._started + self._writes, self._started + self._writes))

    def _of(self, mutant: Mutant) -> Targets:
        if mutant.path not in self._targets:
            self._targets[mutant.path] = targets(mutant.path, self.root)
        return self._targets[mutant.path]

    def _limit(self, group: tuple[str, ...]) -> float:
        """Time limit of a group, from a run without mutation."""
        if group not in self._limits:
            status, seconds = self._ask(group, 1800.0)
            if status not in (0, NO_TESTS):
                raise BaselineError(f"the tests fail without a mutation (status {status}): {' '.join(group)}")
            self._limits[group] = FACTOR * seconds + SLACK
        return self._limits[group]

    def _ask(self, group: tuple[str, ...], limit: float) -> tuple[int | None, float]:
        assert self._worker.stdin is not None
        self._worker.stdin.write(json.dumps({"targets": list(group), "limit": limit}) + "\n")
        self._worker.stdin.flush()
        answer = self._answer()
        return answer["status"], answer["seconds"]

    def _answer(self) -> dict:
        assert self._worker.stdout is not None
        line = self._worker.stdout.readline()
        if not line:
            raise RuntimeError("the worker ended")
        return dict(json.loads(line))


@contextmanager
def runner(root: Path, preload: Sequence[str] = HEAVY) -> Iterator[Runner]:
    """A runner in a temporary copy of the tree."""
    with tempfile.TemporaryDirectory(prefix="mutation-") as folder:
        made = Runner(root, Path(folder), preload)
        try:
            yield made
        finally:
            made.close()


def load(log: Path) -> dict[str, Result]:
    """Results of earlier runs by mutant."""
    if not log.is_file():
        return {}
    lines = log.read_text(encoding="utf-8").splitlines()
    return {result.id: result for line in lines if (result := Result(**json.loads(line)))}


def append(log: Path, result: Result) -> None:
    """Add a result to the log."""
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("a", encoding="utf-8") as file:
        file.write(json.dumps(asdict(result)) + "\n")

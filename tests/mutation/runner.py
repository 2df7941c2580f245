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
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from tqdm import tqdm

from tests.mutation.mutants import Mutant
from tests.mutation.selection import Coverage, rooms, units

FACTOR, SLACK = 4.0, 60.0
"""A mutant is killed by time after so many times the processor time of its tests, and so many seconds more."""
RECORDING = 1800.0
"""Limit of a run that records which lines the tests of one file run, in seconds of processor time."""
HEAVY = (
    "numpy", "pandas", "scipy.stats", "scipy.optimize", "matplotlib.figure", "matplotlib.backends.backend_agg", "pytest",
    "coverage", "hypothesis.core", "hypothesis.strategies", "torch", "transformers", "trl", "accelerate", "jinja2",
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
        self.coverage = Coverage()
        self._started, self._writes = int(time.time()), 0
        listed = subprocess.run(
            ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
            cwd=root, capture_output=True, text=True, check=True,
        ).stdout  # fmt: skip
        for name in filter(None, listed.split("\0")):
            if (root / name).is_file():
                (copy / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(root / name, copy / name)
        environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(copy), "CI": "true"}
        self._worker = subprocess.Popen(
            [sys.executable, "-m", "tests.mutation.worker", *preload],
            cwd=copy, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        self._answer()

    def close(self) -> None:
        """End the worker."""
        self._worker.terminate()
        self._worker.wait()

    def record(self, paths: Sequence[str], cache: Path) -> None:
        """Find out which tests run which lines of some files; kept in a folder by the hash of tests and sources."""
        cache.mkdir(parents=True, exist_ok=True)
        work = [
            (unit, room, self._hash({unit, *room, *self._helpers(folders)}))
            for folders, room in rooms(paths).items()
            for unit in units(self.root, folders, room)
        ]
        for unit, room, digest in tqdm(work, desc="tests of each line", unit="file", dynamic_ncols=True):
            to = cache / f"{digest}.json"
            if not to.is_file():
                made = self.copy / "recorded.json"
                request = {"files": [unit], "sources": room, "to": str(made), "limit": RECORDING}
                status = self._ask(request)
                if status not in (0, NO_TESTS):
                    raise BaselineError(f"the tests fail without a mutation (status {status}): {unit}")
                shutil.move(made, to)
            self.coverage.add(json.loads(to.read_text(encoding="utf-8")))

    def digest(self, mutant: Mutant) -> str:
        """Hash of the mutated file and of the tests that it is run against."""
        source = (self.root / mutant.path).read_text(encoding="utf-8")
        tests = [test for group in self.coverage.groups(mutant, source) for test in group]
        return self._hash({mutant.path, *_files(tests)})

    def run(self, mutant: Mutant) -> Result:
        """Run the tests of a mutated line, and then the rest of their files, until one fails."""
        original = (self.root / mutant.path).read_text(encoding="utf-8")
        target, outcome, started = self.copy / mutant.path, "survived", time.monotonic()
        try:
            for tests in self.coverage.groups(mutant, original):
                limit = FACTOR * sum(self.coverage.seconds[test] for test in tests) + SLACK
                self._write(target, mutant.apply(original))
                status = self._ask({"files": _files(tests), "tests": tests, "limit": limit})
                if status is None:
                    outcome = "timeout"
                elif status not in (0, NO_TESTS):
                    outcome = "killed"
                if outcome != "survived":
                    break
        finally:
            self._write(target, original)
        return Result(mutant.id, outcome, time.monotonic() - started, self.digest(mutant))

    def _helpers(self, folders: Iterable[str]) -> list[str]:
        """Python files beside the tests that hold none themselves."""
        files = (file for folder in folders for file in (self.root / folder).rglob("*.py"))
        return [str(file.relative_to(self.root)) for file in files if not file.name.startswith("test_")]

    def _hash(self, names: Iterable[str]) -> str:
        """Hash of files, and of the Python files in folders."""
        hashed = hashlib.sha256()
        for name in sorted(names):
            here = self.root / name
            for file in sorted(here.glob("*.py")) if here.is_dir() else [here]:
                hashed.update(str(file.relative_to(self.root)).encode() + file.read_bytes())
        return hashed.hexdigest()[:16]

    def _write(self, target: Path, source: str) -> None:
        """Write a file with a modification time of its own, so that no compiled file of another version is used."""
        self._writes += 1
        target.write_text(source, encoding="utf-8")
        os.utime(target, (self._started + self._writes, self._started + self._writes))

    def _ask(self, request: dict) -> int | None:
        assert self._worker.stdin is not None
        self._worker.stdin.write(json.dumps(request) + "\n")
        self._worker.stdin.flush()
        return self._answer()["status"]

    def _answer(self) -> dict:
        assert self._worker.stdout is not None
        line = self._worker.stdout.readline()
        if not line:
            raise RuntimeError("the worker ended")
        return dict(json.loads(line))


def _files(tests: Iterable[str]) -> list[str]:
    """The files of some tests, in the order in which they first appear."""
    return list(dict.fromkeys(test.split("::")[0] for test in tests))


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

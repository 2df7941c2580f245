"""Fuzzing of everything that reads a user's file: ``python -m tests.faults.fuzz [--seed S] [--files N] [--seconds S] OUT``.

Files of every kind (`tests.faults.targets`) are mutated by their bytes, their values or their columns. A file that ends in an
outcome not seen before joins the examples that later mutations start from. Each file is accepted, or refused in one readable
line; everything else is a fault: another exception, a message of several lines, more than ten seconds of processor time. A share
of the files goes through the command itself, ``harness.cli.main.main`` in a fork of this process, where the exit code must be a
documented one and stderr hold one line. Faults are written to OUT with their files; the exit code is 1 if there are any.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import re
import resource
import shutil
import signal
import sys
import tempfile
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.faults.targets import TOY, Seed, Target, one_line, targets

SECONDS = 10
"""Processor time of one file."""
WALL = 120
SHARES = {
    "experiment": 6,
    "pairs": 5,
    "prompts": 4,
    "results": 3,
    "labels": 3,
    "benchmark": 3,
    "records": 2,
    "baseline": 2,
}
MOST_SEEDS = 500
CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f]")


class Hang(BaseException):
    """A file took too long; no `Exception`, so that no reader catches it."""


@dataclass
class Tally:
    """Counts of one kind of file."""

    accepted: int = 0
    refused: int = 0
    commands: int = 0
    faults: int = 0
    outcomes: Counter[str] = field(default_factory=Counter)


@dataclass(frozen=True)
class Fault:
    """A file that is neither accepted nor refused as it should be."""

    kind: str
    what: str
    file: str


class Fuzzer:
    """Mutated files, one after the other; the same seed gives the same files."""

    def __init__(self, seed: int, out: Path, work: Path):
        self.seed, self.out, self.work = seed, out, work
        self.targets: dict[str, Target] = targets(work)
        self.pool: dict[str, list[Seed]] = {kind: list(target.seeds) for kind, target in self.targets.items()}
        self.tallies = {kind: Tally() for kind in self.targets}
        self.faults: list[Fault] = []
        self.targets["experiment"].check(TOY)  # imports count for no file
        self.order = [kind for kind, share in SHARES.items() for _ in range(share)]

    def run(self, files: int, commands: int, seconds: float) -> int:
        """Try so many files, so many of them through the command; the number tried before the time was over."""
        started = time.monotonic()
        every = max(1, files // commands) if commands else 0
        for number in range(files):
            if time.monotonic() - started > seconds:
                return number
            kind = self.order[number % len(self.order)]
            path = self._write(kind, number)
            self._try(kind, path)
            if every and number % every == 0:
                self._command(kind, path)
            path.unlink(missing_ok=True)
        return files

    def _write(self, kind: str, number: int) -> Path:
        rng, pool = random.Random(f"{self.seed}/{number}"), self.pool[kind]
        name, content = self.targets[kind].mutate(rng.choice(pool), rng.choice(pool), rng)
        self.made = name, content
        path = self.work / f"{number}-{name.replace('/', '+')}"
        path.write_bytes(content)
        return path

    def _try(self, kind: str, path: Path) -> None:
        target, tally = self.targets[kind], self.tallies[kind]
        try:
            with limited():
                result = target.check(path)
            outcome = f"accepted {type(result).__name__}"
            tally.accepted += 1
        except Hang:
            return self._fault(kind, path, f"no answer within {SECONDS} s of processor time")
        except Exception as error:
            if not isinstance(error, target.refusals) or isinstance(error, UnicodeError):
                return self._fault(kind, path, "".join(traceback.format_exception(error)))
            try:
                one_line(error)
            except AssertionError as fault:
                return self._fault(kind, path, str(fault))
            outcome = f"{type(error).__name__} {re.sub(r'[0-9]+|/[^ ]*', '', re.sub(r'[^ ]*[^a-zA-Z ][^ ]*', '', str(error)))[:80]}"
            tally.refused += 1
        tally.outcomes[outcome] += 1
        if tally.outcomes[outcome] == 1 and len(self.pool[kind]) < MOST_SEEDS:
            self.pool[kind].append(self.made)

    def _command(self, kind: str, path: Path) -> None:
        target, tally = self.targets[kind], self.tallies[kind]
        tally.commands += 1
        code, out, err = command(target.command(path), self.work)
        if code not in target.exits:
            self._fault(kind, path, f"exit code {code}\n{out[-2000:]}{err[-4000:]}")
        elif "Traceback" in err or (code == 4 and (len(err.splitlines()) != 1 or not err.startswith("prefrontier: "))):
            self._fault(kind, path, f"exit code {code}, and stderr is\n{err[-4000:]}")
        elif odd := CONTROL.search(out + err):
            self._fault(kind, path, f"the control character {odd[0]!r} reaches the terminal")

    def _fault(self, kind: str, path: Path, what: str) -> None:
        self.tallies[kind].faults += 1
        self.faults.append(Fault(kind, what, path.name))
        self.out.mkdir(parents=True, exist_ok=True)
        shutil.copy2(path, self.out / path.name)
        with (self.out / "faults.jsonl").open("a", encoding="utf-8") as file:
            file.write(json.dumps({"kind": kind, "file": path.name, "what": what}) + "\n")


@contextmanager
def limited() -> Iterator[None]:
    """`Hang` after the processor time, or much more of the clock's."""

    def ended(*_: object) -> None:
        raise Hang

    before = signal.signal(signal.SIGPROF, ended), signal.signal(signal.SIGALRM, ended)
    signal.setitimer(signal.ITIMER_PROF, SECONDS)
    signal.alarm(WALL)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.alarm(0)
        signal.signal(signal.SIGPROF, before[0])
        signal.signal(signal.SIGALRM, before[1])


def command(arguments: list[str], folder: Path) -> tuple[int, str, str]:
    """Exit code, stdout and stderr of ``prefrontier`` in a fork of this process; a negative code is a signal's."""
    outputs = folder / "stdout", folder / "stderr"
    sys.stdout.flush()
    child = os.fork()
    if not child:
        _run(arguments, folder, outputs)
    deadline = time.monotonic() + WALL
    ended, status = 0, 0
    while not ended and time.monotonic() < deadline:
        ended, status = os.waitpid(child, os.WNOHANG)
        time.sleep(0.002)
    if not ended:
        os.kill(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
    out, err = (output.read_text(encoding="utf-8", errors="backslashreplace") for output in outputs)
    return os.waitstatus_to_exitcode(status), out, err


def _run(arguments: list[str], folder: Path, outputs: tuple[Path, Path]) -> None:
    """The child's side of `command`: never returns."""
    code = 70
    try:
        for number, output in enumerate(outputs, start=1):
            os.dup2(os.open(output, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), number)
        resource.setrlimit(resource.RLIMIT_CPU, (SECONDS + int(time.process_time()) + 1,) * 2)
        os.chdir(folder)
        sys.stdout, sys.stderr = (os.fdopen(os.dup(number), "w", encoding="utf-8") for number in (1, 2))
        sys.argv = ["prefrontier", *arguments, *(["--store", str(folder / "store")] if arguments[0] == "plan" else [])]
        from harness.cli.main import main

        main()
    except SystemExit as ended:
        code = int(ended.code or 0)
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def summary(fuzzer: Fuzzer) -> str:
    """A table of the counts, as Markdown."""
    rows = [
        "| files | tried | accepted | refused | through the command | outcomes | faults |",
        "|---|---|---|---|---|---|---|",
    ]
    for kind, t in fuzzer.tallies.items():
        tried = t.accepted + t.refused + t.faults
        rows.append(
            f"| {kind} | {tried:,} | {t.accepted:,} | {t.refused:,} | {t.commands:,} | {len(t.outcomes):,} | {t.faults:,} |"
        )
    return "\n".join(rows)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.faults.fuzz", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("out", type=Path, metavar="OUT", help="folder for the files that show a fault")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--files", type=int, default=21_000)
    parser.add_argument("--commands", type=int, default=700, help="how many of the files go through the command")
    parser.add_argument("--seconds", type=float, default=1800.0)
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as work:
        fuzzer = Fuzzer(options.seed, options.out, Path(work))
        tried = fuzzer.run(options.files, options.commands, options.seconds)
    print(summary(fuzzer))
    print(f"seed {options.seed}: {tried:,} files in {time.monotonic() - started:.0f} s, {len(fuzzer.faults)} faults")
    return 1 if fuzzer.faults else 0


if __name__ == "__main__":
    sys.exit(main())

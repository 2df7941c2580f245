"""One place where the miniature is run, killed, run again and checked."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import pandas as pd

from tests.faults import checks, miniature, points
from tests.faults.launch import Ended
from tests.suites.judges.conftest import Server

EXPECTED = {"group": {-9}, "worker": {0}, "SIGTERM": {2}, "SIGINT": {2}}
"""Exit codes of a killed run."""
SECONDS_TO_DIE = 20.0


@dataclass(frozen=True)
class Kill:
    """One kill of a sweep.

    Parameters
    ----------
    executor : {"local", "ray"}
    place : {"point", "question"}
        A numbered point of the run's processes, or a question to the judge before it is answered.
    number : int
    kind : {"group", "worker", "SIGTERM", "SIGINT"}
    """

    executor: str
    place: str
    number: int
    kind: str


@dataclass
class Lane:
    """A folder with the run, its store and its control folder.

    Parameters
    ----------
    folder : Path
    server : Server
        The paid judge.
    launch : callable
        Starts the run and waits for its end.
    options : tuple of str
        More of the command line.
    """

    folder: Path
    server: Server
    launch: Callable[[Path, list[str]], Ended]
    options: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        self.control = self.folder / "control"
        self.control.mkdir(parents=True, exist_ok=True)
        miniature.write_pairs(self.folder / "pairs.jsonl")
        answer = self.server.script

        def script(request: dict, n: int):
            target = (self.control / "target").read_text().split()
            if target[0] == "question" and n + 1 == int(target[1]):
                points.strike(self.control, target[2])
            return answer(request, n)

        self.server.script = script

    def whole(self) -> tuple[dict[str, pd.DataFrame], int, int]:
        """Records, number of points and number of questions of a run that nothing disturbs."""
        self._clear()
        ended = self._run("none 0 none")
        if ended.code != 0:
            raise RuntimeError(f"the miniature does not run:\n{(self.control / 'output').read_text()[-3000:]}")
        return checks.tables(self.folder / "run"), len(points.trace(self.control)), len(self.server.requests)

    def kill(self, kill: Kill, whole: dict[str, pd.DataFrame], questions: int) -> dict:
        """Kill a fresh run, run it to its end, and say what became of it."""
        self._clear()
        ended = self._run(f"{kill.place} {kill.number} {kill.kind}")
        store = self.folder / "store"
        struck = (self.control / "struck").exists()
        seconds_to_end = time.time() - (self.control / "struck").stat().st_mtime if struck else None
        alive = self._survivors()
        before, stored, asked = checks.finished(store), checks.answers(store), len(self.server.requests)
        partial = self._has_partial_report() if kill.kind.startswith("SIG") else True
        again = ended if ended.code == 0 else self._run("none 0 none")
        after = checks.finished(store)
        redone = sum(after.get(key) != written for key, written in before.items())
        # After the kill, exactly the questions without a stored answer are asked; a killed worker has one under way.
        extra = len(self.server.requests) - asked - (questions - stored) if again is not ended else 0
        if again is ended:
            extra = max(len(self.server.requests) - questions - 1, 0)
        lost, differing = checks.compare(checks.tables(self.folder / "run"), whole) if again.code == 0 else (1, 1)
        found = checks.Found(lost, redone, max(extra, 0), differing)
        right = not struck or ended.code in EXPECTED[kill.kind]
        return asdict(kill) | asdict(found) | {
            "struck": struck,
            "code": ended.code,
            "code_after": again.code,
            "seconds": ended.seconds,
            "seconds_to_end": seconds_to_end,
            "survivors": len(alive),
            "partial_report": partial,
            "questions_lost": max(len(self.server.requests) - questions, 0),
            "wrong": found.wrong or not right or again.code != 0 or bool(alive) or not partial,
        }  # fmt: skip

    def _clear(self) -> None:
        for folder in ("run", "store"):
            shutil.rmtree(self.folder / folder, ignore_errors=True)
        for file in ("trace", "struck", "output"):
            (self.control / file).unlink(missing_ok=True)
        self.server.requests.clear()

    def _run(self, target: str) -> Ended:
        (self.control / "target").write_text(target)
        (self.control / "trace").touch()
        arguments = miniature.arguments(self.folder / "pairs.jsonl", self.server, self.folder, *self.options)
        return self.launch(self.control, arguments)

    def _survivors(self) -> list[int]:
        """Workers that live on after their run."""
        deadline = time.monotonic() + SECONDS_TO_DIE
        while alive := [w for w in points.workers(self.control) if Path(f"/proc/{w}").exists()]:
            if time.monotonic() > deadline:
                break
            time.sleep(0.01)
        return alive

    def _has_partial_report(self) -> bool:
        """Whether an interrupted run that measured a cell wrote a report, if it came so far as to write records."""
        run = self.folder / "run"
        if not (run / "manifest.json").exists():
            return not (run / "records").exists()
        measured = bool((checks.tables(run)["cells"].status == "ok").any())
        interrupted = json.loads((run / "manifest.json").read_text())["interrupted"]
        return (not measured or (run / "report" / "index.html").exists()) and (measured or interrupted)

"""Progress of a run: a live view on a terminal, one line per stage elsewhere, and always a log file."""

from __future__ import annotations

import json
import time
from collections.abc import Set
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn

from harness.errors import one_line
from harness.plan.estimate import seconds as estimate
from harness.plan.stage import Stage
from harness.terminal import say


class _Remaining:
    """Time left, from the estimated cost of what is left and the pace so far; what the store has costs nothing."""

    def __init__(self, stages: list[Stage], held: Set[str]):
        self.held = held
        self.total = sum(estimate(stage) for stage in stages if stage.key not in held)
        self.done = 0.0
        self.started = time.monotonic()

    def finished(self, stage: Stage) -> None:
        self.done += estimate(stage) if stage.key not in self.held else 0.0

    def __str__(self) -> str:
        """Empty until enough is done to know the pace."""
        if self.done < 0.02 * self.total or not self.done:
            return ""
        left = (time.monotonic() - self.started) * (self.total - self.done) / self.done
        return f"{timedelta(seconds=round(left))} left"


class LiveView:
    """Bars on a terminal: the whole plan, and each running stage with its steps, loss and speed."""

    def __init__(self, stages: list[Stage], console: Console, held: Set[str] = frozenset()):
        self.remaining = _Remaining(stages, held)
        self.bars = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=24),
            TextColumn("{task.completed:.0f}/{task.total:.0f}"),
            TimeElapsedColumn(),
            TextColumn("[dim]{task.fields[note]}"),
            console=console,
        )
        self.overall = self.bars.add_task("stages", total=len(stages), note="")
        self.tasks: dict[str, TaskID] = {}

    def __enter__(self) -> LiveView:
        self.bars.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.bars.stop()

    def started(self, stage: Stage) -> None:
        self.tasks[stage.key] = self.bars.add_task(one_line(f"  {stage.kind} · {stage.label}"), total=1, note="")

    def step(self, key: str, progress: Any) -> None:
        if key in self.tasks:
            note = (
                f"loss {progress.loss:.4f} · {progress.examples_per_second:,.0f}/s · {progress.seconds_left:.0f} s left"
            )
            self.bars.update(self.tasks[key], total=progress.total_steps, completed=progress.step, note=note)

    def finished(self, stage: Stage, seconds: float | None) -> None:
        self._end(stage)

    def failed(self, stage: Stage, error: str) -> None:
        say(self.bars.console, f"failed: {stage.kind} · {stage.label}: {error}")
        self._end(stage)

    def restarted(self, stage: Stage, error: str) -> None:
        say(self.bars.console, f"started again: {stage.kind} · {stage.label}: {error}")
        self.bars.remove_task(self.tasks.pop(stage.key))

    def _end(self, stage: Stage) -> None:
        self.bars.remove_task(self.tasks.pop(stage.key))
        self.remaining.finished(stage)
        self.bars.update(self.overall, advance=1, note=str(self.remaining))


class PlainView:
    """One line per finished stage, for logs and pipes."""

    def __init__(self, stages: list[Stage], console: Console, held: Set[str] = frozenset()):
        self.console, self.total, self.count = console, len(stages), 0
        self.remaining = _Remaining(stages, held)

    def __enter__(self) -> PlainView:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def started(self, stage: Stage) -> None:
        pass

    def step(self, key: str, progress: Any) -> None:
        pass

    def finished(self, stage: Stage, seconds: float | None) -> None:
        self._line(stage, "in the store" if seconds is None else f"{seconds:.1f} s")

    def failed(self, stage: Stage, error: str) -> None:
        self._line(stage, f"FAILED {error}")

    def restarted(self, stage: Stage, error: str) -> None:
        text = f"started again: {stage.kind} · {stage.label}: {error}"
        say(self.console, text)

    def _line(self, stage: Stage, note: str) -> None:
        self.count += 1
        self.remaining.finished(stage)
        words = [stage.kind, stage.label, note, str(self.remaining)]
        text = f"[{self.count:>{len(str(self.total))}}/{self.total}] {' · '.join(word for word in words if word)}"
        say(self.console, text)


class LogFile:
    """Every event as one JSON line in ``log.jsonl``, appended."""

    def __init__(self, path: Path):
        self.path = path

    def started(self, stage: Stage) -> None:
        self._write("started", stage)

    def finished(self, stage: Stage, seconds: float | None) -> None:
        if seconds is None:
            self._write("reused", stage)
        else:
            self._write("finished", stage, seconds=round(seconds, 3))

    def failed(self, stage: Stage, error: str) -> None:
        self._write("failed", stage, error=error)

    def restarted(self, stage: Stage, error: str) -> None:
        self._write("restarted", stage, error=error)

    def _write(self, event: str, stage: Stage, **more: str | float) -> None:
        row: dict[str, str | float] = {"time": datetime.now(UTC).isoformat(timespec="milliseconds"), "event": event}
        row |= {"kind": stage.kind, "label": stage.label, "key": stage.key, **more}
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")

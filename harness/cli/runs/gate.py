"""The verb ``gate``: comparison of a run with a baseline, its verdict, and the history of nights."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

from harness.cli.answer import Answer
from harness.errors import Exit, UsageError, nearest, one_line
from reports.nightly import gate_files, history
from reports.nightly.baseline import current
from reports.nightly.gate import Gate, Thresholds, Verdict, gate
from reports.run_folder import Refused

EXITS = {
    Verdict.OK: Exit.OK,
    Verdict.WARNING: Exit.OK,
    Verdict.REGRESSION: Exit.REGRESSION,
    Verdict.INCOMPLETE: Exit.FAILED,
    Verdict.NOTHING: Exit.NOTHING,
}


def judge(
    run_dir: Path, baseline: Path, history_dir: Path | None, warn: float, fail: float, nights: list[str]
) -> Answer:
    """Compare, write `RUN_DIR/gate/`, append to the history, print the summary."""
    nights_dir = history_dir or baseline / "history"
    try:
        thresholds = Thresholds(warn, fail, _nights(nights))
    except ValueError as error:
        raise UsageError(str(error)) from error
    try:
        result = gate(run_dir, current(baseline), thresholds)
    except Refused as error:
        raise UsageError(str(error)) from error
    _refuse_unknown(thresholds.nights, result)
    tonight = history.rows(result, datetime.now(UTC))
    result = history.with_history(result, history.read(nights_dir), tonight)
    print(*map(one_line, gate_files.write(result, run_dir / "gate").splitlines()), sep="\n")
    history.append(nights_dir, tonight)
    facts = {
        "verdict": result.verdict.value,
        "measured": result.measured,
        "planned": len(result.planned),
        "unmeasured": result.unmeasured,
        "differences": gate_files.frame(result).to_dict("records"),
        "command": result.command,
        "folder": run_dir / "gate",
    }
    return Answer(EXITS[result.verdict], facts)


def _refuse_unknown(nights: Mapping[str, int], result: Gate) -> None:
    compared = {row.objective for row in result.differences}
    for objective in nights:
        if objective and compared and objective not in compared:
            raise UsageError(f"--nights: no objective {objective!r}{nearest(objective, compared)}")


def _nights(options: list[str]) -> dict[str, int]:
    """`3` for every objective, `win_rate=3` for one."""
    counts = {}
    for option in options:
        objective, _, count = option.rpartition("=")
        if not count.isdigit() or int(count) < 1:
            raise UsageError(f"--nights {option}: write it as 3 or as objective=3")
        counts[objective] = int(count)
    return counts

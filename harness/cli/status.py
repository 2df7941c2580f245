"""The verb ``status``: how far a run is, by the stages that it noted when it began."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from harness.run.earlier import MANIFEST
from harness.run.scheduler import load_failures
from harness.store.store import Store
from harness.terminal import plain, say

REPORT = Path("report") / "index.html"


def show_status(stages: Mapping[str, str], store: Store, out: Path) -> dict[str, Any]:
    """Done, failed and pending stages by kind, and the failures in words.

    Parameters
    ----------
    stages : mapping of str to str
        Keys by kind and label, as `harness.run.earlier.stage_names` writes them.
    store : Store
    out : Path
        Folder of the run.
    """
    kinds: dict[str, list[str]] = defaultdict(list)
    for name, key in stages.items():
        kinds[name.partition(" · ")[0]].append(key)
    done = {key for key in stages.values() if store.has(key)}
    failures = {key: failure for key, failure in load_failures(out).items() if key not in done}
    console = Console()
    table = Table("stage", "done", "failed", "pending", box=None, pad_edge=False)
    counts = {}
    for kind, keys in kinds.items():
        made, failed = sum(key in done for key in keys), sum(key in failures for key in keys)
        counts[kind] = {"done": made, "failed": failed, "pending": len(keys) - made - failed}
        table.add_row(plain(kind), *map(str, counts[kind].values()))
    console.print(table)
    wanted = set(stages.values())
    current = [failure for failure in failures.values() if failure.key in wanted]
    for failure in current:
        say(console, f"failed: {failure.kind} · {failure.label}: {failure.error}")
    report = out / REPORT
    say(console, f"report: {report}" if report.exists() else "no report yet")
    return {"stages": counts, "failures": current, "out": out, "report": report if report.exists() else None}


def run_facts(out: Path) -> dict[str, Any]:
    """What a run left in its folder: the report, and what was measured and what failed."""
    try:
        manifest = json.loads((out / MANIFEST).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        manifest = {}
    report = out / REPORT
    facts = {name: manifest.get(name) for name in ("expected_cells", "seconds", "interrupted", "failures")}
    return {"out": out, "report": report if report.exists() else None, **facts}

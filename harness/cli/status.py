"""The verb ``status``: how far a run is, by the stages that it noted when it began."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path

from rich.console import Console
from rich.table import Table

from harness.run.scheduler import load_failures
from harness.store.store import Store
from harness.terminal import plain, say


def show_status(stages: Mapping[str, str], store: Store, out: Path) -> None:
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
    for kind, keys in kinds.items():
        made, failed = sum(key in done for key in keys), sum(key in failures for key in keys)
        table.add_row(plain(kind), str(made), str(failed), str(len(keys) - made - failed))
    console.print(table)
    wanted = set(stages.values())
    for failure in failures.values():
        if failure.key in wanted:
            say(console, f"failed: {failure.kind} · {failure.label}: {failure.error}")
    report = out / "report" / "index.html"
    say(console, f"report: {report}" if report.exists() else "no report yet")

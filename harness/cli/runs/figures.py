"""The verb ``figures``: figures and tables of a finished run for a paper."""

from __future__ import annotations

from pathlib import Path

from harness.cli.answer import Answer
from harness.errors import UsageError
from harness.records import SchemaError
from reports.publication import settle


def make_figures(run_dir: Path, style: str, column: str, out: Path) -> Answer:
    """Draw from the stored records of a run."""
    settle(run_dir)
    if not (run_dir / "records").is_dir():
        raise UsageError(
            f"{run_dir}: no records here; run the experiment first, or give the --out folder of a finished run"
        )
    from reports.page.paper import figures_for_paper

    try:
        paths = figures_for_paper(run_dir, out, style=style, column=column)
    except (SchemaError, FileNotFoundError) as error:
        raise UsageError(str(error)) from None
    for path in paths:
        print(path)
    return Answer(facts={"files": paths})

"""The verb ``figures``: figures and tables of a finished run for a paper."""

from __future__ import annotations

from pathlib import Path

from harness.errors import Exit, UsageError
from harness.records import SchemaError
from reports.publication import settle


def make_figures(experiment: str, style: str, column: str, out: Path) -> Exit:
    """Draw from the stored records of a run folder, or of `runs/EXPERIMENT`."""
    folders = (Path(experiment), Path("runs") / experiment)
    for path in folders:
        settle(path)
    folder = next((path for path in folders if (path / "records").is_dir()), None)
    if folder is None:
        raise UsageError(
            f"{experiment}: no records here or in runs/{experiment}; run the experiment first, or give its --out folder"
        )
    from reports.page.paper import figures_for_paper

    try:
        paths = figures_for_paper(folder, out, style=style, column=column)
    except SchemaError as error:
        raise UsageError(str(error)) from None
    for path in paths:
        print(path)
    return Exit.OK

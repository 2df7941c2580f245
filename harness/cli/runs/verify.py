"""The verb ``verify``: agreement of a run with stored figures of the same experiment."""

from __future__ import annotations

from pathlib import Path

from harness.cli.answer import Answer
from harness.errors import Exit, UsageError, one_line
from harness.records import Records, SchemaError
from reports.nightly.verification import Verification, figures, read_figures, verify, write_figures
from reports.publication import settle
from reports.run_folder import Refused

STORED = Path("docs") / "figures"
"""Folder of the stored figures in a checkout of the project, one CSV file for each experiment."""
SHOWN = 10


def verify_run(run_dir: Path, stored: Path | None, write: bool) -> Answer:
    """Compare a run with the stored figures of its experiment; or store them."""
    settle(run_dir)
    if not (run_dir / "records").is_dir():
        raise UsageError(f"{run_dir}: no records here; run the experiment first")
    path = stored or STORED / f"{run_dir.name}.csv"
    try:
        records = Records.read(run_dir / "records")
        if write:
            write_figures(records, path)
            print(path)
            return Answer(facts={"stored": path})
        result = verify(figures(records), read_figures(path))
    except (Refused, SchemaError, FileNotFoundError) as error:
        raise UsageError(str(error)) from None
    if not result.differences:
        raise UsageError(f"{path}: has no setting of {run_dir}")
    for line in lines(result):
        print(one_line(line))
    code = Exit.REGRESSION if result.apart or result.missing else Exit.OK
    return Answer(code, {**vars(result), "apart": result.apart})


def lines(result: Verification) -> list[str]:
    """What the command prints."""
    judged = [each for each in result.differences if each.agrees is not None]
    said = [
        f"{len(judged) - len(result.apart)} of {len(judged)} figures agree within their intervals (95 % for all together)",
        f"{result.identical} of {result.cells} cells have the stored figures to the last digit; that is promised on the machine "
        "that stored them only",
    ]
    if len(judged) < len(result.differences):
        said.append(f"{len(result.differences) - len(judged)} figures have fewer than two seeds on a side: no verdict")
    said += [f"not in the run: {name}" for name in result.missing]
    said += [f"not stored: {name}" for name in result.added]
    for each in result.apart[:SHOWN]:
        said.append(
            f"apart: {each.setting}, {each.size}, {each.figure}: {each.run:.4g} here, {each.stored:.4g} stored, "
            f"difference {each.run - each.stored:.3g} [{each.low:.3g}, {each.high:.3g}]"
        )
    if len(result.apart) > SHOWN:
        said.append(f"and {len(result.apart) - SHOWN} more")
    return said

"""The verb ``report``: a run's report from its stored records, with labels of people where there are any."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from harness.cli.answer import Answer
from harness.errors import UsageError, nearest
from harness.inputs.results import read_results
from harness.records import Records, SchemaError
from reports.build import build
from reports.labels import COLUMNS, joined, write_labels
from reports.publication import settle

LABEL = COLUMNS[-1]


def write_report(run_dir: Path, labels: Path | None) -> Answer:
    """Write the report; labels are kept in the run's folder for later reports."""
    settle(run_dir)
    if not any((run_dir / name).is_dir() for name in ("records", "worlds")):
        raise UsageError(f"{run_dir}: no records here; give the --out folder of a finished run")
    facts: dict[str, int] = {}
    try:
        if labels is not None:
            facts = _keep(labels, run_dir)
        page = build(run_dir)
    except (SchemaError, FileNotFoundError) as error:
        raise UsageError(str(error)) from None
    print(page)
    return Answer(facts={"report": page, **facts})


def _keep(file: Path, run_dir: Path) -> dict[str, int]:
    """Store the labels of a file in the run's folder and say how many of the run's outputs have one."""
    labels = read_label_file(file)
    found = joined(labels, Records.read(run_dir / "records"))
    if found.empty:
        raise UsageError(
            f"{file}: none of its {len(labels)} labels is of an output of {run_dir}; prompts and outputs are compared as texts"
        )
    write_labels(labels, run_dir)
    print(f"labels: {len(labels)} rows; {len(found)} outputs of this run have one")
    return {"labels": len(labels), "labelled_outputs": len(found)}


def read_label_file(file: Path) -> pd.DataFrame:
    """Prompts, responses and labels from 0 to 1, from any form of results that has responses and one number a row.

    The number is the column ``label``, or the only one; in AlpacaEval's annotations it is the preference.

    Raises
    ------
    UsageError
        Naming the file, and the row or the column.
    """
    _, results = read_results(file)
    results = [result for result in results if result.prompt is not None and result.response is not None]
    names = list(dict.fromkeys(name for result in results for name in result.scores))
    name = LABEL if LABEL in names else names[0] if len(names) == 1 else None
    if name is None:
        raise UsageError(f"{file}: no column {LABEL!r} beside prompt and output{nearest(LABEL, names)}")
    rows = [(result.prompt, result.response, result.scores.get(name), result.where) for result in results]
    for _, _, label, where in rows:
        if label is not None and not 0.0 <= label <= 1.0:
            raise UsageError(f"{where}: {name} {label:g} is not from 0 (the reference is better) to 1 (the output is)")
    return pd.DataFrame([row[:3] for row in rows if row[2] is not None], columns=list(COLUMNS))

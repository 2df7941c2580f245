"""Labels of people that a run's folder holds: for some outputs, whether people prefer them to the reference response."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from harness.records import Records, SchemaError
from trainers.files import replacing

FILE = "labels.csv"
COLUMNS = ("prompt", "response", "label")
"""`label` is 1 for an output that is preferred to the reference, 0 for one that is not, 0.5 for a draw, or a share of people."""


def write_labels(labels: pd.DataFrame, run_dir: Path) -> None:
    """Store labels, with the columns `COLUMNS`, in a run's folder, where every later report finds them."""
    with replacing(run_dir / FILE) as temporary:
        labels[list(COLUMNS)].to_csv(temporary, index=False)


def read_labels(run_dir: Path) -> pd.DataFrame | None:
    """The labels in a run's folder; None where it has none.

    Raises
    ------
    SchemaError
        Naming the file and what is wrong with it.
    """
    path = run_dir / FILE
    if not path.is_file():
        return None
    try:
        labels = pd.read_csv(
            path, dtype={"prompt": str, "response": str}, keep_default_na=False, na_values={"label": [""]}
        )
    except (ValueError, OSError) as error:
        raise SchemaError(f"{path}: {' '.join(str(error).split())}") from None
    if lacking := [name for name in COLUMNS if name not in labels]:
        raise SchemaError(f"{path}: column {lacking[0]!r} is missing; the columns are {', '.join(COLUMNS)}")
    if not labels.label.between(0.0, 1.0).all():
        raise SchemaError(
            f"{path}: row {int((~labels.label.between(0.0, 1.0)).argmax()) + 2}: the label is not from 0 to 1"
        )
    return labels


def joined(labels: pd.DataFrame, records: Records) -> pd.DataFrame:
    """The outputs of a run that have labels: their mean over people, by cell and item.

    Prompts and responses are compared as texts without white space at their ends.
    """
    known = labels.assign(**{name: labels[name].str.strip() for name in COLUMNS[:2]})
    means = known.groupby(list(COLUMNS[:2]), as_index=False).label.mean()
    outputs = records.generations[["cell", "item", "prompt", "response"]]
    outputs = outputs.assign(**{name: outputs[name].str.strip() for name in COLUMNS[:2]})
    return outputs.merge(means, on=list(COLUMNS[:2]))[["cell", "item", "label"]]

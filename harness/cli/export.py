"""The verb ``export``: results of a finished run as files in the forms of others."""

from __future__ import annotations

import json
import time
from enum import StrEnum
from pathlib import Path

from harness.errors import UsageError
from harness.records import Records
from reports.analysis import analyse
from reports.export.eval_results import eval_results
from reports.export.every_eval_ever import documents
from reports.manifest import read_manifest


class Target(StrEnum):
    """A form of results."""

    EVERY_EVAL_EVER = "every-eval-ever"
    EVAL_RESULTS = "eval-results"


def write_export(run_dir: Path, target: Target, organization: str, dataset: str | None, out: Path) -> list[Path]:
    """Write the files below `out` and return their paths.

    Raises
    ------
    UsageError
        For a run without records, or a form that needs a data set and is given none.
    """
    if not (run_dir / "records").is_dir():
        raise UsageError(f"{run_dir}: no records here; give the --out folder of a finished run in one world")
    if target is Target.EVAL_RESULTS and (dataset is None or dataset.count("/") != 1):
        raise UsageError("--dataset: the hub's .eval_results name the data set that was evaluated on, as OWNER/NAME")
    analysis, manifest = analyse(Records.read(run_dir / "records")), read_manifest(run_dir)
    written = int(time.time())
    if target is Target.EVAL_RESULTS and dataset is not None:
        try:
            texts = eval_results(analysis, manifest, organization, written, dataset)
        except ImportError:
            raise UsageError("--to eval-results: the installed huggingface_hub is too old; update it") from None
    else:
        made = documents(analysis, manifest, organization, written)
        texts = {path: json.dumps(document, indent=1, allow_nan=False) + "\n" for path, document in made.items()}
    for path, text in texts.items():
        (out / path).parent.mkdir(parents=True, exist_ok=True)
        (out / path).write_text(text, encoding="utf-8")
    return [out / path for path in texts]

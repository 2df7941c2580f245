"""Data sets of an experiment as the trainers read them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from trainers.data.records import DataSet


def data_set(how: Mapping[str, Any], file: Path | None) -> DataSet:
    """A data set as the parameters of a stage name it, from its file or from the hub.

    Examples
    --------
    >>> data_set({"split": "test", "hub": "OWNER/NAME", "columns": {"prompt": "question"}}, None)[:4]
    ('OWNER/NAME', 'test', None, {'prompt': 'question'})
    """
    settings = {name: how[name] for name in ("form", "columns", "subset", "revision") if name in how}
    return DataSet(file if file is not None else how["hub"], how["split"], **settings)

"""Conditions of policies: text that ends every prompt of a policy, such as the tags of CSFT."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

_FILE = "condition.json"


def write_condition(out: Path, condition: str) -> None:
    """Write the artifact that `condition_of` reads."""
    (out / _FILE).write_text(json.dumps({"condition": condition}))


def condition_of(inputs: Mapping[str, Path]) -> str:
    """The condition of a stage's policy; empty where the policy has none.

    Examples
    --------
    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> write_condition(folder, "<good>")
    >>> condition_of({"condition": folder}), condition_of({})
    ('<good>', '')
    """
    if "condition" not in inputs:
        return ""
    condition: str = json.loads((inputs["condition"] / _FILE).read_text())["condition"]
    return condition

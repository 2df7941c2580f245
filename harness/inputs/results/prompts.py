"""Prompts of files of results: each once, in the order of the files."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from typing import Any

from harness.inputs.prompt_sets import normal
from harness.inputs.results.result import Result


def prompts_of(files: Iterable[Sequence[Result]]) -> list[dict[str, Any]]:
    """Rows of ``prompts.jsonl``: every prompt once, with the names that files give it and the first reference.

    Examples
    --------
    >>> first, again = Result("a:1", prompt="Why?", id="7"), Result("b:1", prompt="Why? ", reference="So.")
    >>> [(row["prompt"], row["names"], row["reference"]) for row in prompts_of([[first], [again]])]
    [('Why?', ['7'], 'So.')]
    """
    rows: dict[str, dict[str, Any]] = {}
    for results in files:
        for result in results:
            if result.prompt is None:
                continue
            key = normal(result.prompt)
            identifier = hashlib.sha256(key.encode()).hexdigest()[:16]
            row = rows.setdefault(key, {"id": identifier, "prompt": result.prompt, "reference": None, "names": []})
            if result.reference is not None and row["reference"] is None:
                row["reference"] = result.reference
            if result.id is not None and result.id not in row["names"]:
                row["names"].append(result.id)
    return list(rows.values())


def digest(rows: Sequence[dict[str, Any]]) -> str:
    """Hash of the rows."""
    return hashlib.sha256(json.dumps(rows, sort_keys=True).encode()).hexdigest()

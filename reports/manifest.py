"""A run's manifest: free-form provenance, of which reports and gates read a few typed entries."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from harness.records import SchemaError


class _Quoted(BaseModel):
    """Published figures."""

    model_config = ConfigDict(strict=True)

    source: str
    note: str | None = None
    values: dict[str, dict[str, dict[str, float]]]


class _Format(BaseModel):
    """How the base of one size sees prompts."""

    model_config = ConfigDict(strict=True)

    format: str


class _Source(BaseModel):
    """A data set that the run used."""

    model_config = ConfigDict(strict=True)

    words: str


class _Entries(BaseModel):
    """The entries that are read; others may hold anything."""

    model_config = ConfigDict(strict=True)

    experiment: str | dict[str, str] | None = None
    title: str | None = None
    description: str | None = None
    caveat: str | None = None
    published: _Quoted | None = None
    libraries: dict[str, str] = {}
    prompt_formats: dict[str, _Format] | None = None
    data_sources: list[_Source] | None = None
    weights: dict[str, str] = {}
    expected_cells: int | None = None
    commit: str | None = None


def read_manifest(run_dir: Path) -> dict[str, Any]:
    """The manifest of a run folder; empty where there is none.

    Raises
    ------
    SchemaError
        In one line: for a file that is no JSON object, or an entry of another type than reports read.
    """
    path = Path(run_dir) / "manifest.json"
    if not path.is_file():
        return {}
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, OSError, RecursionError) as error:
        raise SchemaError(f"{path} is not JSON: {error}") from None
    if not isinstance(manifest, dict):
        raise SchemaError(f"{path} holds a {type(manifest).__name__}, not an object")
    try:
        _Entries.model_validate(manifest)
    except ValidationError as error:
        fault = error.errors()[0]
        raise SchemaError(f"{path}: {'.'.join(map(str, fault['loc']))}: {fault['msg']}") from None
    return manifest

"""The verb ``frontier``: an experiment over files of results and checkpoints, with no file written by hand."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from harness.cli.declared import declared_objective, reference_point
from harness.errors import UsageError
from harness.inputs.prompt_sets import SUFFIXES
from harness.inputs.results import read_results
from harness.inputs.results.files import CSV
from harness.inputs.results.result import Scale
from suites.registry import objectives

EXPERIMENT = "frontier.yaml"
KEYS = {"outputs": "generations", "scores": "scores"}
"""Keys of entries by the form of the file; any other form is a log."""
AXES = {"readability": 0.0, "length": 1000.0}
"""Axes of the suite `style`, and their reference points."""
HEADER = "# Written by `prefrontier frontier`; `prefrontier run` with this file makes the same report.\n"


def write_experiment(
    files: Sequence[str], out: Path, prompts: str | None, declared: Sequence[str], suites: Sequence[str] | None
) -> Path:
    """Write the experiment of the verb into the output folder and return its path.

    Parameters
    ----------
    files : sequence of str
        Files of results and checkpoint folders; each is an entry, named after it.
    out : Path
    prompts : str, optional
        The set of evaluation prompts; those of the files if not given.
    declared : sequence of str
        ``NAME={...}`` in YAML, as under ``objectives`` of an experiment.
    suites : sequence of str, optional

    Raises
    ------
    UsageError
        For a file that does not exist, two files of one name, or an objective that is not YAML.
    """
    chosen = list(suites) if suites is not None else ["style"]
    entries, scales = _entries(files)
    own = _own(scales) | dict(map(declared_objective, declared))
    measured = [name for name in objectives() if name in scales or (name in AXES and "style" in chosen)]
    experiment: dict[str, Any] = {
        "schema": 1,
        "name": "frontier",
        "title": "Models side by side",
        "description": "Responses and scores of models that were run elsewhere, measured alike. Nothing was trained.",
        "data": {"source": "prompts", **({"prompts": {"set": prompts}} if prompts else {})},
        "suites": chosen,
        "objectives": own,
        "reference_point": {**{name: _worst(name) for name in measured}, **reference_point(own)},
        "methods": entries,
    }
    out.mkdir(parents=True, exist_ok=True)
    path = out / EXPERIMENT
    path.write_text(HEADER + yaml.safe_dump(experiment, sort_keys=False, allow_unicode=True), encoding="utf-8")
    return path


def _worst(name: str) -> float:
    """The bad end of a shipped objective; of the length, which has none, many words."""
    return AXES.get(name, objectives()[name].worst)


def _entries(files: Sequence[str]) -> tuple[dict[str, dict[str, str]], dict[str, Scale]]:
    """The entries, and the scales of the scores whose meaning the files state."""
    entries: dict[str, dict[str, str]] = {}
    scales: dict[str, Scale] = {}
    for file in files:
        path = Path(file)
        if not path.exists():
            raise UsageError(f"{file}: no such file")
        name = _stem(path)
        if name in entries:
            raise UsageError(
                f"{file}: another file has the same name; rename one of them, so that the report can tell them"
            )
        if any((path / file).is_file() for file in ("config.json", "adapter_config.json")):
            entries[name] = {"checkpoint": str(path)}
            continue
        form, results = read_results(path)
        entries[name] = {KEYS.get(form.name, "log"): str(path)}
        scales |= {column: scale for result in results for column, scale in result.scales.items()}
    return entries, scales


def _own(scales: dict[str, Scale]) -> dict[str, dict[str, Any]]:
    """Objectives of the scores whose direction and bounds the files' forms state; shipped ones are known."""
    return {
        re.sub(r"\W+", "_", column.lower()).strip("_"): {
            "column": column, "direction": scale.direction, "bounds": [scale.low, scale.high], "label": column
        }
        for column, scale in sorted(scales.items())
        if column not in objectives()
    }  # fmt: skip


def _stem(path: Path) -> str:
    """A file's name without its endings.

    Examples
    --------
    >>> _stem(Path("out/text-davinci-003.jsonl.gz")), _stem(Path("gpt-4.1")), _stem(Path("a.b.csv"))
    ('text-davinci-003', 'gpt-4.1', 'a.b')
    """
    ending = next(
        (suffix for suffix in sorted((*SUFFIXES, *CSV), key=len, reverse=True) if path.name.endswith(suffix)), ""
    )
    return path.name.removesuffix(ending) or path.name

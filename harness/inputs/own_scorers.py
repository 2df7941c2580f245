"""Scorers of an experiment's own objectives, from the parameters and inputs of a stage."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any, TypedDict

from harness.inputs.models import fetch
from harness.store.store import sha256
from suites.custom.scorer import Running, Scored, Scorer, create
from suites.items import within_bounds


class OwnScorer(TypedDict):
    """A scorer as JSON; files and models of the user's are inputs of the stage."""

    kind: str
    module: str
    settings: dict[str, Any]
    """Files and models by their names alone."""
    inputs: dict[str, str]
    """Inputs of the stage by the field that names the file or model."""
    clip: bool


def scorer_of(declared: OwnScorer, inputs: Mapping[str, Path]) -> Scorer:
    """The scorer with its files and models where they lie."""
    import_module(declared["module"])
    scorer = create(declared["kind"], declared["settings"])
    places = {field: str(inputs[name]) for field, name in declared["inputs"].items()}
    for field, name in scorer.sources.items():
        if field not in places:
            places[field] = str(fetch(name, declared["settings"]["revision"]))
    return scorer.with_sources({**scorer.sources, **places})


def revision_of(declared: OwnScorer, inputs: Mapping[str, Path]) -> str:
    """Hash of the settings and of the files' bytes, for the records: values of two revisions are not compared."""
    files = {field: _bytes(inputs[name]) for field, name in declared["inputs"].items()}
    return hashlib.sha256(json.dumps([declared["settings"], files], sort_keys=True).encode()).hexdigest()[:12]


def _bytes(path: Path) -> list[str]:
    files = sorted(file for file in path.rglob("*") if file.is_file()) if path.is_dir() else [path]
    return [sha256(file) for file in files]


def own_values(
    declared: OwnScorer,
    bounds: Sequence[float],
    prompts: Sequence[str],
    responses: Sequence[str],
    inputs: Mapping[str, Path],
    running: Running,
) -> list[Scored]:
    """The value of every response within the objective's bounds, or why there is none. Equal texts are scored once."""
    distinct = list(dict.fromkeys(zip(prompts, responses, strict=True)))
    scored = scorer_of(declared, inputs).score([p for p, _ in distinct], [r for _, r in distinct], running)
    values = {texts: _bounded(value, bounds, declared["clip"]) for texts, value in zip(distinct, scored, strict=True)}
    return [values[texts] for texts in zip(prompts, responses, strict=True)]


def _bounded(scored: Scored, bounds: Sequence[float], clip: bool) -> Scored:
    if scored.value is None:
        return scored
    value, reason = within_bounds(scored.value, bounds, clip)
    return Scored(value, reason, scored.cost)

"""Check that two runs measured the same thing; if not, nothing is compared and the field is named.

What an experiment measures *with* (prompts, decoding, judge, scorers, objectives) must be equal. What it
measures (methods, sizes, training, code) may differ: finding out what that does is the purpose.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import pandas as pd

from reports.grids import SETTINGS
from reports.run_folder import Refused, Stored

MEASURED_WITH = ("data", "decoding", "judge", "toxicity", "suites", "rewards", "reference_point")
"""Sections of an experiment that decide what a score means."""
SCORERS = ("alpaca-eval", "detoxify", "lm-eval", "textstat")
"""Libraries that decide what a score means."""
OBJECTIVE_FIELDS = ("direction", "unit", "bounds", "role", "reference_point")
PROSE = ("schema", "title", "description", "caveat")
ABSENT = "absent"


def refuse_unlike(run: Stored, baseline: Stored) -> None:
    """Raise `Refused`, naming every field by which the runs were measured differently."""
    fields = [
        *_settings(run, baseline, MEASURED_WITH),
        *_libraries(run, baseline, SCORERS),
        *_objectives(run, baseline),
        *_details(run, baseline),
    ]
    if fields:
        raise Refused(
            f"{run.folder} and {baseline.folder} were not measured alike: {'; '.join(fields)}. "
            "Nothing was compared; if the change is meant, bless a run made with it as the new baseline"
        )


def changes(run: Stored, baseline: Stored) -> list[str]:
    """What else differs: the possible causes of a difference."""
    sections = sorted({*run.experiment, *baseline.experiment} - {*MEASURED_WITH, *PROSE})
    libraries = {*run.manifest.get("libraries", {}), *baseline.manifest.get("libraries", {})} - set(SCORERS)
    facts = [
        _unlike(name, run.manifest.get(name, ABSENT), baseline.manifest.get(name, ABSENT))
        for name in ("commit", "python", "platform", "cpus")
    ]
    return [
        *filter(None, facts),
        *_settings(run, baseline, sections),
        *_libraries(run, baseline, sorted(libraries)),
    ]


def _unlike(name: str, mine: object, other: object) -> str | None:
    return None if mine == other else f"{name} is {_shown(mine)}, in the baseline {_shown(other)}"


def _shown(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, default=str)


def _settings(run: Stored, baseline: Stored, sections: Iterable[str]) -> Iterator[str]:
    mine, other = (dict(_flat({name: side.experiment.get(name) for name in sections})) for side in (run, baseline))
    for key in sorted({*mine, *other}):
        if difference := _unlike(key, mine.get(key, ABSENT), other.get(key, ABSENT)):
            yield difference


def _flat(value: object, path: str = "") -> Iterator[tuple[str, object]]:
    """Leaves of nested mappings by dotted key."""
    if isinstance(value, dict) and value:
        for key, inner in value.items():
            yield from _flat(inner, f"{path}.{key}" if path else str(key))
    else:
        yield path, value


def _libraries(run: Stored, baseline: Stored, names: Iterable[str]) -> Iterator[str]:
    mine, other = (side.manifest.get("libraries", {}) for side in (run, baseline))
    for name in names:
        if difference := _unlike(f"libraries.{name}", mine.get(name, ABSENT), other.get(name, ABSENT)):
            yield difference


def _objectives(run: Stored, baseline: Stored) -> Iterator[str]:
    mine, other = (side.records.objectives.set_index("name") for side in (run, baseline))
    for name in [name for name in other.index if name in mine.index]:
        for field in OBJECTIVE_FIELDS:
            values = (_comparable(side.loc[name, field]) for side in (mine, other))
            if difference := _unlike(f"objective {name}: {field}", *values):
                yield difference


def _comparable(value: Any) -> object:
    """A cell of the table as something that equals itself: a list for an array, None for NaN."""
    if isinstance(value, (np.ndarray, list, tuple)):
        return [float(bound) for bound in value]
    return None if value is None or value != value else value


def _details(run: Stored, baseline: Stored) -> Iterator[str]:
    """Judge, revision and the like that suites noted on each item."""
    mine, other = (measured_ways(side.records.items) for side in (run, baseline))
    for objective in sorted({*mine} & {*other}):
        for key in SETTINGS:
            values = (sorted(side[objective].get(key, {ABSENT})) for side in (mine, other))
            if difference := _unlike(f"{objective}: {key} of the items", *map(", ".join, values)):
                yield difference


def measured_ways(items: pd.DataFrame) -> dict[str, dict[str, set[str]]]:
    """By objective, the values of each setting that its items name."""
    noted = items.detail.str.contains("|".join(f'"{key}"' for key in SETTINGS), regex=True)
    ways: dict[str, dict[str, set[str]]] = {name: {} for name in items.objective.unique()}
    for objective, texts in items[noted].groupby("objective").detail.unique().items():
        for detail in map(json.loads, texts):
            for key in SETTINGS:
                if key in detail:
                    ways[objective].setdefault(key, set()).add(str(detail[key]))
    return ways

"""Settings, data and versions in which runs differ."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from reports.nightly.measurement_check import ABSENT, MEASURED_WITH, PROSE, SCORERS
from reports.run_folder import Stored

DATA, MEASUREMENT, SETTINGS, VERSIONS, MACHINE = "data", "measurement", "settings", "versions", "machine"
KINDS = (DATA, MEASUREMENT, SETTINGS, VERSIONS, MACHINE)
"""Kinds of differences in the order of a table: what may change the meaning of a score first."""
FACTS = {"commit": VERSIONS, "python": VERSIONS, "platform": MACHINE, "cpus": MACHINE}


@dataclass(frozen=True)
class Unlike:
    """One key whose values differ, as text and in the order of the runs."""

    kind: str
    key: str
    values: tuple[str, ...]


def unlike(runs: Sequence[Stored]) -> list[Unlike]:
    """Everything that the experiments and manifests of runs have not in common, by kind and key."""
    sections = sorted({key for run in runs for key in run.experiment} - {*PROSE, "name"})
    rows = [
        Unlike(_kind(section), key, values)
        for section in sections
        for key, values in _leaves([run.experiment.get(section) for run in runs], section)
    ]
    for fact, kind in FACTS.items():
        rows += [Unlike(kind, *leaf) for leaf in _leaves([run.manifest.get(fact, ABSENT) for run in runs], fact)]
    for key, values in _leaves([run.manifest.get("libraries", {}) for run in runs], "libraries"):
        scores = key.removeprefix("libraries.") in SCORERS
        rows.append(Unlike(MEASUREMENT if scores else VERSIONS, key, values))
    return sorted(rows, key=lambda row: (KINDS.index(row.kind), row.key))


def _kind(section: str) -> str:
    return DATA if section == "data" else MEASUREMENT if section in MEASURED_WITH else SETTINGS


def _leaves(values: Sequence[Any], path: str) -> Iterator[tuple[str, tuple[str, ...]]]:
    """The dotted keys below a path whose values differ; a branch that some runs lack is one key.

    Examples
    --------
    >>> list(_leaves([{"a": 1, "b": {"c": 2}}, {"a": 1, "b": {"c": 3}}, {"a": 1}], "x"))
    [('x.b', ('{"c": 2}', '{"c": 3}', 'absent'))]
    """
    if all(value == values[0] for value in values):
        return
    if all(isinstance(value, Mapping) for value in values):
        for key in dict.fromkeys(key for value in values for key in value):
            yield from _leaves([value.get(key, ABSENT) for value in values], f"{path}.{key}")
    else:
        yield path, tuple(value if isinstance(value, str) else json.dumps(value, default=str) for value in values)

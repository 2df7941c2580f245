"""The population of a data folder: its users, and the pairs by which unseen users are known."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from harness.inputs.world import oracle_world
from suites.oracle.population import Population, PopulationSpec

SIDES = ("response", "chosen", "rejected", "reference")
"""Fields that hold responses; a space stands before each, since prompt and response are joined as they are."""


def write_population(out: Path, population: Population) -> None:
    """Write ``users.json``, and the specification that `population_of` builds the population from."""
    (out / "population.json").write_text(json.dumps(asdict(population.spec)), encoding="utf-8")
    users = {
        person: {"seen": person in population.seen, "weights": dict(zip(population.names, row, strict=True))}
        for person, row in zip(population.persons, population.weights.tolist(), strict=True)
    }
    (out / "users.json").write_text(json.dumps(users, indent=1), encoding="utf-8")


def population_of(folder: Path) -> Population:
    """The population whose pairs lie in `folder`."""
    spec = PopulationSpec(**json.loads((folder / "population.json").read_text(encoding="utf-8")))
    return Population.build(oracle_world(folder), spec)


def spaced(rows: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The rows with a space before each response."""
    return [{name: f" {text}" if name in SIDES else text for name, text in row.items()} for row in rows]

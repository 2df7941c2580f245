"""The oracle world's data sets."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import asdict

import pandas as pd

from harness.store.files import write_jsonl
from suites.oracle.tasks import write_tasks
from suites.oracle.world import World, WorldSpec


def run(parameters, inputs, out, progress=None) -> None:
    world = World.build(WorldSpec(**parameters["world"]))
    seed = world.spec.seed
    write_jsonl(out / "corpus.jsonl", _spaced(world.corpus(parameters["corpus"], seed)))
    write_jsonl(out / "pairs.jsonl", _spaced(world.pairs(parameters["pairs"], seed)))
    write_jsonl(out / "prompts.jsonl", _spaced(world.evaluation("test")))
    pd.DataFrame(world.labelled_texts(parameters["labelled"], seed)).to_csv(out / "labelled.csv", index=False)
    (out / "world.json").write_text(json.dumps(asdict(world.spec)))
    write_tasks(world, out / "tasks")


def _spaced(rows: Iterable[dict]) -> Iterator[dict]:
    """Prompt and response are joined as they are, so the space between them belongs to the response."""
    for row in rows:
        yield {
            name: f" {text}" if name in ("response", "chosen", "rejected", "reference") else text
            for name, text in row.items()
        }

"""The oracle world's data sets."""

from __future__ import annotations

import json
from dataclasses import asdict

import pandas as pd

from harness.files import write_jsonl
from suites.oracle.tasks import write_tasks
from suites.oracle.world import World, WorldSpec


def run(parameters, inputs, out, progress=None) -> None:
    world = World.build(WorldSpec(**parameters["world"]))
    seed = world.spec.seed
    write_jsonl(out / "corpus.jsonl", world.corpus(parameters["corpus"], seed))
    write_jsonl(out / "pairs.jsonl", world.pairs(parameters["pairs"], seed))
    write_jsonl(out / "prompts.jsonl", world.evaluation("test"))
    pd.DataFrame(world.labelled_texts(parameters["labelled"], seed)).to_csv(out / "labelled.csv", index=False)
    (out / "vocabulary.txt").write_text("\n".join(world.vocabulary()))
    (out / "world.json").write_text(json.dumps(asdict(world.spec)))
    write_tasks(world, out / "tasks")

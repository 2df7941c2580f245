"""Stage ``world``: the data sets of the oracle world."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from harness.inputs.world import write_spec
from harness.store.jsonl import write_jsonl
from suites.oracle.tasks import write_tasks
from suites.oracle.world import World, WorldSpec

if TYPE_CHECKING:
    from harness.stages.interface import Inputs, Parameters, Progress


def run(parameters: Parameters, inputs: Inputs, out: Path, progress: Progress = None) -> None:
    world = World.build(WorldSpec(**parameters["world"]))
    seed = world.spec.seed
    write_jsonl(out / "corpus.jsonl", _spaced(world.corpus(parameters["corpus"], seed)))
    write_jsonl(out / "pairs.jsonl", _spaced(world.pairs(parameters["pairs"], seed)))
    write_jsonl(out / "prompts.jsonl", _spaced(world.evaluation("test")))
    pd.DataFrame(world.labelled_texts(parameters["labelled"], seed)).to_csv(out / "labelled.csv", index=False)
    (out / "words.json").write_text(json.dumps(_words(world)))
    write_spec(out, world)
    write_tasks(world, out / "tasks")


def _words(world: World) -> list[str]:
    """Every word of the world's prompts and responses with the space before it and the punctuation behind it."""
    texts = {prompt.text for prompt in world.prompts}
    texts |= {f" {text}" for row in range(len(world.prompts)) for text in world.responses(row)}
    return sorted({word for text in texts for word in re.findall(r"\s?\S+|\s", text)})


def _spaced(rows: Iterable[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """The rows with a space before each response: prompt and response are joined as they are."""
    for row in rows:
        yield {
            name: f" {text}" if name in ("response", "chosen", "rejected", "reference") else text
            for name, text in row.items()
        }

"""Stage ``instructed``: the world's data with a corpus whose prompts may begin with instructions, and their words."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from harness.inputs.population import spaced
from harness.inputs.world import oracle_world
from harness.store.jsonl import write_jsonl
from suites.oracle.instructions import PHRASES, instructed_corpus

if TYPE_CHECKING:
    from harness.stages.interface import Inputs, Parameters, Progress


def run(parameters: Parameters, inputs: Inputs, out: Path, progress: Progress = None) -> None:
    shutil.copytree(inputs["data"], out, dirs_exist_ok=True, ignore=shutil.ignore_patterns("manifest.json"))
    world = oracle_world(out)
    corpus = instructed_corpus(world, parameters["corpus"], world.spec.seed, parameters["strength"])
    write_jsonl(out / "corpus.jsonl", spaced(corpus))
    words = set(json.loads((out / "words.json").read_text(encoding="utf-8")))
    phrases = {word for phrase in PHRASES.values() for word in phrase.split()}
    # An instruction begins the text; a second one, and the prompt, stand behind a space.
    words |= phrases | {f" {word}" for word in phrases | {prompt.text.split()[0] for prompt in world.prompts}} | {" "}
    (out / "words.json").write_text(json.dumps(sorted(words)), encoding="utf-8")

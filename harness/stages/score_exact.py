"""A policy's exact expectations, its KL from the behaviour policy and its gap to the true frontier."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from harness.files import CHECKPOINT, load_problem, oracle_world, write_scores
from harness.store import sha256
from suites.oracle.exact import PolicyTable, measures
from trainers.scoring import ResponseSet
from trainers.tokenizer import load_tokenizer

_tokenised: dict[tuple[Path, str], ResponseSet] = {}
"""By world and tokenizer: all policies of an experiment are asked about the same texts."""


def run(parameters, inputs, out, progress=None) -> None:
    checkpoint = inputs["policy"] / CHECKPOINT
    key = inputs["data"], sha256(checkpoint / "tokenizer.json")
    if key not in _tokenised:
        _tokenised[key] = _responses(inputs["data"], checkpoint)
    policy = PolicyTable.from_logps(np.stack(_tokenised[key].logps(checkpoint)))
    write_scores(out, measures=measures(policy, load_problem(inputs["enumeration"] / "problem.npz")))


def _responses(data: Path, checkpoint: Path) -> ResponseSet:
    world = oracle_world(data)
    rows = world.indices("test")
    prompts = [world.prompts[row].text for row in rows]
    # The trainer joins prompt and response as they are, so the space between them belongs to the response.
    responses = [[f" {text}" for text in world.responses(row)] for row in rows]
    return ResponseSet.encode(load_tokenizer(checkpoint), prompts, responses)

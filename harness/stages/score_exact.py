"""Stage ``score_exact``: exact expectations of a policy, its KL from the behaviour policy and its gap to the frontier.

For a method whose optimum is known in closed form, also the distance from that optimum.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from harness.inputs.world import load_problem, oracle_world
from harness.records import Measure
from harness.store.conditions import condition_of
from harness.store.names import CHECKPOINT
from harness.store.store import sha256
from harness.store.tables import write_scores
from suites.oracle.exact import PolicyTable, measures
from suites.oracle.frontier import Problem
from suites.oracle.truth import dpo_target, expectation, kl, modpo_target, upo_target
from trainers.data.tokenizer import load_tokenizer
from trainers.methods import create
from trainers.model.response_logprobs import ResponseSet

if TYPE_CHECKING:
    from harness.stages.interface import Inputs, Parameters, Progress

_tokenised: dict[tuple[Path, str, str], ResponseSet] = {}
"""By world, tokenizer and condition: all policies of an experiment score the same texts."""


def run(parameters: Parameters, inputs: Inputs, out: Path, progress: Progress = None) -> None:
    checkpoint = inputs["policy"] / CHECKPOINT
    key = inputs["data"], sha256(checkpoint / "tokenizer.json"), condition_of(inputs)
    if key not in _tokenised:
        _tokenised[key] = _responses(inputs["data"], checkpoint, condition_of(inputs))
    policy = PolicyTable.from_logps(np.stack(_tokenised[key].logps(checkpoint, device=parameters["device"])))
    problem = load_problem(inputs["enumeration"] / "problem.npz")
    figures = measures(policy, problem)
    if parameters["method"] in TARGETS:
        world = oracle_world(inputs["data"])
        method = create(parameters["method"], **parameters["parameters"])
        designer = sum(w * problem.values[_position(problem, name)] for name, w in parameters["weights"].items())
        target = TARGETS[parameters["method"]](method, problem.mu, world.reward[world.indices("test")], designer)
        figures += _distance(policy.conditional, target, problem)
    write_scores(out, measures=figures)


TARGETS: dict[str, Callable[[Any, np.ndarray, np.ndarray, np.ndarray], np.ndarray]] = {
    "dpo": lambda method, mu, reward, _: dpo_target(mu, reward, method.beta),
    "modpo": lambda method, mu, reward, designer: modpo_target(
        mu, reward, method.beta, 1 - method.weight, method.weight * designer
    ),
    "upo": lambda method, mu, reward, designer: upo_target(
        mu, reward, method.preference.beta, method.inverse_temperature, designer
    ),
}
"""By method: the optimum of its derivation, from the method, μ, the preference reward and the designer reward."""


def _position(problem: Problem, name: str) -> int:
    return [objective.name for objective in problem.objectives].index(name)


def _distance(policy: np.ndarray, target: np.ndarray, problem: Problem) -> list[Measure]:
    """Largest difference of an expected objective (on [0, 1]) from the target's, and the KL from the target."""
    difference = expectation(policy, problem.values) - expectation(target, problem.values)
    figures = {"target_difference": float(np.abs(difference).max()), "kl_from_target": kl(policy, target)}
    return [Measure("exact", name, value) for name, value in figures.items()]


def _responses(data: Path, checkpoint: Path, condition: str) -> ResponseSet:
    world = oracle_world(data)
    rows = world.indices("test")
    prompts = [world.prompts[row].text + condition for row in rows]
    # The trainer joins prompt and response as they are, so the space between them belongs to the response.
    responses = [[f" {text}" for text in world.responses(row)] for row in rows]
    return ResponseSet.encode(load_tokenizer(checkpoint), prompts, responses)

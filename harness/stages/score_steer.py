"""Stage ``score_steer``: exact figures of a policy for each unseen user, given a context of the user's pairs.

One stage measures all users of a method at one context size, so that fits of several users can share a batch.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from harness.inputs.population import population_of
from harness.inputs.steering.contexts import contexts_of, contradictions
from harness.inputs.steering.registry import steer_kinds
from harness.inputs.steering.scene import Contexts, ModelSteps, Scene, created
from harness.inputs.steering.tables import Decoded, decode
from harness.records import ItemScore, Measure
from harness.store.jsonl import read_jsonl
from harness.store.names import CHECKPOINT
from harness.store.tables import write_scores
from suites.decoding.registry import Guess, kinds
from suites.oracle.personal import (
    accuracy,
    regret,
    regularised_regret,
    steering_gain,
    steering_matrix,
    taste_range,
    user_value,
)
from suites.oracle.population import Prior
from suites.oracle.truth import kl, tilt

if TYPE_CHECKING:
    from harness.stages.interface import Inputs, Parameters, Progress

BUDGET = 1.0
"""KL budget, nats, of the regret against the best policy that is as far from μ."""


def run(parameters: Parameters, inputs: Inputs, out: Path, progress: Progress = None) -> None:
    scene = scene_of(parameters, inputs)
    users = scene.population.unseen
    contexts = contexts_of(read_jsonl(inputs["data"] / "contexts.jsonl"), users, parameters["context"])
    started = time.perf_counter()
    guesses = _guesses(parameters, inputs, scene, contexts)
    seconds = time.perf_counter() - started
    kind = created(kinds(), parameters["decoding"])
    decoded: dict[int, Decoded] = {}
    policies = []
    for guess in guesses.values():
        if id(guess) not in decoded:
            decoded[id(guess)] = decode(kind, guess, scene)
        policies.append(decoded[id(guess)])
    costs = {
        "decode_tokens": float(np.mean([policy.decode_tokens for policy in policies])),
        "adaptation_seconds": seconds / len(users) if parameters["steer"] else 0.0,
    }
    items, measures = figures(scene, contexts, policies, parameters["beta"])
    measures += [Measure("cost", name, value) for name, value in costs.items()]
    write_scores(out, items, measures)


def scene_of(parameters: Parameters, inputs: Inputs) -> Scene:
    """The scene of a stage: its policies are the inputs ``policy_ROLE``, or one ``policy`` for all users."""
    population = population_of(inputs["data"])
    prefix = "policy_"
    policies = {name.removeprefix(prefix): inputs[name] / CHECKPOINT for name in inputs if name.startswith(prefix)}
    if "policy" in inputs:
        policies = {"base": inputs["policy"] / CHECKPOINT}
    rows = population.world.indices("test")[: parameters["prompts"]]
    trained_on = inputs["trained_on"] / CHECKPOINT if "trained_on" in inputs else None
    return Scene(
        population, rows, policies, parameters["device"], inputs.get("trained"), trained_on, parameters["seed"]
    )


def _guesses(parameters: Parameters, inputs: Inputs, scene: Scene, contexts: Contexts) -> dict[str, Guess]:
    own = {user: inputs[f"user_{user}"] for user in contexts if f"user_{user}" in inputs}
    if own:
        return {user: Guess(policies={"base": ModelSteps.load(own[user] / CHECKPOINT, scene)}) for user in contexts}
    if not parameters["steer"]:
        return dict.fromkeys(contexts, Guess())
    guesses: dict[str, Guess] = created(steer_kinds(), parameters["steer"]).guesses(scene, contexts)
    return guesses


def figures(
    scene: Scene, contexts: Contexts, policies: Sequence[Decoded], beta: float
) -> tuple[list[ItemScore], list[Measure]]:
    """Item scores of every user, and measures of them together.

    Text off the grammar is worth a lost comparison; the regularised regret is that of the policy on the grammar, whose lost
    probability is a measure of its own.
    """
    population, mu = scene.population, scene.mu
    rewards = [scene.reward(population.weights_of(user)) for user in contexts]
    prior = Prior.draw(population.spec, len(population.names))
    posteriors = [prior.posterior_mean(population.differences(pairs)) for pairs in contexts.values()]
    tables = [policy.table.conditional for policy in policies]
    items: list[ItemScore] = []
    for user, policy, table, reward, (mean, _) in zip(contexts, policies, tables, rewards, posteriors, strict=True):
        values = {
            "user_value": user_value(policy.table.mass[:, None] * table, mu, reward),
            "user_regret": regularised_regret(table, mu, reward, beta),
            "user_accuracy": accuracy(np.log(np.maximum(table, 1e-300) / mu), mu, reward),
            "user_bayes_regret": regularised_regret(tilt(mu, scene.reward(mean) / beta), mu, reward, beta),
        }
        items += [ItemScore(name, user, user, value) for name, value in values.items()]
    matrix = steering_matrix(tables, mu, rewards)
    shared = {
        "kl": float(np.mean([kl(table, mu) for table in tables])),
        "mass_off_grammar": float(np.mean([1.0 - policy.table.mass.mean() for policy in policies])),
        "worst_user_value": min(
            item.value for item in items if item.objective == "user_value" and item.value is not None
        ),
        "regret_own_kl": float(np.mean([regret(t, mu, r) for t, r in zip(tables, rewards, strict=True)])),
        "regret_at_budget": float(np.mean([regret(t, mu, r, BUDGET) for t, r in zip(tables, rewards, strict=True)])),
        "steering_gain": steering_gain(matrix) if len(matrix) > 1 else 0.0,
        "bayes_effective_draws": min(effective for _, effective in posteriors),
        "contradicting_pairs": float(contradictions(contexts)),
        **{
            f"range_{name}": taste_range(tables, taste[scene.rows])
            for name, taste in zip(population.names, population.tastes, strict=True)
            if not name.startswith("-")
        },
    }
    measures = [Measure("users", name, value) for name, value in shared.items()]
    names = list(contexts)
    measures += [
        Measure("steering matrix", f"{given} > {judge}", float(matrix[row, column]))
        for row, given in enumerate(names)
        for column, judge in enumerate(names)
    ]
    return items, measures

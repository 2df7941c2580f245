"""Random draws of a world from its seed: facts, splits, habits of the behaviour policy, tastes of the users."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from suites.oracle import grammar
from suites.oracle.grammar import CLOSING, DEVICES, ELABORATION, FIXES, JARGON, OPENING, PROBLEMS, SITUATIONS, WRONG

Split = Literal["train", "validation", "test"]

FLOOR = 0.04
"""Least probability of a choice in a slot under the behaviour policy (less for the four answers, which are
a product of two such choices)."""


@dataclass(frozen=True)
class Prompt:
    """One question, made of a device, a problem and a situation (indices into the grammar)."""

    id: str
    text: str
    split: Split
    device: int
    problem: int
    situation: int


def facts(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """A popular wrong fix for each problem, and the right one for each device among the others."""
    wrong = rng.permutation(len(FIXES))[: len(PROBLEMS)]
    others = [np.delete(np.arange(len(FIXES)), fix) for fix in wrong]
    right = np.stack([rng.permutation(fixes)[: len(DEVICES)] for fixes in others], axis=1)
    return right, wrong


def prompts(test: int, validation: int, rng: np.random.Generator) -> tuple[Prompt, ...]:
    """All combinations; every (device, problem) is held out in the same number of situations, evenly spread."""
    offsets = rng.permutation(len(DEVICES) * len(PROBLEMS)).reshape(len(DEVICES), len(PROBLEMS))
    places = rng.permutation(len(SITUATIONS))
    made: list[Prompt] = []
    for d, p, s in np.ndindex(len(DEVICES), len(PROBLEMS), len(SITUATIONS)):
        place = (places[s] + offsets[d, p]) % len(SITUATIONS)
        split: Split = "test" if place < test else "validation" if place < test + validation else "train"
        text = grammar.prompt(DEVICES[d], PROBLEMS[p], SITUATIONS[s])
        made.append(Prompt(f"prompt-{len(made):03d}", text, split, d, p, s))
    return tuple(made)


def behaviour(features: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Product of categoricals: opening by situation, rightness by fact, jargon by device, the rest by problem."""

    def habits(average: list[float], n: int) -> np.ndarray:
        logits = np.log(average) + 0.25 * rng.standard_normal((n, len(average)))
        p = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
        probabilities: np.ndarray = FLOOR + (1.0 - FLOOR * len(average)) * p
        return probabilities

    opening = habits([0.35, 0.37, 0.17, 0.11], len(SITUATIONS))
    closing = habits([0.40, 0.32, 0.17, 0.11], len(PROBLEMS))
    elaboration = habits([0.30, 0.30, 0.22, 0.18], len(PROBLEMS))
    jargon = habits([0.65, 0.35], len(DEVICES))
    right = rng.permutation(np.linspace(0.12, 0.88, len(DEVICES) * len(PROBLEMS))).reshape(len(DEVICES), len(PROBLEMS))
    device, problem, situation = (column[:, None] for column in features.T)
    rightness = right[device, problem]
    mu: np.ndarray = (
        opening[situation, OPENING]
        * np.where(WRONG, 1.0 - rightness, rightness)
        * jargon[device, JARGON]
        * elaboration[problem, ELABORATION]
        * closing[problem, CLOSING]
    )
    return mu


def utility(features: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Users enjoy bad manners (in some situations more than in others, twice insulted less), jargon, length
    and being helped."""
    appetite = rng.permutation(np.linspace(0.6, 1.4, len(SITUATIONS)))[features[:, 2], None]
    manners = np.array([0.0, 0.1, 0.7, 0.9])[OPENING] + np.array([0.0, 0.1, 0.5, 0.7])[CLOSING]
    insulted_twice = (OPENING == 3) & (CLOSING == 3)
    substance = 0.4 * (1 - WRONG) + 0.5 * JARGON + np.array([0.0, 0.25, 0.45, 0.8])[ELABORATION]
    total: np.ndarray = appetite * (manners - 0.6 * insulted_twice) + substance
    return total

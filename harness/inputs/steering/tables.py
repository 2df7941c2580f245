"""Exact tables of decoding kinds: the probability of every enumerated response under a policy as it is decoded."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from harness.inputs.steering.scene import Scene, StepPolicy
from suites.decoding.kinds.prefix_score import VALUE, PrefixScore
from suites.decoding.mix import Mix, Part
from suites.decoding.registry import Guess, Selection, TokenLevel
from suites.oracle.exact import PolicyTable
from trainers.tokens.framing import Frame

if TYPE_CHECKING:
    from torch import Tensor

IMPOSSIBLE = -1e4
"""Log-probability of a response outside the nucleus, nats: finite, and 0 as a probability."""


@dataclass(frozen=True, eq=False)
class Decoded:
    """A policy as it is decoded.

    Parameters
    ----------
    table : PolicyTable
    decode_tokens : float
        Tokens read and drawn for each answer that is returned, of all parts of a mixture and of all candidates; the exact
        mean over prompts.
    """

    table: PolicyTable
    decode_tokens: float


def decode(kind: TokenLevel | Selection, guess: Guess, scene: Scene) -> Decoded:
    """The exact table of a decoding kind for one user.

    Raises
    ------
    ValueError
        For a context longer than a model's.
    """
    if isinstance(kind, PrefixScore):
        assert guess.reward is not None
        values = PrefixValues(scene, guess.policies.get("base") or scene.steps["base"], kind.exponent(guess.reward))
        guess = replace(guess, policies={**guess.policies, VALUE: values})
    if isinstance(kind, TokenLevel):
        return _mixture(kind.mix(guess), guess, scene)
    assert guess.reward is not None
    alone = Mix((Part("base"),))  # a frame beside a reward would count the user's wish twice
    sampled = _mixture(alone, guess, scene) if guess.policies else _shared(alone, scene)
    chosen = kind.law(sampled.table.mass[:, None] * sampled.table.conditional, guess.reward)
    mass = chosen.sum(axis=1)
    return Decoded(PolicyTable(mass, chosen / mass[:, None]), kind.n * sampled.decode_tokens)


@lru_cache(maxsize=4)
def _shared(mix: Mix, scene: Scene) -> Decoded:
    """A mixture of policies that all users share."""
    return _mixture(mix, Guess(), scene)


def _mixture(mix: Mix, guess: Guess, scene: Scene) -> Decoded:
    steps: dict[str, StepPolicy] = {**scene.steps, **guess.policies}
    rows, read = [], []
    for number, trie in enumerate(scene.tries):
        logits = [steps[part.policy].logits(number, part.frame) for part in mix.parts]
        previous = None
        if any(part.previous for part in mix.parts):
            # The first position has none before it: 0 changes no probability.
            previous = [member[trie.parents.clip(min=0)] for member in logits]
            for member in previous:
                member[0] = 0.0
        p = mix.distribution(logits, previous).numpy(force=True)
        with np.errstate(divide="ignore"):
            logps = np.log(p / p.sum(axis=-1, keepdims=True))
        rows.append(np.maximum(trie.table(logps), IMPOSSIBLE))
        contexts = [steps[part.policy].context(number, part.frame) for part in mix.parts]
        read.append([context for context in contexts if context is not None])
    table = PolicyTable.from_logps(np.stack(rows))
    drawn = (table.conditional * scene.lengths).sum(axis=1)
    tokens = np.array(read).sum(axis=1) + len(read[0]) * drawn
    return Decoded(table, float(tokens.mean()))


@dataclass(frozen=True, eq=False)
class PrefixValues:
    """The exact soft value of every prefix, as logits of the token that leads to it (`Trie.soft_values`)."""

    scene: Scene
    base: StepPolicy
    exponent: np.ndarray

    def logits(self, number: int, frame: Frame) -> Tensor:
        import torch

        trie, logits = self.scene.tries[number], self.base.logits(number, frame)
        logps = torch.log_softmax(logits.double(), -1).numpy(force=True)
        values = torch.full(logits.shape, -1e9, dtype=torch.float64)
        values[trie.is_leaf] = 0.0
        values[trie.parents[1:], trie.tokens[1:]] = torch.from_numpy(trie.soft_values(logps, self.exponent[number])[1:])
        return values

    def context(self, number: int, frame: Frame) -> None:
        return None

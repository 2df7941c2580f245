"""Scene that policies for users are measured in: test prompts with their responses, users, and token-level policies."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from suites.checkpoints import load_causal_lm, load_tokenizer, require_one_vocabulary
from suites.oracle.population import Population
from suites.oracle.trie import Trie, trie_logits
from trainers.tokens.framing import Frame, framed
from trainers.tokens.template import encode_checked
from trainers.tokens.text import encode_response

if TYPE_CHECKING:
    from torch import Tensor

CACHED = 256
"""Tables of logits that a policy holds: those of so many prompts in their frames."""


class StepPolicy(Protocol):
    """A token-level policy on the test prompts of a scene."""

    def logits(self, number: int, frame: Frame) -> Tensor:
        """Logits behind every prefix of the responses to a prompt (`Trie`), shape (N, V)."""
        ...

    def context(self, number: int, frame: Frame) -> int | None:
        """How many tokens are read before the response; None for a policy that reads none at all."""
        ...


@dataclass(frozen=True, eq=False)
class Scene:
    """What policies are measured on.

    Parameters
    ----------
    population : Population
    rows : ndarray of int, shape (P,)
        The test prompts, as rows of the world's tables.
    policies : mapping of str to Path
        Checkpoints by role.
    device : str
    trained : Path or None
        Artifact of the kind's own training stage, where it has one.
    trained_on : Path or None
        Checkpoint that it was trained from.
    seed : int
        Of the run.
    """

    population: Population
    rows: np.ndarray
    policies: Mapping[str, Path]
    device: str = "cpu"
    trained: Path | None = None
    trained_on: Path | None = None
    seed: int = 0

    @property
    def mu(self) -> np.ndarray:
        """The behaviour policy on the test prompts, shape (P, 256)."""
        mu: np.ndarray = self.population.world.mu[self.rows]
        return mu

    @property
    def prompts(self) -> list[str]:
        """The texts of the test prompts."""
        return [self.population.world.prompts[row].text for row in self.rows]

    def reward(self, weights: np.ndarray) -> np.ndarray:
        """The reward of weights of tastes on the test prompts, shape (P, 256), nats."""
        reward: np.ndarray = self.population.reward(weights)[self.rows]
        return reward

    @cached_property
    def tokenizer(self) -> Any:
        """The tokenizer that all policies share.

        Raises
        ------
        ValueError
            For policies with different vocabularies, whose logits cannot be added.
        """
        return require_one_vocabulary({role: load_tokenizer(folder) for role, folder in self.policies.items()})

    @cached_property
    def tries(self) -> list[Trie]:
        """The responses of each test prompt as tokens, their end included."""
        end = self.tokenizer.eos_token_id
        return [
            Trie.of(
                [[*encode_response(self.tokenizer, f" {text}"), end] for text in self.population.world.responses(row)]
            )
            for row in self.rows
        ]

    @cached_property
    def lengths(self) -> np.ndarray:
        """Tokens of every response, their end included, shape (P, 256)."""
        return np.stack([trie.depths[trie.leaves] for trie in self.tries])

    @cached_property
    def steps(self) -> dict[str, StepPolicy]:
        """The policies, loaded, by role; roles with one checkpoint share it."""
        loaded = {folder: ModelSteps.load(folder, self) for folder in set(self.policies.values())}
        return {role: loaded[folder] for role, folder in self.policies.items()}

    def tokens(self, number: int, frame: Frame) -> list[int]:
        """Tokens of a test prompt within a frame."""
        ids: list[int] = encode_checked(self.tokenizer, framed(self.prompts[number], frame))
        return ids


class ModelSteps:
    """A model as a `StepPolicy`, which keeps the logits of the last prompts and frames."""

    def __init__(self, model: Any, scene: Scene) -> None:
        self.model, self.scene = model, scene
        self.logits = lru_cache(maxsize=CACHED)(self._logits)

    @classmethod
    def load(cls, checkpoint: Path, scene: Scene) -> ModelSteps:
        return cls(load_causal_lm(checkpoint, scene.device), scene)

    def _logits(self, number: int, frame: Frame) -> Tensor:
        return trie_logits(self.model, self.scene.tokens(number, frame), self.scene.tries[number])

    def context(self, number: int, frame: Frame) -> int:
        return len(self.scene.tokens(number, frame))


Contexts = Mapping[str, Sequence[Mapping[str, str]]]
"""By user: the pairs that a method sees, each with ``prompt, chosen, rejected``; empty at size 0."""


def created(registered: Mapping[str, type[Any]], settings: Mapping[str, Any]) -> Any:
    """The kind that settings name, made from the other settings."""
    return registered[settings["kind"]](**{name: value for name, value in settings.items() if name != "kind"})

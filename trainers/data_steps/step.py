"""Interface of data steps: their inputs, their results, and the registry of steps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar, Protocol

import numpy as np

from trainers.data.records import Example, Pair, ResponseGroup, Text
from trainers.registry import FACTS, Registry

MINIMUM_MARGIN = 1e-9
"""Rewards closer than this are a tie."""


@dataclass(frozen=True)
class StepNeeds:
    """Inputs that a data step declares; the plan provides them or names what is missing.

    Parameters
    ----------
    samples : bool
        Responses of a policy to the prompts of the pairs.
    user : bool
        The users' reward of every response, in nats: its differences are Bradley–Terry log-odds.
    designer : bool
        The designer reward R of every response.
    """

    samples: bool = False
    user: bool = False
    designer: bool = False


@dataclass(frozen=True)
class Responses:
    """K responses to each of N prompts with their rewards.

    Parameters
    ----------
    texts : sequence of sequences of str
        None where a policy gave no complete response.
    designer, user : ndarray, shape (N, K), or None
        NaN where there is no text.
    """

    texts: Sequence[Sequence[Text | None]]
    designer: np.ndarray | None = None
    user: np.ndarray | None = None

    @property
    def designer_rewards(self) -> np.ndarray:
        """The designer reward, which a step that declares it as a need always has."""
        return _required(self.designer, "the designer reward")

    @property
    def user_rewards(self) -> np.ndarray:
        """The users' reward, which a step that declares it as a need always has."""
        return _required(self.user, "the users' reward")

    def compound(self, user_weight: float, designer_weight: float) -> np.ndarray:
        """user_weight · user reward + designer_weight · R, shape (N, K); a weight of 0 needs no reward."""
        total = np.zeros((len(self.texts), len(self.texts[0])))
        for weight, reward in ((user_weight, self.user), (designer_weight, self.designer)):
            if weight:
                total = total + weight * _required(reward, "a reward")
        return total


def _required(reward: np.ndarray | None, name: str) -> np.ndarray:
    if reward is None:
        raise ValueError(f"the data step needs {name} of every response")
    return reward


@dataclass(frozen=True)
class Source:
    """Input of a data step: N pairs, their rewards, and samples of a policy for the same prompts.

    `dataset` has the chosen response in column 0 and the rejected one in column 1.
    """

    pairs: Sequence[Pair]
    dataset: Responses
    samples: Responses | None = None

    @property
    def sampled(self) -> Responses:
        """The samples, which a step that declares them as a need always has."""
        if self.samples is None:
            raise ValueError("the data step needs samples of a policy")
        return self.samples


@dataclass(frozen=True)
class Prepared:
    """Training data.

    Parameters
    ----------
    records : list of Pair, Example or ResponseGroup
    rewards : ndarray, shape (number of records, responses of each), or None
        R for the method.
    facts : mapping of str to float
        Figures about the step, kept beside the data; a condition may be made from them.
    """

    records: list[Pair] | list[Example] | list[ResponseGroup]
    rewards: np.ndarray | None = None
    facts: Mapping[str, float] = field(default_factory=dict)


class DataStep(Protocol):
    """Hyperparameters as fields, and a pure function from preference data to training data.

    The class docstring has the lines of a method's: ``Formula:``, ``Source:``, ``From memory:``, ``Cost:``.
    """

    needs: ClassVar[StepNeeds]
    sweep: ClassVar[str | None]
    """The hyperparameter that traces the step's trade-off, if it has one."""

    makes: ClassVar[type[Pair] | type[Example] | type[ResponseGroup]]
    tags: ClassVar[tuple[str, ...]]
    """Text that the step puts into prompts, which a tokenizer made for the data has to know."""

    def prepare(self, source: Source, rng: np.random.Generator) -> Prepared: ...


class ThirdResponse(DataStep, Protocol):
    """A data step whose pairs have a third response."""

    third_response: ClassVar[bool]


class Conditioning(DataStep, Protocol):
    """A data step whose policy is prompted, at generation, with a condition at the end of the prompt."""

    asks: ClassVar[tuple[str, ...]]
    """Hyperparameters that decide the condition alone: cells that differ only in them share one policy."""

    def condition(self, facts: Mapping[str, float]) -> str:
        """The condition for generation, from the facts of `prepare`."""


class Online(Conditioning, Protocol):
    """A conditioned step whose policy goes on to learn from its own samples, round after round."""

    def wishes(self, facts: Mapping[str, float], count: int, rng: np.random.Generator) -> list[str]:
        """Conditions for the samples of a round, from the facts of `prepare`."""

    def prepare_online(self, source: Source, rng: np.random.Generator) -> Prepared:
        """The data of a round, from the pairs and the samples drawn under `wishes`."""


STEPS: Registry[DataStep] = Registry("data step", ("needs", "sweep", "makes", "tags", "prepare"), FACTS)
register, create, steps = STEPS.register, STEPS.create, STEPS.all


def conditions(step: DataStep | type[DataStep]) -> bool:
    """Whether a step's policy is prompted with a condition."""
    return hasattr(step, "condition")


def is_online(step: object) -> bool:
    """Whether a step's policy learns from samples of its own in further rounds."""
    return hasattr(step, "prepare_online")


def ranked_pair(
    like: Pair, identifier: str, texts: Sequence[Text], rewards: Sequence[float] | np.ndarray
) -> Pair | None:
    """A pair of two responses, the one with the larger reward chosen; None for a tie or equal texts."""
    if texts[0] == texts[1] or abs(rewards[0] - rewards[1]) < MINIMUM_MARGIN:
        return None
    chosen, rejected = texts if rewards[0] > rewards[1] else (texts[1], texts[0])
    return Pair(identifier, like.prompt, chosen, rejected)

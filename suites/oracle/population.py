r"""A population of users in the oracle world: weights of tastes, their pairs, and the optimum of a few-shot method.

A taste :math:`b_k(x, y)` is a feature of the response, centred for each prompt and of unit variance under the behaviour
policy :math:`\mu`. User :math:`i` has the utility :math:`u_i = s \sum_k w_{ik} b_k` with weights :math:`w_i` drawn from a
Dirichlet distribution, and labels by Bradley-Terry with the world's noise :math:`T`, so that the reward
:math:`r_i = u_i/T` is linear in the weights. With tastes of both signs, two users can want the opposite.
"""

from __future__ import annotations

import difflib
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from scipy.special import expit, log_expit

from suites.oracle.grammar import CLOSING, ELABORATION, JARGON, OPENING, WRONG
from suites.oracle.judge import OracleJudge
from suites.oracle.truth import Array
from suites.oracle.world import World

TASTES = ("manners", "length", "plainness", "correctness")
"""Polite rather than insulting, long rather than short, plain rather than in jargon, right rather than wrong."""

SEED_STRIDE = 1_000_003
"""Distance of the seeds of two users' pairs; the first user has the seed itself."""


@dataclass(frozen=True)
class PopulationSpec:
    r"""Parameters of a population; equal ones give identical users, pairs and contexts.

    Parameters
    ----------
    seen : int
        Users whose pairs methods learn from.
    unseen : int
        Users that methods are measured on, each known by a context of pairs.
    alpha : float, in (0, inf)
        Concentration of the Dirichlet distribution of the weights; small values make users of one taste.
    signed : bool
        Whether each taste also occurs with the opposite sign. Weights are not negative, so that without it nobody
        dislikes what others like.
    scale : float, in (0, inf)
        :math:`s` in :math:`u_i = s \sum_k w_{ik} b_k`.
    context : int
        Pairs of each unseen user.
    seed : int
        Draws the weights, by a generator of its own.
    """

    seen: int = 64
    unseen: int = 32
    alpha: float = 0.3
    signed: bool = False
    scale: float = 0.8
    context: int = 16
    seed: int = 0

    def __post_init__(self) -> None:
        for name, least in (("seen", 1), ("unseen", 1), ("context", 0)):
            if getattr(self, name) < least:
                raise ValueError(f"{name} must be at least {least}, not {getattr(self, name)}")
        for name in ("alpha", "scale"):
            if not 0 < getattr(self, name) < np.inf:
                raise ValueError(f"{name} must be in (0, inf), not {getattr(self, name)}")
        if not 0 <= self.seed < 2**63:
            raise ValueError(f"seed must be in [0, 2^63), not {self.seed}")

    @property
    def tastes(self) -> tuple[str, ...]:
        """Names of the tastes; a leading minus marks the opposite of one."""
        return (*TASTES, *(f"-{name}" for name in TASTES)) if self.signed else TASTES

    @property
    def persons(self) -> tuple[str, ...]:
        """Ids of the users, the seen ones first."""
        digits = max(2, len(str(max(self.seen, self.unseen) - 1)))
        counts = (("seen", self.seen), ("unseen", self.unseen))
        return tuple(f"{kind}-{i:0{digits}d}" for kind, count in counts for i in range(count))

    @property
    def unseen_persons(self) -> tuple[str, ...]:
        """Ids of the users that methods are measured on."""
        return self.persons[self.seen :]


@dataclass(frozen=True, eq=False)
class Population:
    """Users with weights of tastes.

    Parameters
    ----------
    world : World
    spec : PopulationSpec
    tastes : ndarray, shape (K, P, 256)
        In the order of `PopulationSpec.tastes`.
    weights : ndarray, shape (U, K)
        Not negative, each row with sum 1.

    Examples
    --------
    >>> population = Population.build(World.build(), PopulationSpec(seen=3, unseen=2))
    >>> population.persons
    ('seen-00', 'seen-01', 'seen-02', 'unseen-00', 'unseen-01')
    >>> [row["user"] for row in population.pairs(3)]
    ['seen-00', 'seen-01', 'seen-02']
    >>> population.judge("unseen-00").name
    'oracle, unseen-00'
    """

    world: World
    spec: PopulationSpec
    tastes: Array
    weights: Array

    @classmethod
    def build(cls, world: World, spec: PopulationSpec = PopulationSpec()) -> Population:
        """Draw the users of a world."""
        tastes = taste_tables(world, spec.signed)
        rng = np.random.default_rng([world.spec.seed, zlib.crc32(b"population"), spec.seed])
        weights = rng.dirichlet(np.full(len(tastes), spec.alpha), spec.seen + spec.unseen)
        for array in (tastes, weights):
            array.setflags(write=False)
        return cls(world, spec, tastes, weights)

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the tastes."""
        return self.spec.tastes

    @property
    def persons(self) -> tuple[str, ...]:
        """Ids of the users, the seen ones first."""
        return self.spec.persons

    @property
    def seen(self) -> tuple[str, ...]:
        """Users whose pairs methods learn from."""
        return self.persons[: self.spec.seen]

    @property
    def unseen(self) -> tuple[str, ...]:
        """Users that methods are measured on."""
        return self.persons[self.spec.seen :]

    @cached_property
    def rewards(self) -> Array:
        r"""The tastes as rewards, :math:`s\,b_k/T`, shape (K, P, 256): a user's reward is their weighted sum."""
        return self.tastes * (self.spec.scale / self.world.spec.temperature)

    def weights_of(self, person: str) -> Array:
        """The weights of a user or of a taste, shape (K,); a taste is the user who has it alone.

        Raises
        ------
        ValueError
            For an unknown name, with the nearest one.
        """
        if person in self._rows:
            row: Array = self.weights[self._rows[person]]
            return row
        if person in self.names:
            alone: Array = np.eye(len(self.names))[self.names.index(person)]
            return alone
        near = difflib.get_close_matches(person, [*self.persons, *self.names], n=1, cutoff=0.0)[0]
        raise ValueError(f"{person!r} is no user of the population; did you mean {near!r}?")

    def reward(self, weights: Array) -> Array:
        r"""The reward :math:`r = \sum_k w_k s\,b_k/T` of some weights, shape (P, 256), nats."""
        reward: Array = np.tensordot(weights, self.rewards, axes=1)
        return reward

    def world_of(self, person: str) -> World:
        """The world in which this user alone labels: same prompts, same behaviour policy, the user's utility."""
        utility = self.spec.scale * np.tensordot(self.weights_of(person), self.tastes, axes=1)
        return replace(self.world, utility=utility)

    def judge(self, person: str) -> OracleJudge:
        """The user as a judge of pairs."""
        return OracleJudge(self.world_of(person), name=f"oracle, {person}")

    def pairs(self, n: int, seed: int = 0) -> list[dict[str, str]]:
        """``id, user, prompt, chosen, rejected``: `n` pairs in equal parts from the seen users, as `World.pairs`."""
        parts = np.array_split(np.arange(n), len(self.seen))
        return pairs_of({person: self.world_of(person) for person in self.seen}, [len(part) for part in parts], seed)

    def contexts(self, seed: int = 0) -> list[dict[str, str]]:
        """The pairs by which each unseen user is known, in the form of `pairs`; the first n are the context of size n.

        They are to training prompts, so none is to a prompt that a method is measured on.
        """
        worlds = {person: self.world_of(person) for person in self.unseen}
        rows = pairs_of(worlds, [self.spec.context] * len(worlds), seed + SEED_STRIDE * len(self.seen))
        return [{**row, "id": f"context-{i:06d}"} for i, row in enumerate(rows)]

    def differences(self, pairs: Sequence[Mapping[str, str]]) -> Array:
        r"""Differences of the tastes' rewards of pairs, chosen minus rejected, shape (n, K): log-odds are linear in w."""
        rows = [self.world.index(pair["prompt"]) for pair in pairs]
        columns = [[self._column(pair, side) for side in ("chosen", "rejected")] for pair in pairs]
        chosen, rejected = np.array(columns, dtype=int).reshape(-1, 2).T
        difference: Array = (self.rewards[:, rows, chosen] - self.rewards[:, rows, rejected]).T
        return difference

    def _column(self, pair: Mapping[str, str], side: str) -> int:
        column = self.world.parse(pair["prompt"], pair[side])
        if column is None:
            raise ValueError(f"pair {pair.get('id', '?')}: its {side} response {pair[side]!r} is off the grammar")
        return column

    @cached_property
    def _rows(self) -> dict[str, int]:
        return {person: row for row, person in enumerate(self.persons)}


def pairs_of(worlds: Mapping[str, World], counts: Sequence[int], seed: int = 0) -> list[dict[str, str]]:
    """Pairs of several users, each labelled in a world of the user's; the first user's are `World.pairs` of the seed.

    Examples
    --------
    >>> world = World.build()
    >>> [{k: v for k, v in row.items() if k != "user"} for row in pairs_of({"anyone": world}, [5])] == world.pairs(5)
    True
    """
    rows = [
        {"user": person, **row}
        for number, ((person, world), count) in enumerate(zip(worlds.items(), counts, strict=True))
        for row in world.pairs(count, seed + SEED_STRIDE * number)
    ]
    return [{**row, "id": f"pair-{i:06d}"} for i, row in enumerate(rows)]


def taste_tables(world: World, signed: bool = False) -> Array:
    """Tables of the tastes, shape (K, P, 256), with mean 0 and variance 1 under `mu` for every prompt."""
    manners = np.array([1.0, 0.0, -0.7, -1.0])[OPENING] + np.array([0.0, 0.7, -0.5, -0.7])[CLOSING]
    plainness = -1.0 * (JARGON + (ELABORATION == 3))
    words = np.array([[len(text.split()) for text in world.responses(x)] for x in range(len(world.prompts))], float)
    raw = np.stack([np.broadcast_to(table, world.mu.shape) for table in (manners, words, plainness, 1.0 - WRONG)])
    centred = raw - (world.mu * raw).sum(axis=2, keepdims=True)
    tastes = centred / np.sqrt((world.mu * centred**2).sum(axis=2, keepdims=True))
    return np.concatenate([tastes, -tastes]) if signed else tastes


@dataclass(frozen=True, eq=False)
class Prior:
    r"""Draws from the Dirichlet distribution of the users' weights, for posterior means by importance weights.

    A reward is linear in the weights, so in :math:`E\,r - \beta\,KL` no method that sees a context :math:`C` does better on
    average than the tilt of :math:`\mu` by the reward of the posterior mean :math:`E[w \mid C]`.

    Examples
    --------
    >>> import numpy as np
    >>> prior = Prior.draw(PopulationSpec(), tastes=4)
    >>> mean, effective = prior.posterior_mean(np.zeros((0, 4)))
    >>> bool(np.all(np.abs(mean - 0.25) < 0.01)), effective
    (True, 50000.0)
    """

    weights: Array
    """Shape (draws, K)."""

    @classmethod
    def draw(cls, spec: PopulationSpec, tastes: int, draws: int = 50_000) -> Prior:
        """Draws that do not depend on the users."""
        rng = np.random.default_rng([zlib.crc32(b"prior"), draws])
        return cls(rng.dirichlet(np.full(tastes, spec.alpha), draws))

    def posterior_mean(self, differences: Array) -> tuple[Array, float]:
        r"""Posterior mean of the weights given pairs, and the effective number of draws :math:`1/\sum_j \omega_j^2`.

        Parameters
        ----------
        differences : ndarray, shape (n, K)
            Of the pairs (`Population.differences`); n may be 0.
        """
        log_likelihood = log_expit(self.weights @ differences.T).sum(axis=1)
        likelihood = np.exp(log_likelihood - log_likelihood.max())
        omega = likelihood / likelihood.sum()
        return omega @ self.weights, float(1.0 / (omega @ omega))


def label_agreement(mu: Array, reward: Array) -> float:
    r"""Share of labels that select the better of two draws from `mu`, :math:`E \max(\sigma, 1-\sigma)`: the ceiling of accuracy."""
    means = [m @ expit(np.abs(r[:, None] - r[None, :])) @ m for r, m in zip(reward, mu, strict=True)]
    return float(np.mean(means))

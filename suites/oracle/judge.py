"""The oracle world's users as a judge."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.special import expit

from suites.judges.protocol import Verdict
from suites.oracle.world import World
from trainers.tokens.dialogue import Text, readable

if TYPE_CHECKING:
    from suites.judges.registry import Reward

OFF_GRAMMAR = -1e6
"""Reward of a text off the grammar: so low that it wins with probability 0 exactly, and 1/2 against its like."""


@dataclass(frozen=True, eq=False)
class OracleJudge:
    r"""Probability that a user prefers the first response, exactly: :math:`\sigma((u_1 - u_2)/T)`.

    A text off the grammar loses against any on it; two texts off it tie.

    Parameters
    ----------
    world : World
    user : int, optional
        Ask one user for each pair instead of infinitely many: verdicts are 0 or 1, sampled with this seed
        and 1/2 for equal texts. Asked twice about the same list, the user says the same.

    Examples
    --------
    >>> from suites.oracle.world import World
    >>> world = World.build()
    >>> responses = world.responses(0)
    >>> judge = OracleJudge(world)
    >>> prompt = world.prompts[0].text
    >>> [v.p_first for v in judge.prefer([prompt] * 3, [responses[1]] * 3, [responses[1], "hm", responses[1]])]
    [0.5, 1.0, 0.5]
    """

    world: World
    user: int | None = None
    name: str = "oracle"

    @property
    def revision(self) -> str:
        """What the verdicts depend on."""
        spec = self.world.spec
        asked = "panel" if self.user is None else f"user {self.user}"
        return f"seed {spec.seed}, temperature {spec.temperature}, {asked}"

    def prefer(self, prompts: Sequence[str], first: Sequence[str], second: Sequence[str]) -> list[Verdict]:
        """One verdict for each pair; ValueError for a prompt that is not of this world."""
        if not len(prompts) == len(first) == len(second):
            raise ValueError(f"{len(prompts)} prompts for {len(first)} first and {len(second)} second responses")
        rewards = np.array(
            [[self._reward(x, a), self._reward(x, b)] for x, a, b in zip(prompts, first, second, strict=True)]
        ).reshape(-1, 2)
        p = expit(rewards[:, 0] - rewards[:, 1])
        if self.user is not None:
            draws = np.random.default_rng([self.world.spec.seed, self.user]).random(len(p))
            p = np.where(p == 0.5, 0.5, draws < p)
        return [Verdict(float(value)) for value in p]

    def _reward(self, prompt: str, text: str) -> float:
        row, column = self.world.index(prompt), self.world.parse(prompt, text)
        return OFF_GRAMMAR if column is None else self.world.reward[row, column]


def oracle_reward(world: World) -> Reward:
    """The preference reward r_p of the world's users; a text off the grammar has its prompt's lowest.

    Examples
    --------
    >>> from suites.oracle.world import World
    >>> world = World.build()
    >>> prompt, response = world.prompts[0].text, world.responses(0)[3]
    >>> rewards = oracle_reward(world)([prompt, prompt], [response, "hm"])
    >>> bool(rewards[0] == world.reward[0, 3]), bool(rewards[1] == world.reward[0].min())
    (True, True)
    """

    def rewards(prompts: Sequence[Text], responses: Sequence[str]) -> np.ndarray:
        asked = [readable(prompt) for prompt in prompts]
        rows = [world.index(prompt) for prompt in asked]
        columns = [world.parse(*texts) for texts in zip(asked, responses, strict=True)]
        return np.array(
            [
                world.reward[row].min() if column is None else world.reward[row, column]
                for row, column in zip(rows, columns, strict=True)
            ]
        )

    return rewards

r"""Models of a prompt search in the oracle world: a policy answers, tastes are the aspects, phrases make the prompts.

A prompt is a set of at most `MOST` phrases (`suites.oracle.instructions`). The judge scores a taste of an answer by the quantile
of :math:`b_k(x, y)` under :math:`\mu`, and the optimiser adds, drops or exchanges one phrase in view of the lowest score.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any

import numpy as np

from harness.inputs.steering.scene import Scene
from harness.store.calls import Calls
from suites.oracle.instructions import PHRASES, instruction
from suites.oracle.truth import Array
from suites.prompt_search import LARGEST, Step
from trainers.tokens.framing import Frame

MOST = 3
"""Phrases of a prompt."""
FEWEST_ASPECTS, MOST_ASPECTS = 2, 5


@dataclass(frozen=True, eq=False)
class OracleRoles:
    """Roles of `suites.prompt_search` for the prompts of a scene; deterministic given the seed.

    Parameters
    ----------
    scene : Scene
        Its prompts are the queries; its policy ``base`` answers.
    weights : ndarray, shape (K,)
        How much each taste matters to the population; the judge selects the two to five that matter more than the mean.
    seed : int
    """

    scene: Scene
    weights: Array
    seed: int = 0

    def aspects(self, query: str) -> Sequence[str]:
        """The tastes that matter most, which are the same for every query of this world."""
        return self._aspects

    def answer(self, prompt: str, query: str) -> str:
        """A draw from the policy behind the prompt, given that it is on the grammar."""
        number = self._numbers[query]
        cumulative = np.exp(self._logps(prompt, number)).cumsum()
        u = self._rng("answer", prompt, query).random() * cumulative[-1]
        return self._responses(number)[int(np.searchsorted(cumulative, u, side="right"))]

    def evaluate(self, query: str, answer: str, aspects: Sequence[str]) -> Mapping[str, float]:
        r"""``1 + 4 F(b_k(x, y))`` for each aspect, F the mid-distribution function of the taste under :math:`\mu`."""
        number = self._numbers[query]
        y = self._responses(number).index(answer)
        return {aspect: 1.0 + (LARGEST - 1.0) * float(self._quantiles[aspect][number, y]) for aspect in aspects}

    def propose(self, step: Step, earlier: Sequence[str], count: int) -> Sequence[str]:
        """Sets with one phrase added, dropped or exchanged for the lowest aspect, not those tried before if possible."""
        assert step.scores
        rng = self._rng("propose", step.prompt, step.query)
        lowest = min(step.scores, key=lambda aspect: step.scores[aspect] if step.scores else 0.0)
        present = tastes_of(step.prompt)
        moves = [_with(present, lowest), [taste for taste in present if taste != _opposite(lowest)]]
        moves += [_with([each for each in present if each != taste], lowest) for taste in present]
        moves += [[each for each in present if each != taste] for taste in present]
        prompts = [instruction(in_order(move)) for move in moves if len(move) <= MOST]
        fresh = [each for each in dict.fromkeys(prompts) if each != step.prompt and each not in earlier]
        return [fresh[row] for row in rng.permutation(len(fresh))[:count]] or [step.prompt]

    @cached_property
    def _aspects(self) -> list[str]:
        names = self.scene.population.names
        order = sorted(range(len(names)), key=lambda k: -self.weights[k])
        above = [k for k in order if self.weights[k] > self.weights.mean()]
        return [names[k] for k in order[: min(max(len(above), FEWEST_ASPECTS), MOST_ASPECTS)]]

    @cached_property
    def _quantiles(self) -> dict[str, Array]:
        names, tastes = self.scene.population.names, self.scene.population.tastes[:, self.scene.rows]
        return {name: mid_quantiles(taste, self.scene.mu) for name, taste in zip(names, tastes, strict=True)}

    @cached_property
    def _numbers(self) -> dict[str, int]:
        return {query: number for number, query in enumerate(self.scene.prompts)}

    def _responses(self, number: int) -> Sequence[str]:
        return self.scene.population.world.responses(int(self.scene.rows[number]))

    @lru_cache(maxsize=1024)  # noqa: B019  # lives as long as the search
    def _logps(self, prompt: str, number: int) -> Array:
        """Log-probabilities of a query's responses behind a prompt, shape (256,)."""
        import torch

        logits = self.scene.steps["base"].logits(number, Frame(prompt))
        logps = torch.log_softmax(logits.double(), dim=-1).numpy(force=True)
        return self.scene.tries[number].table(logps)

    def _rng(self, *about: str) -> np.random.Generator:
        return np.random.default_rng([self.seed, zlib.crc32("\n".join(about).encode())])


@dataclass(frozen=True)
class Logged:
    """Roles whose calls are kept in a log and replayed from it."""

    roles: Any
    calls: Calls

    def aspects(self, query: str) -> Sequence[str]:
        return list(self.calls("aspects", query, lambda: list(self.roles.aspects(query))))

    def answer(self, prompt: str, query: str) -> str:
        return str(self.calls("answer", [prompt, query], lambda: self.roles.answer(prompt, query)))

    def evaluate(self, query: str, answer: str, aspects: Sequence[str]) -> Mapping[str, float] | None:
        request = [query, answer, list(aspects)]
        scores: Mapping[str, float] | None = self.calls(
            "evaluate", request, lambda: self.roles.evaluate(query, answer, aspects)
        )
        return scores

    def propose(self, step: Step, earlier: Sequence[str], count: int) -> Sequence[str | None]:
        request = [step.prompt, step.query, step.answer, step.scores, list(earlier), count]
        return list(self.calls("propose", request, lambda: list(self.roles.propose(step, earlier, count))))


def mid_quantiles(values: Array, mu: Array) -> Array:
    r"""The mid-distribution function of values under a policy, :math:`P(v' < v) + P(v' = v)/2`, shape (P, Y).

    Examples
    --------
    >>> mid_quantiles(np.array([[1.0, 2.0, 2.0]]), np.array([[0.5, 0.25, 0.25]])).tolist()
    [[0.25, 0.75, 0.75]]
    """
    below = values[:, None, :] < values[:, :, None]
    equal = values[:, None, :] == values[:, :, None]
    quantiles: Array = ((below + 0.5 * equal) * mu[:, None, :]).sum(axis=2)
    return quantiles


def tastes_of(prompt: str) -> list[str]:
    """The tastes that a prompt of phrases asks for.

    Examples
    --------
    >>> tastes_of(instruction(["-length", "manners"]))
    ['manners', '-length']
    """
    return [taste for taste, phrase in PHRASES.items() if phrase in prompt]


def in_order(tastes: Sequence[str]) -> list[str]:
    """Tastes in the order of `PHRASES`, each once, so that a set of phrases has one prompt."""
    return [taste for taste in PHRASES if taste in tastes]


def _opposite(taste: str) -> str:
    return taste.removeprefix("-") if taste.startswith("-") else f"-{taste}"


def _with(tastes: Sequence[str], taste: str) -> list[str]:
    return [*(each for each in tastes if each not in (taste, _opposite(taste))), taste]

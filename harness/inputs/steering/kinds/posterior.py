"""Known tastes with unknown weights: the posterior mean of a user's weights."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from harness.inputs.steering.registry import register
from harness.inputs.steering.scene import Contexts, Scene
from suites.decoding.registry import Guess
from suites.oracle.instructions import instruction
from suites.oracle.population import Prior
from trainers.tokens.framing import Frame


@register("posterior")
@dataclass(frozen=True)
class Posterior:
    r"""Known tastes with unknown weights: the posterior mean of a user's weights.

    Formula: w̄ = E[w | context] under the population's prior, by importance weights; reward w̄·b/T; the frame asks for the tastes
    whose weight is above their prior mean, the largest first, at most `phrases`.
    Source: Bayes' theorem; the reward is linear in w, so that the tilt by w̄ is the best few-shot policy.
    From memory: nothing.
    Cost: no training; the tastes have to be measurable.
    """

    phrases: int = 1

    gives: ClassVar[tuple[str, ...]] = ("weights", "reward", "frame")
    trained: ClassVar[str | None] = None

    def guesses(self, scene: Scene, contexts: Contexts) -> dict[str, Guess]:
        prior = Prior.draw(scene.population.spec, len(scene.population.names))
        by_pairs = {tuple(pair["id"] for pair in pairs): pairs for pairs in contexts.values()}
        known = {ids: self._guess(scene, prior, pairs) for ids, pairs in by_pairs.items()}
        return {user: known[tuple(pair["id"] for pair in pairs)] for user, pairs in contexts.items()}

    def _guess(self, scene: Scene, prior: Prior, pairs: Sequence[Mapping[str, str]]) -> Guess:
        mean, _ = prior.posterior_mean(scene.population.differences(pairs))
        weights = dict(zip(scene.population.names, mean.tolist(), strict=True))
        return Guess(weights, scene.reward(mean), Frame(instruction(self._asked(weights))))

    def _asked(self, weights: dict[str, float]) -> list[str]:
        """Tastes to ask for; the prior mean is equal for all, up to the error of its draws."""
        order = sorted(weights, key=lambda taste: -weights[taste])
        return [taste for taste in order if weights[taste] > 1.05 * np.mean(list(weights.values()))][: self.phrases]

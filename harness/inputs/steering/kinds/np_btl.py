"""NP-BTL: a reward conditioned on a context of pairs by a neural process."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from harness.inputs.steering.features import features_of_context, features_of_responses, require_features
from harness.inputs.steering.pairs import context_pairs
from harness.inputs.steering.registry import register
from harness.inputs.steering.scene import Contexts, Scene
from suites.decoding.registry import Guess
from trainers.checks import check_counts, check_ranges

if TYPE_CHECKING:
    from trainers.personal.np_btl import NeuralRewardFit


@register("np_btl")
@dataclass(frozen=True)
class NPBTL:
    r"""NP-BTL: a reward conditioned on a context of pairs by a neural process.

    Formula: r(x, y | C) = d([h(e), z(C)]), −log σ(r_w − r_l) on pairs that are not in C, |C| from 0 to 8.
    Source: arXiv 2412.13998 and its code; VPL, arXiv 2408.10075, where `kl` is set.
    From memory: nothing. Own here: z(∅) = 0, a mean in place of the sum over pairs, neither batch normalisation nor dropout.
    Cost: one training run for all users; a forward pass for a new user; a decoding kind that uses a reward.

    Parameters
    ----------
    width : int, a multiple of 8
        Of z and of the hidden layers.
    learning_rate : float, in (0, inf)
    steps : int, at least 1
    kl : float, in [0, inf), optional
        β_KL of a variational z (VPL); None for NP-BTL.
    features : {"states", "tastes"}
        e: last states of the base, or the world's own tastes.
    """

    width: int = 64
    learning_rate: float = 1e-3
    steps: int = 1000
    kl: float | None = None
    features: str = "states"

    gives: ClassVar[tuple[str, ...]] = ("reward",)
    trained: ClassVar[str | None] = "train_np_btl"

    def __post_init__(self) -> None:
        check_counts(self, width=8, steps=1)
        check_ranges(self, learning_rate="(0, inf)", **({} if self.kl is None else {"kl": "[0, inf)"}))
        require_features(self.features)
        if self.width % 8:
            raise ValueError(f"width must be a multiple of 8, not {self.width}")

    @property
    def fit(self) -> NeuralRewardFit:
        """Settings of the fit."""
        from trainers.personal.np_btl import NeuralRewardFit

        return NeuralRewardFit(self.width, self.learning_rate, self.steps, kl=self.kl)

    def guesses(self, scene: Scene, contexts: Contexts) -> dict[str, Guess]:
        import numpy as np

        from trainers.personal.np_btl import load_neural_reward, rewards_of_contexts

        assert scene.trained is not None
        reward, standard = load_neural_reward(scene.trained)
        pairs, owners = context_pairs(contexts)
        features = standard(features_of_context(self.features, scene, pairs))
        of_users = [np.flatnonzero(owners == number) for number in range(len(contexts))]
        responses = standard(features_of_responses(self.features, scene))
        tables = rewards_of_contexts(reward, features, of_users, responses)
        return {user: Guess(reward=table) for user, table in zip(contexts, tables, strict=True)}

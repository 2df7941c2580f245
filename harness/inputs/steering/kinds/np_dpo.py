"""NP-DPO: a policy conditioned on a context of pairs by modulation of its layers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from harness.inputs.steering.features import features_of_context
from harness.inputs.steering.pairs import context_pairs
from harness.inputs.steering.registry import register
from harness.inputs.steering.scene import Contexts, Scene
from harness.store.names import CHECKPOINT
from suites.decoding.registry import Guess
from suites.oracle.trie import trie_logits
from trainers.checks import check_counts, check_ranges
from trainers.tokens.framing import Frame

if TYPE_CHECKING:
    from torch import Tensor

    from trainers.personal.np_dpo import SteeredPolicy


@register("np_dpo")
@dataclass(frozen=True)
class NPDPO:
    r"""NP-DPO: a policy conditioned on a context of pairs by modulation of its layers.

    Formula: −log σ(β(Δ_C − Δ_ref)) on pairs that are not in C, |C| from 0 to 8; h ← (1 + Γz) ⊙ h + Bz after every layer, z = z(C).
    Source: arXiv 2412.13998 and its code.
    From memory: nothing. Own here: z(∅) = 0, which leaves the policy unconditioned; all weights are trained.
    Cost: one training run for all users; a forward pass for a new user.

    Parameters
    ----------
    beta : float, in (0, inf)
    width : int, a multiple of 8
        Of z.
    learning_rate : float, in (0, inf)
    epochs : int, at least 1
        Passes over the pairs of the seen users.
    """

    beta: float = 0.5
    width: int = 64
    learning_rate: float = 2e-4
    epochs: int = 2

    gives: ClassVar[tuple[str, ...]] = ("policies",)
    trained: ClassVar[str | None] = "train_np_dpo"

    def __post_init__(self) -> None:
        check_counts(self, width=8, epochs=1)
        check_ranges(self, beta="(0, inf)", learning_rate="(0, inf)")
        if self.width % 8:
            raise ValueError(f"width must be a multiple of 8, not {self.width}")

    def guesses(self, scene: Scene, contexts: Contexts) -> dict[str, Guess]:
        from trainers.personal.np_dpo import load_steered

        assert scene.trained is not None
        policy, standard = load_steered(scene.trained / CHECKPOINT, scene.device)
        pairs, owners = context_pairs(contexts)
        if not pairs:
            # All users share one guess, so that it is measured once.
            return dict.fromkeys(contexts, _guess(policy, policy.vectors(np.zeros((0, 2, 1)), [owners])[0], scene))
        features = standard(features_of_context("states", scene, pairs))
        vectors = policy.vectors(features, [np.flatnonzero(owners == number) for number in range(len(contexts))])
        return {user: _guess(policy, z, scene) for user, z in zip(contexts, vectors, strict=True)}


def _guess(policy: SteeredPolicy, z: Tensor, scene: Scene) -> Guess:
    return Guess(policies={"base": SteeredSteps(policy, z, scene)})


@dataclass(frozen=True, eq=False)
class SteeredSteps:
    """A policy modulated by the vector of a context, as a `StepPolicy`."""

    policy: SteeredPolicy
    z: Tensor
    scene: Scene

    def logits(self, number: int, frame: Frame) -> Tensor:
        model: Any = self.policy.model
        with self.policy.steering.modulation.on(model, self.z[None, None]):
            return trie_logits(model, self.scene.tokens(number, frame), self.scene.tries[number])

    def context(self, number: int, frame: Frame) -> int:
        return len(self.scene.tokens(number, frame))

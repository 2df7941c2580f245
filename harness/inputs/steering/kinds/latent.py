"""Latent embedding adaptation: a soft prompt in front of a frozen policy, fitted to a user's pairs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from harness.inputs.steering.registry import register
from harness.inputs.steering.scene import Contexts, ModelSteps, Scene
from suites.decoding.registry import Guess
from trainers.checks import check_counts, check_ranges

if TYPE_CHECKING:
    from trainers.personal.soft_prompt import Loss, PromptFit


@register("latent")
@dataclass(frozen=True)
class Latent:
    r"""Latent embedding adaptation: a soft prompt in front of a frozen policy, fitted to a user's pairs.

    Formula: −log σ(β(Δ_z − Δ_base)) + λ‖z − z_0‖² over z ∈ R^{m×h}; z_0 from the pairs of all seen users.
    Source: arXiv 2503.18347, as its analogue for language models: the likelihood of a response stands in for the denoising error of
    a diffusion planner.
    From memory: nothing; loss, sizes and rates are own.
    Cost: one fit of z_0; m·h numbers and some gradient steps for each user; m more tokens in front of every prompt.

    Parameters
    ----------
    tokens : int, at least 0
        m; 0 is the base.
    beta : float, in (0, inf)
    distance : float, in [0, inf)
        λ.
    learning_rate : float, in (0, inf)
        Of Adam.
    steps : int, at least 1
    """

    tokens: int = 4
    beta: float = 0.5
    distance: float = 0.01
    learning_rate: float = 0.05
    steps: int = 60

    gives: ClassVar[tuple[str, ...]] = ("policies",)
    trained: ClassVar[str | None] = "train_latent"

    def __post_init__(self) -> None:
        check_counts(self, tokens=0, steps=1)
        check_ranges(self, beta="(0, inf)", distance="[0, inf)", learning_rate="(0, inf)")

    @property
    def fit(self) -> PromptFit:
        """Settings of the fits."""
        from trainers.personal.soft_prompt import PromptFit

        return PromptFit(self.tokens, self.beta, self.distance, self.learning_rate, self.steps)

    @property
    def losses(self) -> dict[str, Loss]:
        """The loss of each soft prompt, by the prompt's name."""
        from trainers.personal.soft_prompt import dpo_loss

        return {"preferred": dpo_loss(self.beta)}

    def guesses(self, scene: Scene, contexts: Contexts) -> dict[str, Guess]:
        from harness.inputs.steering.soft_prompts import PromptedSteps, fitted_prompts

        assert scene.trained_on is not None
        steps = ModelSteps.load(scene.trained_on, scene)
        prompts = fitted_prompts(scene, contexts, self.losses["preferred"], "preferred", self.fit)
        shared = {id(z): Guess(policies={"base": PromptedSteps(steps, z)}) for z in prompts}
        return {user: shared[id(z)] for user, z in zip(contexts, prompts, strict=True)}

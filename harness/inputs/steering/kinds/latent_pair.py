"""Latent embedding adaptation with two soft prompts: one of a user's chosen responses, one of the rejected ones."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from harness.inputs.steering.registry import register
from harness.inputs.steering.scene import Contexts, ModelSteps, Scene
from suites.decoding.kinds.winner_loser import LOSER
from suites.decoding.registry import Guess
from trainers.checks import check_counts, check_ranges

if TYPE_CHECKING:
    from trainers.personal.soft_prompt import Loss, PromptFit


@register("latent_pair")
@dataclass(frozen=True)
class LatentPair:
    r"""Latent embedding adaptation with two soft prompts: one of a user's chosen responses, one of the rejected ones.

    Formula: −log π(y_w | z_w, x) + λ‖z_w − z_0w‖² and −log π(y_l | z_l, x) + λ‖z_l − z_0l‖²; decoded as (1 + c)·z_w − c·z_l by the
    decoding kind `winner_loser`.
    Source: arXiv 2503.18347, as its analogue for language models, see `latent`.
    From memory: nothing; loss, sizes and rates are own.
    Cost: that of `latent` twice, and 2 forward passes for each token.

    Parameters
    ----------
    tokens : int, at least 0
        m, of each prompt.
    distance : float, in [0, inf)
        λ.
    learning_rate : float, in (0, inf)
        Of Adam.
    steps : int, at least 1
    """

    tokens: int = 4
    distance: float = 0.01
    learning_rate: float = 0.05
    steps: int = 60

    gives: ClassVar[tuple[str, ...]] = ("policies", "loser")
    trained: ClassVar[str | None] = "train_latent_pair"

    def __post_init__(self) -> None:
        check_counts(self, tokens=0, steps=1)
        check_ranges(self, distance="[0, inf)", learning_rate="(0, inf)")

    @property
    def fit(self) -> PromptFit:
        """Settings of the fits."""
        from trainers.personal.soft_prompt import PromptFit

        return PromptFit(self.tokens, distance=self.distance, learning_rate=self.learning_rate, steps=self.steps)

    @property
    def losses(self) -> dict[str, Loss]:
        """The loss of each soft prompt, by the role of its policy."""
        from trainers.personal.soft_prompt import chosen_loss, rejected_loss

        return {"base": chosen_loss, LOSER: rejected_loss}

    def guesses(self, scene: Scene, contexts: Contexts) -> dict[str, Guess]:
        from harness.inputs.steering.soft_prompts import PromptedSteps, fitted_prompts

        assert scene.trained_on is not None
        steps = ModelSteps.load(scene.trained_on, scene)
        prompts = {role: fitted_prompts(scene, contexts, loss, role, self.fit) for role, loss in self.losses.items()}
        shared: dict[int, Guess] = {}
        guesses = {}
        for number, user in enumerate(contexts):
            own = {role: PromptedSteps(steps, of_users[number]) for role, of_users in prompts.items()}
            guesses[user] = shared.setdefault(id(prompts["base"][number]), Guess(policies=own))
        return guesses

"""LoRe: a user's reward as a convex combination of a few basis rewards."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from harness.inputs.steering.features import features_of_context, features_of_responses, require_features
from harness.inputs.steering.pairs import context_pairs
from harness.inputs.steering.registry import register
from harness.inputs.steering.scene import Contexts, Scene
from suites.decoding.registry import Guess
from trainers.checks import check_counts, check_ranges

if TYPE_CHECKING:
    from trainers.personal.features import Standardisation
    from trainers.personal.lore import LoRe as Fitted


@register("lore")
@dataclass(frozen=True)
class LoRe:
    r"""LoRe: a user's reward as a convex combination of a few basis rewards.

    Formula: r_i = w_iᵀVᵀe, w_i = softmax(ω_i); V and the seen users' ω_i by the Bradley–Terry loss of their pairs, a new user's ω_i
    with V fixed.
    Source: arXiv 2504.14439 and its figures.
    From memory: nothing. Own here: standardised features with a ridge, and a new user's ½ρ‖ω − ω̄‖², so that a user without pairs has
    the seen users' mean weights; ρ = 0 is the paper's fit.
    Cost: seconds for the bases and a fit of B numbers for each user; a decoding kind that uses a reward.

    Parameters
    ----------
    rank : int, at least 1
        B, the number of basis rewards.
    ridge : float, in [0, inf)
        Of V.
    prior : float, in [0, inf)
        ρ.
    features : {"states", "tastes"}
        e: last states of the base, or the world's own tastes, which no other method is given.
    """

    rank: int = 8
    ridge: float = 1e-3
    prior: float = 1.0
    features: str = "states"

    gives: ClassVar[tuple[str, ...]] = ("reward",)
    trained: ClassVar[str | None] = "train_lore"

    def __post_init__(self) -> None:
        check_counts(self, rank=1)
        check_ranges(self, ridge="[0, inf)", prior="[0, inf)")
        require_features(self.features)

    def guesses(self, scene: Scene, contexts: Contexts) -> dict[str, Guess]:
        from trainers.personal.lore import adapt_lore

        assert scene.trained is not None
        lore, standard = load_lore(scene.trained)
        pairs, owners = context_pairs(contexts)
        features = standard(features_of_context(self.features, scene, pairs))
        weights = adapt_lore(lore, features[:, 0] - features[:, 1], owners, len(contexts), self.prior)
        responses = standard(features_of_responses(self.features, scene))
        return {user: Guess(reward=lore.reward(responses, w)) for user, w in zip(contexts, weights, strict=True)}


FILE = "lore.safetensors"


def save_lore(out: Path, lore: Fitted, standard: Standardisation) -> None:
    """Write basis rewards, the seen users' weights and the standardisation of their features."""
    from safetensors.numpy import save_file

    save_file({**vars(lore), **vars(standard)}, out / FILE)


def load_lore(folder: Path) -> tuple[Fitted, Standardisation]:
    """What `save_lore` wrote."""
    from safetensors.numpy import load_file

    from trainers.personal.features import Standardisation
    from trainers.personal.lore import LoRe as Fitted

    saved = load_file(folder / FILE)
    return Fitted(saved["bases"], saved["weights"]), Standardisation(saved["mean"], saved["scale"])

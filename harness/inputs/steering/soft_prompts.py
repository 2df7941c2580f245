"""Policies behind soft prompts, and the fits of a steer kind's users."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from harness.inputs.steering.pairs import context_pairs, seen_pairs
from harness.inputs.steering.scene import Contexts, ModelSteps, Scene
from suites.oracle.trie import trie_logits
from trainers.tokens.framing import Frame

if TYPE_CHECKING:
    from torch import Tensor

    from trainers.personal.soft_prompt import Loss, PromptFit

FILE = "centres.safetensors"


@dataclass(frozen=True, eq=False)
class PromptedSteps:
    """A model behind a soft prompt z, shape (m, h), as a `StepPolicy`."""

    steps: ModelSteps
    z: Tensor

    def logits(self, number: int, frame: Frame) -> Tensor:
        scene = self.steps.scene
        return trie_logits(self.steps.model, scene.tokens(number, frame), scene.tries[number], self.z)

    def context(self, number: int, frame: Frame) -> int:
        return self.steps.context(number, frame) + len(self.z)


def fitted_prompts(scene: Scene, contexts: Contexts, loss: Loss, centre: str, fit: PromptFit) -> list[Tensor]:
    """The soft prompt of each user, in the order of `contexts`; users without pairs share one tensor."""
    from safetensors.torch import load_file

    from trainers.data.tokenizer import load_tokenizer
    from trainers.model.loading import context_length, load
    from trainers.personal.features import encode_whole
    from trainers.personal.soft_prompt import PromptPairs, fit_users

    assert scene.trained is not None and scene.trained_on is not None
    z = load_file(scene.trained / FILE, device=scene.device)[centre]
    pairs, owners = context_pairs(contexts)
    if not pairs:
        return [z] * len(contexts)
    model = load(scene.trained_on, scene.device)
    encoded = encode_whole(pairs, load_tokenizer(scene.trained_on), context_length(model))
    return list(fit_users(PromptPairs(model, encoded, owners), z, len(contexts), loss, fit))


def fit_centres(
    base: Path, data: Path, losses: dict[str, Loss], fit: PromptFit, seed: int, device: str
) -> dict[str, Tensor]:
    """The soft prompt of all seen users for each loss, by name."""
    from trainers.data.tokenizer import load_tokenizer
    from trainers.model.loading import context_length, load
    from trainers.personal.features import encode_whole
    from trainers.personal.soft_prompt import PromptPairs, fit_centre

    pairs, owners = seen_pairs(data)
    model = load(base, device)
    some = PromptPairs(model, encode_whole(pairs, load_tokenizer(base), context_length(model)), owners)
    return {name: fit_centre(some, loss, fit, seed) for name, loss in losses.items()}

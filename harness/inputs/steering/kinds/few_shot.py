"""Few-shot prompts: the user's chosen responses as examples in front of the prompt."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

from harness.inputs.steering.registry import register
from harness.inputs.steering.scene import Contexts, Scene
from suites.decoding.registry import Guess
from trainers.tokens.framing import Frame


@register("few_shot")
@dataclass(frozen=True)
class FewShot:
    """Few-shot prompts: the user's chosen responses as examples in front of the prompt.

    Formula: π(y | x_1 y_1 … x_n y_n x), y_i the chosen responses of the context.
    Source: in-context learning; URIAL, arXiv 2312.01552, with the user's own examples.
    From memory: nothing.
    Cost: a longer prompt.
    """

    gives: ClassVar[tuple[str, ...]] = ("frame",)
    trained: ClassVar[str | None] = None

    def guesses(self, scene: Scene, contexts: Contexts) -> dict[str, Guess]:
        return {user: Guess(frame=Frame(examples(pairs))) for user, pairs in contexts.items()}


def examples(pairs: Sequence[Mapping[str, str]]) -> str:
    """The prompts of some pairs with their chosen responses.

    Examples
    --------
    >>> examples([{"prompt": "who is it ?", "chosen": " me .", "rejected": " no ."}])
    'who is it ? me . '
    """
    return "".join(f"{pair['prompt']}{pair['chosen']} " for pair in pairs)

"""Dynamic Rewarding with Prompt Optimization: one prompt for all users, found by a beam search."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import ClassVar

from harness.inputs.steering.registry import register
from harness.inputs.steering.scene import Contexts, Scene
from suites.decoding.registry import Guess
from suites.prompt_search import SearchSettings
from trainers.tokens.framing import Frame


@register("drpo")
@dataclass(frozen=True)
class DRPO(SearchSettings):
    """Dynamic Rewarding with Prompt Optimization: one prompt for all users, found by a beam search.

    Formula: beams of prompts ranked by the mean over their levels of the judge's mean aspect score (1 to 5); the prompts of the final
        beam are compared once more on held-out queries.
    Source: arXiv 2411.08733 and the authors' code: depth 20, beam 2, 3 actions, at most 10 more levels for skipped revisions. The
        comparison on held-out queries is added here; the stage of retrieved examples is left out.
    From memory: nothing.
    Cost: no training; up to 1 + 30·B·n answers and evaluations.

    In the oracle world a prompt is a set of at most three phrases, the aspects are the tastes, and they matter as they do to the mean of the
    seen users. The prompt is for all users, so that contexts have no influence.
    """

    gives: ClassVar[tuple[str, ...]] = ("frame",)
    trained: ClassVar[str | None] = "prompt_search"

    def guesses(self, scene: Scene, contexts: Contexts) -> dict[str, Guess]:
        assert scene.trained is not None
        result = json.loads((scene.trained / "search.json").read_text(encoding="utf-8"))
        guess = Guess(frame=Frame(result["prompt"]))
        return dict.fromkeys(contexts, guess)

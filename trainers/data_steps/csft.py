"""Conditional supervised fine-tuning."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from trainers.data.records import Example
from trainers.data_steps.conditioning import conditioned
from trainers.data_steps.step import Prepared, Source, StepNeeds, register

GOOD, BAD = " <|good|>", " <|bad|>"


@register("csft")
@dataclass(frozen=True)
class CSFT:
    """Conditional supervised fine-tuning.

    Name: CSFT
    Formula: (x, y_w, y_l) becomes (x <|good|>, y_w) and (x <|bad|>, y_l), both to be imitated; asked with <|good|>.
    Source: arXiv 2302.08582 (conditional training); the control tokens of the HALOs code.
    From memory: the paper's id, and that the token follows the prompt.
    Cost: that of SFT on twice the responses, 1.

    For `sft`. The tags are plain text, so that any tokenizer has them.
    """

    needs: ClassVar[StepNeeds] = StepNeeds()
    sweep: ClassVar[str | None] = None
    makes: ClassVar[type] = Example
    tags: ClassVar[tuple[str, ...]] = (GOOD, BAD)
    asks: ClassVar[tuple[str, ...]] = ()

    def prepare(self, source: Source, rng: np.random.Generator) -> Prepared:
        records = [
            Example(f"{pair.id}/{side}", conditioned(pair.prompt, tag), getattr(pair, side), True)
            for pair in source.pairs
            for side, tag in (("chosen", GOOD), ("rejected", BAD))
        ]
        designer = source.dataset.designer
        return Prepared(records, None if designer is None else designer.reshape(-1, 1))

    def condition(self, facts: Mapping[str, float]) -> str:
        return GOOD

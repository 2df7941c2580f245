"""UltraFeedback's binarised pairs with the score of each side, as HuggingFaceH4 and Argilla publish them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

from trainers.data.fields import Fields, LeftOut
from trainers.data.forms.form import Draft, Outcome, register
from trainers.data.forms.messages import Messages

NAMES = (("score_chosen", "score_rejected"), ("chosen-rating", "rejected-rating"))
"""Names of the two scores, by publisher."""


@register("ultrafeedback_binarized")
@dataclass(frozen=True)
class UltraFeedbackBinarized:
    """UltraFeedback's binarised pairs, with the score of each side.

    Examples
    --------
    >>> draft = UltraFeedbackBinarized().read(Fields.of(UltraFeedbackBinarized.examples[0]))
    >>> draft.prompt, dict(draft.scores)
    ([{'role': 'user', 'content': 'Hi'}], {'score': (8.5, 2.0)})
    """

    columns: ClassVar[frozenset[str]] = frozenset(("prompt", "chosen", "rejected"))
    examples: ClassVar[Sequence[Mapping[str, object]]] = (
        {
            "prompt": "Hi", "prompt_id": "a1", "score_chosen": 8.5, "score_rejected": 2.0,
            "chosen": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello."}],
            "rejected": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "So?"}],
        },
    )  # fmt: skip
    note: ClassVar[str] = "both sides' 'score' is kept as a reward; pairs of equal scores are left out"

    @staticmethod
    def fits(row: Fields) -> str | None:
        names = next((names for names in NAMES if names[0] in row and names[1] in row), None)
        messages = all(isinstance(row.values[side], list) for side in ("chosen", "rejected"))
        return f"columns prompt, chosen and rejected of messages, {' and '.join(names)}" if names and messages else None

    def read(self, row: Fields) -> Draft:
        draft = Messages().read(row)
        names = next((names for names in NAMES if names[0] in row), NAMES[0])
        scores = row.number(names[0]), row.number(names[1])
        if scores[0] == scores[1]:
            raise LeftOut("equal scores")
        return replace(draft, scores={"score": scores})

    def pair(self, items: Sequence[tuple[str, Draft]]) -> Iterable[Outcome]:
        return items

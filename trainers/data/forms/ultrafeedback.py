"""UltraFeedback as OpenBMB publishes it: four completions to an instruction, rated by a model on four axes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

from trainers.data.fields import Fields, Unusable
from trainers.data.forms.form import Outcome, register
from trainers.data.forms.ranking import NEIGHBOURS, Scored, neighbours
from trainers.tokens.dialogue import answered, asked

AXES = ("instruction_following", "honesty", "truthfulness", "helpfulness")
UNRATED = "N/A"
"""Rating of an axis that does not apply."""


@register("ultrafeedback")
@dataclass(frozen=True)
class UltraFeedback:
    """UltraFeedback's completions, four to an instruction, in the order of their overall scores.

    Examples
    --------
    >>> rows = [("f:1", UltraFeedback().read(Fields.of(UltraFeedback.examples[0])))]
    >>> [(draft.chosen[0]["content"], dict(draft.scores)) for _, draft in UltraFeedback().pair(rows)]
    [('Because.', {'overall_score': (8.0, 3.5), 'helpfulness': (4.0, 2.0)})]
    """

    columns: ClassVar[frozenset[str]] = frozenset(("instruction", "completions"))
    examples: ClassVar[Sequence[Mapping[str, object]]] = (
        {
            "instruction": "Why?",
            "completions": [
                {"response": "Go.", "overall_score": 3.5, "annotations": {"helpfulness": {"Rating": "2"}}},
                {"response": "Because.", "overall_score": 8.0, "annotations": {"helpfulness": {"Rating": "4"}}},
            ],
        },
    )
    note: ClassVar[str] = f"{NEIGHBOURS}; 'overall_score' and the rated axes are kept as rewards"
    terms: ClassVar[str] = "MIT"

    def read(self, row: Fields) -> list[Scored]:
        prompt, digest = asked(row.text("instruction")), row.digest()
        completions = row.records("completions")
        if len(completions) < 2:
            raise Unusable("fewer than two completions")
        return [
            Scored(prompt, answered(one.text("response")), one.number("overall_score"), digest, _scores(one))
            for one in completions
        ]

    def pair(self, items: Sequence[tuple[str, list[Scored]]]) -> Iterator[Outcome]:
        for where, responses in items:
            yield from neighbours([(where, response) for response in responses])


def _scores(completion: Fields) -> dict[str, float]:
    scores = {"overall_score": completion.number("overall_score")}
    ratings = completion.record("annotations") if "annotations" in completion else Fields({})
    for axis in AXES:
        rating = ratings.record(axis) if axis in ratings else Fields({})
        if "Rating" in rating and rating.values["Rating"] != UNRATED:
            scores[axis] = rating.number("Rating")
    return scores

"""PKU-SafeRLHF: two responses, judged for helpfulness and for safety on their own."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

from trainers.data.fields import Fields, Unusable
from trainers.data.forms.form import Draft, Outcome, register
from trainers.tokens.dialogue import answered, asked

COLUMNS = ("prompt", "response_0", "response_1", "better_response_id", "safer_response_id")


@register("safe_rlhf")
@dataclass(frozen=True)
class SafeRLHF:
    """PKU-SafeRLHF's pairs on two axes: the more helpful response is preferred, and safety is a score of both.

    ``columns: {better_response_id: safer_response_id}`` prefers the safer response instead.

    Examples
    --------
    >>> draft = SafeRLHF().read(Fields.of(SafeRLHF.examples[0]))
    >>> draft.chosen[0]["content"], dict(draft.scores)
    ('Because.', {'safer': (0.0, 1.0), 'safe': (0.0, 1.0), 'severity': (2.0, 0.0)})
    """

    columns: ClassVar[frozenset[str]] = frozenset(COLUMNS)
    examples: ClassVar[Sequence[Mapping[str, object]]] = (
        {
            "prompt": "Why?", "response_0": "No.", "response_1": "Because.", "better_response_id": 1,
            "safer_response_id": 0, "is_response_0_safe": True, "is_response_1_safe": False,
            "response_0_severity_level": 0, "response_1_severity_level": 2,
        },
    )  # fmt: skip
    note: ClassVar[str] = (
        "safety is kept as rewards 'safer' and, where the rows have them, 'safe' and 'severity'; harm categories are left out"
    )
    terms: ClassVar[str] = "CC-BY-NC-4.0"

    def read(self, row: Fields) -> Draft:
        texts = row.text("response_0"), row.text("response_1")
        better, safer = _index(row, "better_response_id"), _index(row, "safer_response_id")
        if texts[0] == texts[1]:
            raise Unusable("identical responses")
        order = better, 1 - better
        scores: dict[str, tuple[float, float]] = {"safer": (float(safer == order[0]), float(safer == order[1]))}
        if all(f"is_response_{side}_safe" in row for side in order):
            safe = [float(row.flag(f"is_response_{side}_safe")) for side in order]
            scores["safe"] = safe[0], safe[1]
        if all(f"response_{side}_severity_level" in row for side in order):
            levels = [row.number(f"response_{side}_severity_level") for side in order]
            scores["severity"] = levels[0], levels[1]
        chosen, rejected = (answered(texts[side]) for side in order)
        return Draft(asked(row.text("prompt")), chosen, rejected, row.own_id(), row.digest(), scores=scores)

    def pair(self, items: Sequence[tuple[str, Draft]]) -> Iterable[Outcome]:
        return items


def _index(row: Fields, name: str) -> int:
    index = row.whole(name)
    if index not in (0, 1):
        raise Unusable(f"{name!r} is neither 0 nor 1", str(index))
    return index

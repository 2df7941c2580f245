"""Stanford Human Preferences: pairs of comments on one post, with their scores."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

from trainers.data.fields import Fields, LeftOut, Unusable
from trainers.data.forms.form import Draft, Outcome, register
from trainers.tokens.dialogue import dialogue, reply

SCORE_RATIO = 2.0
"""Least ratio of the two comments' scores."""
PAIRS_PER_POST = 5
"""Most pairs that one post gives."""


@dataclass(frozen=True)
class Comparison:
    """Two comments on a post, the better one chosen."""

    post: str
    draft: Draft


@register("shp")
@dataclass(frozen=True)
class SHP:
    """Stanford Human Preferences: two comments on one post, the one that the label names preferred.

    Pairs with a score ratio below `SCORE_RATIO` are left out, and of a post with more than `PAIRS_PER_POST` pairs all
    but those whose ids hash lowest, a draw that does not depend on the order of the rows. UPO's paper
    (arXiv:2405.17956) takes the same rows, by the code it builds on: `HALOs <https://github.com/ContextualAI/HALOs>`_,
    ``dataloader.py``.

    Examples
    --------
    >>> row = {"post_id": "p", "c_root_id_A": "a", "c_root_id_B": "b", "history": "Why?", "human_ref_A": "So.",
    ...        "human_ref_B": "Because.", "labels": "0", "score_A": 2, "score_B": "9"}
    >>> comparison = SHP().read(Fields.of(row))
    >>> comparison.draft.prompt, comparison.draft.chosen
    ('\\n\\nHuman: Why?\\n\\nAssistant:', ' Because.')
    >>> SHP().read(Fields.of(row | {"score_A": 5}))
    Traceback (most recent call last):
    trainers.data.fields.LeftOut: score ratio below 2
    """

    columns: ClassVar[frozenset[str]] = frozenset(
        ("post_id", "c_root_id_A", "c_root_id_B", "history", "human_ref_A", "human_ref_B", "labels", "score_A", "score_B")
    )  # fmt: skip
    examples: ClassVar[Sequence[Mapping[str, object]]] = (
        {
            "post_id": "p", "c_root_id_A": "a", "c_root_id_B": "b", "history": "Why?", "human_ref_A": "So.",
            "human_ref_B": "Because.", "labels": 1, "score_A": 20, "score_B": 2,
        },
    )  # fmt: skip

    def read(self, row: Fields) -> Comparison:
        scores = row.number("score_A"), row.number("score_B")
        first, second = row.text("human_ref_A"), row.text("human_ref_B")
        label = row.whole("labels")
        if label not in (0, 1):
            raise Unusable("'labels' is neither 0 nor 1", str(label))
        if scores[0] != scores[1] and (scores[0] > scores[1]) != bool(label):
            raise Unusable(
                "'labels' contradicts the scores", f"{label}, and the scores are {scores[0]:g} and {scores[1]:g}"
            )
        if max(scores) < SCORE_RATIO * min(scores):
            raise LeftOut(f"score ratio below {SCORE_RATIO:g}")
        if first == second:
            raise Unusable("identical responses")
        chosen, rejected = (first, second) if label == 1 else (second, first)
        post = row.identifier("post_id")
        name = f"shp/{post}/{row.identifier('c_root_id_A')}/{row.identifier('c_root_id_B')}"
        prompt = dialogue([("user", row.text("history"))])
        return Comparison(post, Draft(prompt, reply(chosen), reply(rejected), name))

    def pair(self, items: Sequence[tuple[str, Comparison]]) -> Iterator[Outcome]:
        posts: dict[str, list[tuple[str, Draft]]] = defaultdict(list)
        for where, comparison in items:
            posts[comparison.post].append((where, comparison.draft))
        for members in posts.values():
            drawn = sorted(members, key=lambda member: hashlib.sha256(str(member[1].id).encode()).digest())
            yield from drawn[:PAIRS_PER_POST]
            for where, _ in drawn[PAIRS_PER_POST:]:
                yield where, LeftOut(f"beyond {PAIRS_PER_POST} pairs of one post")

"""OpenAI's comparisons of summaries: two summaries of a Reddit post or an article, and the one that people chose."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

from trainers.data.fields import Fields, Unusable
from trainers.data.forms.form import Draft, Outcome, register
from trainers.tokens.dialogue import reply


@register("tldr")
@dataclass(frozen=True)
class TLDR:
    r"""OpenAI's comparisons of summaries (Reddit TL;DR): two summaries, and the one that people chose.

    The prompt is written as in the paper (arXiv 2009.01325): subreddit, title and post, or the article, and ``TL;DR:``.

    Examples
    --------
    >>> draft = TLDR().read(Fields.of(TLDR.examples[0]))
    >>> draft.prompt, draft.chosen
    ('SUBREDDIT: r/cats\nTITLE: Help\nPOST: My cat left.\nTL;DR:', ' Cat gone.')
    """

    columns: ClassVar[frozenset[str]] = frozenset(("info", "summaries", "choice"))
    examples: ClassVar[Sequence[Mapping[str, object]]] = (
        {
            "info": {"id": "t3", "post": "My cat left.", "title": "Help", "subreddit": "cats", "article": None},
            "summaries": [{"text": " A post.", "policy": "a"}, {"text": " Cat gone.", "policy": "b"}],
            "choice": 1,
        },
        {
            "info": {"id": "cnn", "post": None, "title": None, "subreddit": None, "article": "It rained."},
            "summaries": [{"text": "Rain.", "policy": "a"}, {"text": "Sun.", "policy": "b"}],
            "choice": 0,
        },
    )
    note: ClassVar[str] = "annotators, their confidence and the policies' names are left out"

    def read(self, row: Fields) -> Draft:
        summaries, choice = row.records("summaries"), row.whole("choice")
        if len(summaries) != 2 or choice not in (0, 1):
            raise Unusable("not a choice of one of two summaries", f"{choice} of {len(summaries)}")
        texts = [summary.text("text").strip() for summary in summaries]
        if texts[0] == texts[1]:
            raise Unusable("identical responses")
        chosen, rejected = texts[choice], texts[1 - choice]
        return Draft(_prompt(row.record("info")), reply(chosen), reply(rejected), row.own_id(), row.digest())

    def pair(self, items: Sequence[tuple[str, Draft]]) -> Iterable[Outcome]:
        return items


def _prompt(info: Fields) -> str:
    if "article" in info:
        return f"Article: {info.text('article')}\nTL;DR:"
    lines = [f"SUBREDDIT: r/{info.text('subreddit')}", f"TITLE: {info.text('title')}", f"POST: {info.text('post')}"]
    return "\n".join([*lines, "TL;DR:"])

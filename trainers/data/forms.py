"""Preference data sets whose rows are no pairs of texts yet: comments with scores, trees of ranked replies,
conversations.

A form turns rows into rows with ``id``, ``prompt``, ``chosen`` and ``rejected`` in the dialogue form of Anthropic's
HH, and says of each row that it leaves out why. Which rows UPO's paper (arXiv:2405.17956) learns from is settled by
the code it builds on: `HALOs <https://github.com/ContextualAI/HALOs>`_, ``dataloader.py``.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass

SCORE_RATIO = 2.0
"""Least ratio of the two comments' scores in SHP."""
PAIRS_PER_POST = 5
"""Pairs that one post of SHP gives at most."""
HUMAN = "\n\nHuman: "
TURNS = {"prompter": HUMAN, "user": HUMAN, "system": "\n\nSystem: ", "assistant": "\n\nAssistant: "}
ASSISTANT = "\n\nAssistant:"
SHP_FIELDS = {"post_id", "c_root_id_A", "c_root_id_B", "history", "human_ref_A", "human_ref_B", "labels", "score_A", "score_B"}  # fmt: skip
OASST_FIELDS = {"message_id", "parent_id", "role", "text", "rank", "lang"}


@dataclass(frozen=True)
class LeftOut:
    """A row that is right but not wanted."""

    why: str


Rows = Iterable[tuple[str, object]]
"""Rows with where each was found; one that is not of the form is passed on as it is, for the reader to refuse."""


def pairs(rows: Rows) -> Iterator[tuple[str, object]]:
    """Rows that are pairs already."""
    yield from rows


def shp(rows: Rows) -> Iterator[tuple[str, object]]:
    """Stanford Human Preferences: two comments on one post, the one with the higher score preferred.

    Pairs with a score ratio below `SCORE_RATIO` are left out, and of a post with more than `PAIRS_PER_POST` all
    but those whose ids hash lowest, which is a draw that no order of the rows changes.

    Examples
    --------
    >>> row = {"post_id": "p", "c_root_id_A": "a", "c_root_id_B": "b", "history": "Why?", "human_ref_A": "So.",
    ...        "human_ref_B": "Because.", "labels": 0, "score_A": 2, "score_B": 9}
    >>> [(where, made)] = shp([("file:1", row)])
    >>> made["prompt"], made["chosen"]
    ('\\n\\nHuman: Why?\\n\\nAssistant:', ' Because.')
    >>> list(shp([("file:1", row | {"score_A": 5})]))
    [('file:1', LeftOut(why='score ratio below 2'))]
    """
    posts: dict[str, list[tuple[str, dict]]] = defaultdict(list)
    for where, row in rows:
        if not isinstance(row, Mapping) or not row.keys() >= SHP_FIELDS:
            yield where, row
        elif max(row["score_A"], row["score_B"]) < SCORE_RATIO * min(row["score_A"], row["score_B"]):
            yield where, LeftOut(f"score ratio below {SCORE_RATIO:g}")
        else:
            posts[row["post_id"]].append((where, _compared(row)))
    for members in posts.values():
        kept = sorted(members, key=lambda member: hashlib.sha256(member[1]["id"].encode()).digest())
        yield from kept[:PAIRS_PER_POST]
        for where, _ in kept[PAIRS_PER_POST:]:
            yield where, LeftOut(f"beyond {PAIRS_PER_POST} pairs of one post")


def _compared(row: Mapping) -> dict:
    first, second = row["human_ref_A"], row["human_ref_B"]
    chosen, rejected = (first, second) if row["labels"] == 1 else (second, first)
    return {
        "id": f"shp/{row['post_id']}/{row['c_root_id_A']}/{row['c_root_id_B']}",
        "prompt": f"{TURNS['prompter']}{row['history']}{ASSISTANT}",
        "chosen": f" {chosen}",
        "rejected": f" {rejected}",
    }


def oasst(rows: Rows) -> Iterator[tuple[str, object]]:
    """OpenAssistant's message trees: each English reply against the sibling ranked one place better.

    Ranks a, b, c of one prompt give the pairs (a, b) and (b, c). The prompt is the path from the root.

    Examples
    --------
    >>> tree = [{"message_id": "q", "parent_id": None, "role": "prompter", "text": "Hi", "rank": None, "lang": "en"}]
    >>> tree += [{"message_id": f"r{rank}", "parent_id": "q", "role": "assistant", "text": f"Reply {rank}",
    ...           "rank": rank, "lang": "en"} for rank in (1, 0, 2)]
    >>> [(row["chosen"], row["rejected"]) for _, row in oasst(enumerate(tree)) if isinstance(row, dict)]
    [(' Reply 0', ' Reply 1'), (' Reply 1', ' Reply 2')]
    """
    messages: dict[str, dict] = {}
    ranked: dict[tuple[str, int], dict] = {}
    places: dict[str, str] = {}
    for where, row in rows:
        if not isinstance(row, Mapping) or not row.keys() >= OASST_FIELDS:
            yield where, row
        elif row["lang"] != "en":
            yield where, LeftOut("not English")
        else:
            messages[row["message_id"]], places[row["message_id"]] = row, where
            if row["role"] == "assistant" and row["rank"] is not None:
                ranked[row["parent_id"], int(row["rank"])] = row
    for identifier, row in messages.items():
        if row["role"] != "assistant":
            continue
        rank = row["rank"]
        better = ranked.get((row["parent_id"], int(rank) - 1)) if rank else None
        path = _path(row["parent_id"], messages)
        if better is None or path is None:
            yield places[identifier], LeftOut("no sibling ranked one place better")
            continue
        prompt = "".join(f"{TURNS[turn['role']]}{turn['text']}" for turn in path)
        yield (
            places[identifier],
            {
                "id": f"oasst/{better['message_id']}/{identifier}",
                "prompt": f"{prompt}{ASSISTANT}",
                "chosen": f" {better['text']}",
                "rejected": f" {row['text']}",
            },
        )


def _path(identifier: str | None, messages: Mapping[str, dict]) -> list[dict] | None:
    """The messages from the root to this one; None where one of them is not there."""
    path: list[dict] = []
    while identifier is not None:
        if identifier not in messages:
            return None
        path.append(messages[identifier])
        identifier = messages[identifier]["parent_id"]
    return path[::-1]


def messages(rows: Rows) -> Iterator[tuple[str, object]]:
    """Conversations as lists of messages that end in the response, as UltraFeedback's binarised pairs are.

    A response that stands alone answers ``prompt``, text or messages.

    Examples
    --------
    >>> ask, say = [{"role": "user", "content": "Hi"}], lambda text: {"role": "assistant", "content": text}
    >>> row = {"prompt": "Hi", "chosen": [*ask, say("Hello.")], "rejected": [*ask, say("What?")]}
    >>> [(where, made)] = messages([("file:1", row)])
    >>> made["prompt"], made["chosen"], made["rejected"]
    ('\\n\\nHuman: Hi\\n\\nAssistant:', ' Hello.', ' What?')
    """
    for where, row in rows:
        if not isinstance(row, Mapping) or not all(_is_conversation(row.get(side)) for side in ("chosen", "rejected")):
            yield where, row
            continue
        (*asked, chosen), (*other, rejected) = row["chosen"], row["rejected"]
        prompt = row.get("prompt")
        turns = asked or ([{"role": "user", "content": prompt}] if isinstance(prompt, str) else prompt)
        if asked != other:
            yield where, LeftOut("chosen and rejected answer different prompts")
        elif not _is_conversation(turns):
            yield where, row
        else:
            dialogue = "".join(f"{TURNS[turn['role']]}{turn['content']}" for turn in turns)
            made = {"prompt": f"{dialogue}{ASSISTANT}"}
            made |= {"chosen": f" {chosen['content']}", "rejected": f" {rejected['content']}"}
            yield where, ({"id": row["id"]} if "id" in row else {}) | made


def _is_conversation(value: object) -> bool:
    return (
        isinstance(value, list)
        and bool(value)
        and all(
            isinstance(turn, Mapping) and {"role", "content"} <= turn.keys() and turn["role"] in TURNS for turn in value
        )
    )


FORMS: dict[str, Callable[[Rows], Iterator[tuple[str, object]]]] = {
    "pairs": pairs,
    "messages": messages,
    "shp": shp,
    "oasst": oasst,
}
"""How the rows of a source become pairs, by the name an experiment gives it."""

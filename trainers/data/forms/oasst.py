"""OpenAssistant's message trees: replies to one message, ranked by people."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

from trainers.data.fields import Fields, LeftOut, Unusable
from trainers.data.forms.form import Draft, Outcome, register
from trainers.tokens.dialogue import dialogue, reply

ROLES = ("assistant", "prompter")


@dataclass(frozen=True)
class Node:
    """One message of a tree."""

    id: str
    parent: str | None
    role: str
    text: str
    rank: int | None


@register("oasst")
@dataclass(frozen=True)
class OASST:
    """OpenAssistant's message trees: each English reply against the sibling ranked one place better.

    Ranks a, b, c of one prompt give the pairs (a, b) and (b, c). The prompt is the path from the root. UPO's paper
    (arXiv:2405.17956) takes the same pairs, by the code it builds on: `HALOs
    <https://github.com/ContextualAI/HALOs>`_, ``dataloader.py``.

    Examples
    --------
    >>> drafts = OASST().pair([("file:1", OASST().read(Fields.of(row))) for row in OASST.examples])
    >>> [(draft.chosen, draft.rejected) for _, draft in drafts if isinstance(draft, Draft)]
    [(' Yes.', ' No.')]
    """

    columns: ClassVar[frozenset[str]] = frozenset(("message_id", "parent_id", "role", "text", "rank", "lang"))
    examples: ClassVar[Sequence[Mapping[str, object]]] = (
        {"message_id": "q", "parent_id": None, "role": "prompter", "text": "Hi", "rank": None, "lang": "en"},
        {"message_id": "r", "parent_id": "q", "role": "assistant", "text": "No.", "rank": 1, "lang": "en"},
        {"message_id": "s", "parent_id": "q", "role": "assistant", "text": "Yes.", "rank": 0, "lang": "en"},
    )

    def read(self, row: Fields) -> Node:
        if row.text("lang") != "en":
            raise LeftOut("not English")
        role = row.text("role")
        if role not in ROLES:
            raise Unusable(f"'role' is neither {' nor '.join(ROLES)}", repr(role))
        return Node(
            row.identifier("message_id"),
            row.identifier("parent_id") if "parent_id" in row else None,
            role,
            row.text("text"),
            row.whole("rank") if "rank" in row else None,
        )

    def pair(self, items: Sequence[tuple[str, Node]]) -> Iterator[Outcome]:
        nodes: dict[str, Node] = {}
        unique: list[tuple[str, Node]] = []
        for where, node in items:
            if node.id in nodes:
                yield where, Unusable("duplicate id", repr(node.id))
                continue
            nodes[node.id] = node
            unique.append((where, node))
        replies = [(where, node) for where, node in unique if node.role == "assistant"]
        ranked = {(node.parent, node.rank): node for _, node in replies if node.rank is not None}
        for where, node in replies:
            better = ranked.get((node.parent, node.rank - 1)) if node.rank is not None else None
            try:
                path = _path(node, nodes)
            except Unusable as reason:
                yield where, reason
                continue
            if better is None or path is None:
                yield where, LeftOut("no sibling ranked one place better")
                continue
            if better.text == node.text:
                yield where, Unusable("identical responses")
                continue
            prompt = dialogue((turn.role, turn.text) for turn in path)
            yield where, Draft(prompt, reply(better.text), reply(node.text), f"oasst/{better.id}/{node.id}")


def _path(node: Node, nodes: Mapping[str, Node]) -> list[Node] | None:
    """The messages from the root to the one that `node` answers; None where one of them is missing."""
    path: list[Node] = []
    seen = {node.id}
    parent = node.parent
    while parent is not None:
        if parent not in nodes:
            return None
        if parent in seen:
            raise Unusable("its messages answer each other in a circle", repr(parent))
        seen.add(parent)
        path.append(nodes[parent])
        parent = nodes[parent].parent
    return path[::-1]

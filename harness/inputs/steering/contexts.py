"""Contexts of unseen users: the pairs by which a method knows them, checked before any method sees them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from typing import Any

from harness.inputs.steering.scene import Contexts
from trainers.data.records import DataError

Rows = Iterable[Mapping[str, Any]]
"""Of ``contexts.jsonl``: ``id, user, prompt, chosen, rejected``."""


def contexts_of(rows: Rows, users: Iterable[str], size: int) -> Contexts:
    """The first `size` pairs of each user, in the order of `users`.

    Raises
    ------
    DataError
        Naming the pair or the user: for pairs of a user who is not one of `users`, and for a user with too few pairs.

    Examples
    --------
    >>> row = {"id": "c0", "user": "ann", "prompt": "x", "chosen": "a", "rejected": "b"}
    >>> list(contexts_of([row], ["ann"], 1)), contexts_of([row], ["ann"], 0)
    (['ann'], {'ann': []})
    >>> contexts_of([row], ["ann", "bo"], 1)
    Traceback (most recent call last):
    trainers.data.rows.DataError: user bo: has no pairs; a context needs 1
    """
    known = list(users)
    by_user: dict[str, list[Mapping[str, str]]] = {user: [] for user in known}
    for row in rows:
        if row["user"] not in by_user:
            near = get_close_matches(row["user"], known, n=1, cutoff=0.0)
            raise DataError(f"pair {row['id']}", f"user {row['user']!r} is no unseen user; did you mean {near[0]!r}?")
        by_user[row["user"]].append(row)
    for user, pairs in by_user.items():
        if len(pairs) < size:
            raise DataError(f"user {user}", f"has {len(pairs) or 'no'} pairs; a context needs {size}")
    return {user: pairs[:size] for user, pairs in by_user.items()}


def contradictions(contexts: Contexts) -> int:
    """Pairs of responses that one user chose between both ways: noise of the labels, which a method has to bear.

    Examples
    --------
    >>> pair = {"prompt": "x", "chosen": "a", "rejected": "b"}
    >>> contradictions({"ann": [pair, {**pair, "chosen": "b", "rejected": "a"}]})
    1
    """
    count = 0
    for pairs in contexts.values():
        chosen: dict[tuple[str, frozenset[str]], set[str]] = defaultdict(set)
        for pair in pairs:
            chosen[pair["prompt"], frozenset((pair["chosen"], pair["rejected"]))].add(pair["chosen"])
        count += sum(len(sides) > 1 for sides in chosen.values())
    return count

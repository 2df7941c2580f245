"""Division of preference pairs among the test prompts, the judge and the policies, by the hash of a conversation's first turn."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping

from trainers.tokens.dialogue import ASSISTANT_TURN, Text, plain_prompt

TEST_SHARE = 0.1
ROLES = {"test": "test prompts", "judge": "pairs for the judge", "policy": "pairs for the policies"}


def role(prompt: Text, judge_share: float) -> str:
    """Whom the pairs of a conversation are for, by its prompt: one of `ROLES`."""
    first_turn = plain_prompt(prompt).split(ASSISTANT_TURN)[0]
    draw = int(hashlib.sha256(first_turn.encode()).hexdigest()[:8], 16) / 2**32
    if draw < TEST_SHARE:
        return "test"
    return "judge" if draw < TEST_SHARE + judge_share else "policy"


def lack(counts: Counter[str], left_out: Mapping[str, int]) -> str | None:
    """The counts in words where a role has no pair, so that later stages would compute on nothing; else None.

    Examples
    --------
    >>> lack(Counter(judge=3, policy=9), {"empty prompt": 1})
    '0 test prompts, 3 pairs for the judge, 9 pairs for the policies; 1 rows left out: empty prompt'
    """
    if all(counts[name] for name in ROLES):
        return None
    listed = ", ".join(f"{counts[name]} {words}" for name, words in ROLES.items())
    return listed + "".join(f"; {count} rows left out: {why}" for why, count in left_out.items())

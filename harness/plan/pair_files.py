"""Files of preference pairs looked into before anything runs: do their columns fit, and is every role served?"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from harness.errors import UsageError
from harness.inputs.roles import lack, role
from trainers.data.fields import LeftOut, Unusable
from trainers.data.forms import create, pairs_of
from trainers.data.rows import DataError, read_rows

LOOKED_AT = 1000
"""Rows of a file, at most; whether a longer one serves every role is seen when it is read."""


@dataclass(frozen=True)
class PairFile:
    """A local file of pairs, the key that names it, and its form."""

    key: str
    path: Path
    form: str


def require_pairs(files: Sequence[PairFile], judge_share: float, on_invalid: str, alone: bool) -> None:
    """Raise `UsageError` for a file that gives no pair, or for short files that leave a role without one.

    Parameters
    ----------
    files : sequence of PairFile
    judge_share : float
    on_invalid : {"error", "drop"}
    alone : bool
        Whether these files are all the data; data sets of the hub are not looked into.
    """
    counts: Counter[str] = Counter()
    left_out: Counter[str] = Counter()
    whole = alone
    for file in files:
        usable = 0
        faults: Counter[str] = Counter()
        try:
            rows = list(islice(read_rows(file.path), LOOKED_AT))
            for where, outcome in pairs_of(create(file.form), create("pairs"), rows):
                if isinstance(outcome, Unusable) and on_invalid == "error":
                    raise DataError(where, outcome.why, outcome.detail)
                if isinstance(outcome, LeftOut | Unusable):
                    faults[outcome.why] += 1
                else:
                    usable += 1
                    counts[role(outcome.prompt, judge_share)] += 1
        except (DataError, OSError) as error:
            raise UsageError(f"{file.key}: {error}") from None
        if not usable:
            reasons = ", ".join(f"{count} × {why}" for why, count in faults.most_common(3)) or "it has no row"
            raise UsageError(
                f"{file.key}: {file.path}: no pair in its {'first ' * (len(rows) == LOOKED_AT)}{len(rows)} rows: {reasons}"
            )
        left_out += faults
        whole = whole and len(rows) < LOOKED_AT
    if whole and files and (lacking := lack(counts, left_out)):
        raise UsageError(f"data: too few conversations for every role: {lacking}")

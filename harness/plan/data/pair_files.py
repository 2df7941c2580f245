"""Files of preference pairs looked into before anything runs: do their columns fit, and is every role served?"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice

from harness.errors import UsageError, nearest
from harness.inputs.roles import lack, role
from harness.plan.stage import File
from harness.spec.data import PairSource
from trainers.data.fields import LeftOut, Unusable
from trainers.data.forms import Draft, create, pairs_of
from trainers.data.forms.recognition import LOOKED_AT, Recognised, named, recognise
from trainers.data.records import DataSet, rows_of
from trainers.data.rows import DataError

READ = 1000
"""Rows of a file, at most; whether a longer one serves every role is seen when it is read."""


@dataclass(frozen=True)
class PairFile:
    """A local file of pairs, the key that names it, and how its rows become pairs."""

    key: str
    file: File
    rows: PairSource

    @property
    def form(self) -> Recognised:
        """The form of the file: the one that is named, or that of its first rows.

        Raises
        ------
        UsageError
            In one line, naming the key, the file and its columns.
        """
        if self.rows.form is not None:
            return named(self.rows.form)
        try:
            return _form(self.file, self.file.key, tuple(self.rows.columns.items()))
        except (DataError, OSError) as error:
            raise UsageError(f"{self.key}: {error}") from None

    @property
    def data(self) -> DataSet:
        """The file as the trainers read it."""
        return data_set(self.rows, self.form.name)


def data_set(rows: PairSource, form: str | None = None) -> DataSet:
    """A data set of an experiment as the trainers read it."""
    return DataSet(rows.path, rows.split, form or rows.form, rows.columns, rows.subset, rows.revision)


@lru_cache(maxsize=64)
def _form(file: File, key: str, columns: tuple[tuple[str, str], ...]) -> Recognised:
    """The form of a file's first rows, recognised once for every `key` of its bytes."""
    rows = rows_of(DataSet(file.path, columns=dict(columns)))
    return recognise(islice(rows, LOOKED_AT), str(file.path))


def require_scores(files: Sequence[PairFile], columns: Mapping[str, str]) -> None:
    """Raise `UsageError` for a column of rewards that the first rows of a file do not have.

    Parameters
    ----------
    files : sequence of PairFile
    columns : mapping of str to str
        Columns by the objectives that are trained on.
    """
    for file in files:
        rows = islice(rows_of(file.data), READ)
        drafts = [
            draft for _, draft in pairs_of(create(file.form.name), create("pairs"), rows) if isinstance(draft, Draft)
        ]
        has = sorted(set.intersection(*(set(draft.scores) for draft in drafts))) if drafts else []
        for name, column in columns.items():
            if column not in has:
                closest = nearest(column, has) or "; this form has no scores"
                raise UsageError(
                    f"objectives.{name}: {file.file.path.name} has no score {column!r} of every response{closest}"
                )


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
        form = file.form
        try:
            rows = list(islice(rows_of(file.data), READ))
            for where, outcome in pairs_of(create(form.name), create("pairs"), rows):
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
                f"{file.key}: {file.file.path}: no pair in its {'first ' * (len(rows) == READ)}{len(rows)} rows: {reasons}"
            )
        left_out += faults
        whole = whole and len(rows) < READ
    if whole and files and (lacking := lack(counts, left_out)):
        raise UsageError(f"data: too few conversations for every role: {lacking}")

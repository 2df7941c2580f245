"""Ledger of a paid judge: its answers, claims, payments and pace in one SQLite file that processes share."""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from socket import gethostname
from uuid import uuid4

_TABLES = """
CREATE TABLE IF NOT EXISTS answers (question TEXT PRIMARY KEY, p_first REAL NOT NULL, reply TEXT NOT NULL, cost REAL NOT NULL);
CREATE TABLE IF NOT EXISTS payments (id INTEGER PRIMARY KEY, cost REAL NOT NULL);
CREATE TABLE IF NOT EXISTS facts (name TEXT PRIMARY KEY, value NOT NULL);
CREATE TABLE IF NOT EXISTS claims (question TEXT PRIMARY KEY, owner TEXT NOT NULL, beat INTEGER NOT NULL, outcome TEXT);
"""
BUSY_SECONDS = 60.0


class OverBudget(RuntimeError):
    """A cost cap that the next request could pass."""


@dataclass(frozen=True)
class Answer:
    """P(first is better) of a question that was answered before, the cost of the answer, and the reply."""

    p_first: float
    cost: float
    reply: str


@dataclass(frozen=True)
class Claim:
    """A question that someone is asking, or has asked without an answer.

    Parameters
    ----------
    owner : str
    beat : int
        A counter that grows while the owner lives; with an outcome, its number among all outcomes.
    outcome : str, optional
        What became of a question without an answer; one with an answer is an `Answer`.
    """

    owner: str
    beat: int
    outcome: str | None = None

    @property
    def abandoned(self) -> bool:
        """Whether the owner was a process of this machine that does not exist any more."""
        host, pid, _ = self.owner.split("/")
        if host != gethostname():
            return False
        try:
            os.kill(int(pid), 0)
        except ProcessLookupError:
            return True
        except PermissionError:  # it exists and belongs to someone else
            return False
        return False


def new_owner() -> str:
    """An identity for claims: host, process and a random part."""
    return f"{gethostname()}/{os.getpid()}/{uuid4().hex}"


@dataclass(frozen=True)
class Ledger:
    """Answers, claims, payments and the pace of one judge.

    A request's worst-case cost is reserved before it is sent and replaced by the true one after, so the cap
    holds whatever runs at the same time. A reservation that a killed process left stays as it is: the request
    may have been billed. No entry is interpreted by the wall clock alone, which may jump.

    Examples
    --------
    >>> import tempfile
    >>> ledger = Ledger(Path(tempfile.mkdtemp()) / "judge.sqlite")
    >>> payment = ledger.reserve(0.75, cap=1.0)
    >>> ledger.reserve(0.5, cap=1.0)
    Traceback (most recent call last):
    suites.judges.remote.ledger.OverBudget: $0.75 spent or under way, and the next question may cost $0.5: more than the cap of $1
    >>> ledger.settle(payment, 0.25)
    >>> ledger.spent
    0.25
    """

    path: Path

    def __post_init__(self) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self._transaction() as connection:
            for statement in _TABLES.split(";"):
                connection.execute(statement)

    def outcomes(self) -> int:
        """The number of outcomes so far: those of a higher number come later."""
        return int(self.fact("outcomes") or 0)

    def claim(
        self, question: str, owner: str, after: int, watched: Claim | None = None, take_over: bool = False
    ) -> Answer | Claim | None:
        """Claim a question; None where it now belongs to `owner`, otherwise its answer or the claim of someone else.

        Parameters
        ----------
        question, owner : str
        after : int
            A later outcome is returned, an earlier one replaced: it is an earlier run's, whose questions are asked again.
        watched : Claim, optional
            The claim that the last call returned.
        take_over : bool
            Replace the watched claim if it has not changed since.
        """
        with self._transaction() as connection:
            entry = _look_up(connection, question)
            if isinstance(entry, Answer):
                return entry
            if entry is not None and entry.outcome is not None and entry.beat > after:
                return entry
            if entry is not None and entry.outcome is None and not (take_over and entry == watched):
                return entry
            connection.execute("INSERT OR REPLACE INTO claims VALUES (?, ?, 0, NULL)", (question, owner))
            return None

    def beat(self, owner: str) -> None:
        """Show that the owner of claims lives."""
        with self._transaction() as connection:
            connection.execute("UPDATE claims SET beat = beat + 1 WHERE owner = ? AND outcome IS NULL", (owner,))

    def release(self, question: str, owner: str, outcome: str | None = None) -> None:
        """Give up a claim; an outcome is left to those who wait for it."""
        with self._transaction() as connection:
            if outcome is None:
                connection.execute("DELETE FROM claims WHERE question = ? AND owner = ?", (question, owner))
                return
            connection.execute("INSERT OR IGNORE INTO facts VALUES ('outcomes', 0)")
            connection.execute("UPDATE facts SET value = value + 1 WHERE name = 'outcomes'")
            connection.execute(
                "UPDATE claims SET outcome = ?, beat = (SELECT value FROM facts WHERE name = 'outcomes') "
                "WHERE question = ? AND owner = ?",
                (outcome, question, owner),
            )

    def keep(self, question: str, p_first: float, reply: str, cost: float) -> None:
        """Store an answer, unless there is one."""
        with self._transaction() as connection:
            connection.execute("INSERT OR IGNORE INTO answers VALUES (?, ?, ?, ?)", (question, p_first, reply, cost))

    def forget(self, question: str) -> None:
        """Delete an answer."""
        with self._transaction() as connection:
            connection.execute("DELETE FROM answers WHERE question = ?", (question,))

    def reserve(self, cost: float, cap: float) -> int:
        """Set money aside for a request; `OverBudget` where the cap could be passed."""
        with self._transaction() as connection:
            spent = _spent(connection)
            if spent + cost > cap:
                raise OverBudget(
                    f"${spent:.4g} spent or under way, and the next question may cost ${cost:.4g}: "
                    f"more than the cap of ${cap:.4g}"
                )
            payment = connection.execute("INSERT INTO payments (cost) VALUES (?)", (cost,)).lastrowid
            assert payment is not None  # an INSERT has a row id
            return payment

    def settle(self, payment: int, cost: float) -> None:
        """Replace a reservation by the true cost."""
        with self._transaction() as connection:
            connection.execute("UPDATE payments SET cost = ? WHERE id = ?", (cost, payment))

    @property
    def spent(self) -> float:
        """Everything paid or set aside."""
        with self._transaction() as connection:
            return _spent(connection)

    def first(self, name: str, value: str) -> str:
        """The value first stored under a name: `value` itself where there was none."""
        with self._transaction() as connection:
            connection.execute("INSERT OR IGNORE INTO facts VALUES (?, ?)", (name, value))
            return str(connection.execute("SELECT value FROM facts WHERE name = ?", (name,)).fetchone()[0])

    def fact(self, name: str) -> str | None:
        """The value stored under a name."""
        with self._transaction() as connection:
            row = connection.execute("SELECT value FROM facts WHERE name = ?", (name,)).fetchone()
        return None if row is None else str(row[0])

    def turn(self, interval: float) -> float:
        """0 where a request may be sent now; otherwise seconds, at most `interval`, after which to try again.

        Turns are `interval` seconds apart. A last turn in the future, after the clock was set back, is disregarded.
        """
        with self._transaction() as connection:
            # Read behind the lock: a time from before it would be earlier than a turn that was granted meanwhile.
            now = time.time()
            row = connection.execute("SELECT value FROM facts WHERE name = 'turn'").fetchone()
            last = float(row[0]) if row else float("-inf")
            if last <= now < last + interval:
                return last + interval - now
            connection.execute("INSERT OR REPLACE INTO facts VALUES ('turn', ?)", (now,))
        return 0.0

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        with closing(sqlite3.connect(self.path, timeout=BUSY_SECONDS, isolation_level=None)) as connection:
            connection.execute("BEGIN IMMEDIATE")
            try:
                yield connection
            except BaseException:
                connection.rollback()
                raise
            connection.commit()


def _look_up(connection: sqlite3.Connection, question: str) -> Answer | Claim | None:
    row = connection.execute("SELECT p_first, cost, reply FROM answers WHERE question = ?", (question,)).fetchone()
    if row is not None:
        return Answer(*row)
    row = connection.execute("SELECT owner, beat, outcome FROM claims WHERE question = ?", (question,)).fetchone()
    return None if row is None else Claim(*row)


def _spent(connection: sqlite3.Connection) -> float:
    return float(connection.execute("SELECT COALESCE(SUM(cost), 0.0) FROM payments").fetchone()[0])

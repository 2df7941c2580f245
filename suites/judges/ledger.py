"""What a paid judge has answered, what it has cost, and how fast it may be asked: one SQLite file, shared by processes."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

_TABLES = """
CREATE TABLE IF NOT EXISTS answers (question TEXT PRIMARY KEY, p_first REAL NOT NULL, reply TEXT NOT NULL, cost REAL NOT NULL);
CREATE TABLE IF NOT EXISTS payments (id INTEGER PRIMARY KEY, cost REAL NOT NULL);
CREATE TABLE IF NOT EXISTS facts (name TEXT PRIMARY KEY, value NOT NULL);
"""
BUSY_SECONDS = 60.0


class OverBudget(RuntimeError):
    """The next question could pass the cap on a judge's cost."""


@dataclass(frozen=True)
class Ledger:
    """Answers, payments and the pace of one judge.

    A question's worst-case cost is reserved before it is sent and replaced by the true one after, so the cap
    holds whatever runs at the same time. A reservation that a killed process left stays as it is: the question
    may have been billed.

    Examples
    --------
    >>> import tempfile
    >>> ledger = Ledger(Path(tempfile.mkdtemp()) / "judge.sqlite")
    >>> payment = ledger.reserve(0.75, cap=1.0)
    >>> ledger.reserve(0.5, cap=1.0)
    Traceback (most recent call last):
    suites.judges.ledger.OverBudget: $0.75 spent or under way, and the next question may cost $0.5: more than the cap of $1
    >>> ledger.settle(payment, 0.25)
    >>> ledger.spent
    0.25
    """

    path: Path

    def __post_init__(self) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self._transaction() as connection:
            connection.executescript(_TABLES)

    def answer(self, question: str) -> tuple[float, float] | None:
        """P(first) of a question asked before, and what the answer cost."""
        with self._transaction() as connection:
            return connection.execute("SELECT p_first, cost FROM answers WHERE question = ?", (question,)).fetchone()

    def keep(self, question: str, p_first: float, reply: str, cost: float) -> None:
        """Remember an answer; one that is there already stays."""
        with self._transaction() as connection:
            connection.execute("INSERT OR IGNORE INTO answers VALUES (?, ?, ?, ?)", (question, p_first, reply, cost))

    def reserve(self, cost: float, cap: float) -> int:
        """Set money aside for a question; `OverBudget` where it may not be there."""
        with self._transaction() as connection:
            spent = _spent(connection)
            if spent + cost > cap:
                raise OverBudget(
                    f"${spent:.4g} spent or under way, and the next question may cost ${cost:.4g}: "
                    f"more than the cap of ${cap:.4g}"
                )
            return connection.execute("INSERT INTO payments (cost) VALUES (?)", (cost,)).lastrowid

    def settle(self, payment: int, cost: float) -> None:
        """Replace a reservation by what the question did cost."""
        with self._transaction() as connection:
            connection.execute("UPDATE payments SET cost = ? WHERE id = ?", (cost, payment))

    @property
    def spent(self) -> float:
        """Everything paid or set aside."""
        with self._transaction() as connection:
            return _spent(connection)

    def first(self, name: str, value: str) -> str:
        """The value first noted under a name: `value` itself where nothing was."""
        with self._transaction() as connection:
            connection.execute("INSERT OR IGNORE INTO facts VALUES (?, ?)", (name, value))
            return connection.execute("SELECT value FROM facts WHERE name = ?", (name,)).fetchone()[0]

    def fact(self, name: str) -> str | None:
        """What was noted under a name."""
        with self._transaction() as connection:
            row = connection.execute("SELECT value FROM facts WHERE name = ?", (name,)).fetchone()
        return row and row[0]

    def turn(self, interval: float) -> float:
        """Seconds to wait for one's turn, where turns are `interval` seconds apart."""
        now = time.time()
        with self._transaction() as connection:
            row = connection.execute("SELECT value FROM facts WHERE name = 'turn'").fetchone()
            mine = max(now, row[0] if row else 0.0)
            connection.execute("INSERT OR REPLACE INTO facts VALUES ('turn', ?)", (mine + interval,))
        return mine - now

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


def _spent(connection: sqlite3.Connection) -> float:
    return connection.execute("SELECT COALESCE(SUM(cost), 0.0) FROM payments").fetchone()[0]

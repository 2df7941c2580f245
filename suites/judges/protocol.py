"""Interface of a judge: the probability that the first of two responses is the better one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

from harness.records import Status


@dataclass(frozen=True)
class Verdict:
    """A judge's answer on one ordered pair; `p_first` is None, with the `reason`, where there is no answer.

    `cost` is in dollars, what the answer cost when it was first asked for.
    """

    p_first: float | None
    status: Status = Status.OK
    reason: str = ""
    cost: float = 0.0
    reply: str = ""
    """The text of a remote judge's answer."""


class Judge(Protocol):
    """Compares responses pairwise. `name` and `revision` identify it in records and caches."""

    @property
    def name(self) -> str: ...

    @property
    def revision(self) -> str: ...

    def prefer(self, prompts: Sequence[Any], first: Sequence[str], second: Sequence[str]) -> list[Verdict]:
        """One verdict for every pair. Prompts are texts; a judge that gives rewards is also given messages."""


@runtime_checkable
class Repeatable(Protocol):
    """A judge that stores its answers and can repeat a question without them."""

    def again(self) -> Judge: ...


@runtime_checkable
class Closable(Protocol):
    """A judge that holds processes or memory until it is closed."""

    def close(self) -> None: ...

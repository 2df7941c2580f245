"""A function of a user's Python file as a scorer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar, Self

from suites.custom.isolated import values
from suites.custom.scorer import Running, Scored, scorer


@scorer("python")
@dataclass(frozen=True)
class Python:
    """The number that a function returns for a response.

    The function runs in a process of its own, without the project's folder among its modules. An exception is an error of
    the response alone; so is a value that does not come in time.

    Parameters
    ----------
    python : str
        ``FILE:FUNCTION``; the function takes a response, or a prompt and a response, and returns a number.
    timeout : float, in (0, inf)
        Seconds for one response.
    """

    python: str
    timeout: float = 10.0

    code: ClassVar[tuple[str, ...]] = ("suites.custom.child",)

    def __post_init__(self) -> None:
        file, separator, function = self.python.rpartition(":")
        if not separator or not function.isidentifier() or not file.endswith(".py"):
            raise ValueError(f"python: write it as FILE.py:FUNCTION, not {self.python!r}")
        if not self.timeout > 0:
            raise ValueError(f"timeout: should be more than 0 seconds, not {self.timeout}")

    @property
    def _parts(self) -> tuple[str, str]:
        file, _, function = self.python.rpartition(":")
        return file, function

    @property
    def sources(self) -> Mapping[str, str]:
        return {"python": self._parts[0]}

    def with_sources(self, sources: Mapping[str, str]) -> Self:
        return replace(self, python=f"{sources['python']}:{self._parts[1]}")

    def score(self, prompts: Sequence[str], responses: Sequence[str], running: Running) -> list[Scored]:
        file, function = self._parts
        return values(Path(file), function, prompts, responses, self.timeout)

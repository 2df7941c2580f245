"""Questions to a model behind an endpoint, asked together: a verdict for each."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Coroutine, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from suites.judges.protocol import Verdict
from suites.judges.remote.chat import ChatClient
from suites.judges.remote.completion import Wording
from suites.judges.remote.ledger import Ledger
from suites.judges.remote.questions import Question, Questions, stopped
from suites.judges.remote.terms import Endpoint


@dataclass(frozen=True)
class Asking:
    """A model at an endpoint with the wording that its answers are read by.

    Parameters
    ----------
    model : str
    endpoint : Endpoint
    wording : Wording
        How answers are read, and how long they may be.
    folder : Path
        Where the ledger lies.
    fields : mapping
        Further fields of every request.
    role : str
        In messages.
    """

    model: str
    endpoint: Endpoint
    wording: Wording
    folder: Path
    fields: Mapping[str, Any] = field(default_factory=dict)
    role: str = "judge"

    @cached_property
    def ledger(self) -> Ledger:
        """The file of this URL and model."""
        identity = json.dumps([self.endpoint.base_url, self.model])
        return Ledger(self.folder / f"{hashlib.sha256(identity.encode()).hexdigest()[:16]}.sqlite")

    def ask(self, questions: Sequence[Question]) -> list[Verdict]:
        """One verdict for every question, several at a time; equal questions are asked once."""
        distinct = {question.key: question for question in questions}
        verdicts = _run(self._ask(list(distinct.values())))
        return [verdicts[question.key] for question in questions]

    async def _ask(self, questions: list[Question]) -> dict[str, Verdict]:
        try:
            client = ChatClient(self.endpoint.base_url, self.model, self.endpoint.key_name, self.endpoint.timeout)
        except ValueError as error:
            raise stopped(self.model, self.endpoint, str(error), self.role) from None
        allowed = self.endpoint.max_failed * len(questions)
        run = Questions(
            self.model, self.endpoint, self.wording, self.ledger, client, allowed, fields=self.fields, role=self.role
        )
        try:
            verdicts = await run.verdicts(questions)
        finally:
            await client.close()
        if run.fatal is not None:
            raise run.fatal
        return verdicts


def _run(verdicts: Coroutine[Any, Any, dict[str, Verdict]]) -> dict[str, Verdict]:
    """The result of a coroutine; in a thread of its own where this one runs an event loop, as a notebook's does."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(verdicts)
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(asyncio.run, verdicts).result()

"""A judge behind an OpenAI-compatible chat endpoint: cached, claimed, paced, retried, priced and capped."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Coroutine, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from suites.judges.protocol import Judge, Verdict
from suites.judges.registry import JudgeSetup, judge
from suites.judges.remote.chat import ChatClient
from suites.judges.remote.ledger import Ledger
from suites.judges.remote.questions import Question, Questions, stopped
from suites.judges.remote.terms import Endpoint, Price
from suites.judges.templates import Template, load_template


@dataclass(frozen=True)
class EndpointJudge:
    """A chat model that compares two responses by a prompt template.

    Every answer is kept under (endpoint, model, revision, template, pair, order) and never paid for again: a question is
    claimed before it is sent, and other stages and processes wait for its outcome. A reply without a clear choice, a
    cut one, a refusal or a filtered one is an ``unparsable`` verdict; a timeout, a rate limit or a server error that
    outlasts the retries, or a malformed reply, an ``error``; neither is kept. A wrong key, an unknown model, a server that
    cannot be reached, a changed revision or the cap on cost stops the judge.

    Parameters
    ----------
    model : str
    endpoint : Endpoint
    template : Template
    folder : Path
        Where the ledger lies.
    asking : int
        0, or a number that makes the same question a new one, to measure the judge's repeat disagreement.

    Raises
    ------
    JudgeFailed, OverBudget
        From `prefer`; the answers until then are kept.
    """

    model: str
    endpoint: Endpoint
    template: Template
    folder: Path
    asking: int = 0

    @property
    def name(self) -> str:
        """``endpoint:`` and the model."""
        return f"endpoint:{self.model}"

    @property
    def revision(self) -> str:
        """The revision that the server reports (``not asked yet`` before the first answer), and the prompt's."""
        seen = self.endpoint.revision or self.ledger.fact("revision") or "not asked yet"
        return f"{seen}, prompt {self.template.name} {self.template.revision}"

    def again(self) -> EndpointJudge:
        """The same judge, whose questions are sent once more instead of being looked up."""
        return replace(self, asking=self.asking + 1)

    @cached_property
    def ledger(self) -> Ledger:
        """The file of this URL and model."""
        identity = json.dumps([self.endpoint.base_url, self.model])
        return Ledger(self.folder / f"{hashlib.sha256(identity.encode()).hexdigest()[:16]}.sqlite")

    def prefer(self, prompts: Sequence[str], first: Sequence[str], second: Sequence[str]) -> list[Verdict]:
        """One verdict for every pair, several questions at a time."""
        questions = [self._question(*texts) for texts in zip(prompts, first, second, strict=True)]
        distinct = {question.key: question for question in questions}
        verdicts = _run(self._prefer(list(distinct.values())))
        return [verdicts[question.key] for question in questions]

    async def _prefer(self, questions: list[Question]) -> dict[str, Verdict]:
        try:
            client = ChatClient(self.endpoint.base_url, self.model, self.endpoint.key_name, self.endpoint.timeout)
        except ValueError as error:
            raise stopped(self.model, self.endpoint, str(error)) from None
        allowed = self.endpoint.max_failed * len(questions)
        run = Questions(self.model, self.endpoint, self.template, self.ledger, client, allowed)
        try:
            verdicts = await run.verdicts(questions)
        finally:
            await client.close()
        if run.fatal is not None:
            raise run.fatal
        return verdicts

    def _question(self, prompt: str, first: str, second: str) -> Question:
        messages = self.template.render(prompt, first, second)
        asked: list[Any] = [self.endpoint.revision, self.template.revision, messages, self.asking]
        if self.endpoint.temperature != 0.0:
            asked.append(self.endpoint.temperature)
        return Question(hashlib.sha256(json.dumps(asked).encode()).hexdigest(), messages)


def _run(verdicts: Coroutine[Any, Any, dict[str, Verdict]]) -> dict[str, Verdict]:
    """The result of a coroutine; in a thread of its own where this one runs an event loop, as a notebook's does."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(verdicts)
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(asyncio.run, verdicts).result()


@judge("endpoint", needs=["model", "prompt", "endpoint"])
def load(setup: JudgeSetup) -> Judge:
    """The judge of an experiment whose ``judge.kind`` is ``endpoint``."""
    if setup.folder is None or setup.prompt is None:
        raise ValueError("an endpoint judge needs a prompt and a folder for its answers")
    limits = dict(setup.limits)
    endpoint = Endpoint(**setup.endpoint, price=Price(**limits.pop("price", {})), **limits)
    return EndpointJudge(str(setup.model), endpoint, load_template(setup.prompt), setup.folder)

"""A judge behind an OpenAI-compatible chat endpoint: cached, claimed, paced, retried, priced and capped."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from suites.judges.protocol import Judge, Verdict
from suites.judges.registry import JudgeSetup, judge
from suites.judges.remote.asking import Asking
from suites.judges.remote.ledger import Ledger
from suites.judges.remote.questions import Question
from suites.judges.remote.terms import Endpoint
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

    @property
    def ledger(self) -> Ledger:
        """The file of this URL and model."""
        return self._asking.ledger

    @cached_property
    def _asking(self) -> Asking:
        return Asking(self.model, self.endpoint, self.template, self.folder)

    def prefer(self, prompts: Sequence[str], first: Sequence[str], second: Sequence[str]) -> list[Verdict]:
        """One verdict for every pair, several questions at a time."""
        return self._asking.ask([self._question(*texts) for texts in zip(prompts, first, second, strict=True)])

    def _question(self, prompt: str, first: str, second: str) -> Question:
        messages = self.template.render(prompt, first, second)
        asked: list[Any] = [self.endpoint.revision, self.template.revision, messages, self.asking]
        if self.endpoint.temperature != 0.0:
            asked.append(self.endpoint.temperature)
        return Question.of(asked, messages)


@judge("endpoint", needs=["model", "prompt", "endpoint"])
def load(setup: JudgeSetup) -> Judge:
    """The judge of an experiment whose ``judge.kind`` is ``endpoint``."""
    if setup.folder is None or setup.prompt is None:
        raise ValueError("an endpoint judge needs a prompt and a folder for its answers")
    endpoint = Endpoint.load(setup.endpoint, setup.limits)
    return EndpointJudge(str(setup.model), endpoint, load_template(setup.prompt), setup.folder)

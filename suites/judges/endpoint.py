"""A judge behind an OpenAI-compatible chat endpoint: cached, paced, retried, priced and capped."""

from __future__ import annotations

import hashlib
import json
import os
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from harness.records import Status
from suites.judges.ledger import Ledger
from suites.judges.protocol import Judge, Verdict
from suites.judges.registry import JudgeSetup, judge
from suites.judges.templates import Template, load_template

CHAT_MARKUP = 64
"""Tokens, at most, that a server's chat template adds to the messages."""
SHOWN = 80
TOP_LOGPROBS = 5


class MalformedReply(ValueError):
    """The server answered with something else than a chat completion."""


class JudgeFailed(RuntimeError):
    """The judge as a whole cannot go on; asking further would be useless or wrong."""


@dataclass(frozen=True)
class Price:
    """Dollars per million tokens.

    Examples
    --------
    >>> Price(input=2.0, output=8.0).cost(1000, 500)
    0.006
    """

    input: float = 0.0
    output: float = 0.0

    def cost(self, input_tokens: float, output_tokens: float) -> float:
        return (self.input * input_tokens + self.output * output_tokens) / 1e6


@dataclass(frozen=True)
class Endpoint:
    """Where a judge is and how it may be used.

    Parameters
    ----------
    base_url : str
        E.g. ``https://api.openai.com/v1``.
    key : str
        Name of the environment variable that holds the key; a server without keys needs none.
    revision : str, optional
        What the server must say it is (model, with the system fingerprint where it gives one); whatever its first
        answer said if not given.
    pin : {"fingerprint", "model"}
        Whether a change of the system fingerprint alone is a change of the judge.
    price : Price
    max_cost : float
        Dollars this judge may cost in one store, all runs together.
    concurrency : int
        Questions under way at a time, per stage.
    requests_per_minute : float, optional
        All processes together.
    timeout : float
        Seconds for one attempt.
    max_retries : int
        Further attempts after a timeout, a rate limit or a server error; the ``openai`` client backs off in
        between, or waits for what the server's Retry-After says.
    max_failed : float
        Share of the questions that may stay without an answer; with more the judge gives up.
    """

    base_url: str
    key: str = "OPENAI_API_KEY"
    revision: str | None = None
    pin: Literal["fingerprint", "model"] = "fingerprint"
    price: Price = Price()
    max_cost: float = 0.0
    concurrency: int = 4
    requests_per_minute: float | None = None
    timeout: float = 60.0
    max_retries: int = 5
    max_failed: float = 0.1


@dataclass(frozen=True)
class _Question:
    """One ordered pair as it is sent."""

    key: str
    messages: list[dict[str, str]]

    @property
    def most_input_tokens(self) -> int:
        """No tokenizer makes more tokens than bytes."""
        return CHAT_MARKUP + sum(len(message["content"].encode()) for message in self.messages)


@dataclass(frozen=True)
class EndpointJudge:
    """Asks a chat model, with a prompt template, which of two responses is better; at temperature 0.

    Every answer is kept under (endpoint, model, revision, template, pair, order) and never asked for again. A reply
    without a choice, a refusal or a filtered reply is an ``unparsable`` verdict; a timeout, a rate limit or a server
    error that outlasts the retries an ``error``; neither is kept. A wrong key, an unknown model, a server that cannot be
    reached, a changed revision or the cap on cost stops the judge.

    Parameters
    ----------
    model : str
    endpoint : Endpoint
    template : Template
    folder : Path
        Where the ledger lies.
    asking : int
        0, or a number that makes the same question a new one, to see whether the judge repeats itself.

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
        return f"endpoint:{self.model}"

    @property
    def revision(self) -> str:
        """What the server says it is (``not asked yet`` before the first answer), and the prompt."""
        seen = self.endpoint.revision or self.ledger.fact("revision") or "not asked yet"
        return f"{seen}, prompt {self.template.name} {self.template.revision}"

    def again(self) -> EndpointJudge:
        """The same judge asked a second time rather than remembered."""
        return replace(self, asking=self.asking + 1)

    @cached_property
    def ledger(self) -> Ledger:
        identity = json.dumps([self.endpoint.base_url, self.model])
        return Ledger(self.folder / f"{hashlib.sha256(identity.encode()).hexdigest()[:16]}.sqlite")

    @cached_property
    def _client(self):
        from openai import OpenAI

        return OpenAI(
            base_url=self.endpoint.base_url,
            api_key=os.environ.get(self.endpoint.key) or "none",
            timeout=self.endpoint.timeout,
            max_retries=self.endpoint.max_retries,
        )

    def prefer(self, prompts: Sequence[str], first: Sequence[str], second: Sequence[str]) -> list[Verdict]:
        """One verdict for every pair, several questions at a time."""
        questions = [self._question(*texts) for texts in zip(prompts, first, second, strict=True)]
        distinct = list({question.key: question for question in questions}.values())
        run = _Run(self, allowed=self.endpoint.max_failed * len(distinct))
        with ThreadPoolExecutor(self.endpoint.concurrency) as pool:
            verdicts = dict(zip((q.key for q in distinct), pool.map(run.verdict, distinct), strict=True))
        if run.fatal is not None:
            raise run.fatal
        return [verdicts[question.key] for question in questions]

    def _question(self, prompt: str, first: str, second: str) -> _Question:
        messages = self.template.render(prompt, first, second)
        asked = [self.endpoint.revision, self.template.revision, messages, self.asking]
        return _Question(hashlib.sha256(json.dumps(asked).encode()).hexdigest(), messages)

    def ask(self, question: _Question) -> Verdict:
        """Send one question and read the answer; keep and charge it."""
        output = self.template.max_tokens
        worst = self.endpoint.price.cost(question.most_input_tokens, output)
        payment = self.ledger.reserve(worst, self.endpoint.max_cost)
        if self.endpoint.requests_per_minute:
            time.sleep(self.ledger.turn(60 / self.endpoint.requests_per_minute))
        try:
            reply = self._send(question.messages)
        except Exception as error:
            if not _may_be_billed(error):
                self.ledger.settle(payment, 0.0)
            raise
        usage = getattr(reply, "usage", None)
        paid = worst if usage is None else self.endpoint.price.cost(usage.prompt_tokens, usage.completion_tokens)
        self.ledger.settle(payment, paid)
        if getattr(reply, "choices", None) is None:
            raise MalformedReply(f"a reply that is no chat completion: {str(reply)[:SHOWN]!r}")
        self._require_revision(reply)
        verdict, text = read(reply, self.template)
        if verdict.p_first is not None:
            self.ledger.keep(question.key, verdict.p_first, text, paid)
        return replace(verdict, cost=paid)

    def _send(self, messages: list[dict[str, str]]):
        logprobs = {"logprobs": True, "top_logprobs": TOP_LOGPROBS} if self.template.answer == "token" else {}
        return self._client.chat.completions.create(
            model=self.model, messages=messages, temperature=0.0, max_tokens=self.template.max_tokens, **logprobs
        )

    def _require_revision(self, reply) -> None:
        fingerprint = getattr(reply, "system_fingerprint", None) if self.endpoint.pin == "fingerprint" else None
        seen = " ".join(filter(None, (str(reply.model), fingerprint)))
        expected = self.endpoint.revision or self.ledger.first("revision", seen)
        if seen != expected:
            raise JudgeFailed(
                f"judge {self.model!r} at {self.endpoint.base_url} changed: it is now {seen!r}, and was {expected!r}. "
                f"Answers of the two are not mixed; name the revision to judge with anew (judge.endpoint.revision={seen})"
            )


class _Run:
    """The state that the questions of one call share: how many failed, and what stops them all."""

    def __init__(self, judge: EndpointJudge, allowed: float) -> None:
        self.judge, self.allowed = judge, allowed
        self.failed, self.fatal, self.lock = 0, None, threading.Lock()

    def verdict(self, question: _Question) -> Verdict:
        if (known := self.judge.ledger.answer(question.key)) is not None:
            return Verdict(known[0], cost=known[1])
        if self.fatal is not None:
            return Verdict(None, Status.ERROR, "the judge stopped")
        try:
            return self.judge.ask(question)
        except Exception as error:
            return self._failure(error)

    def _failure(self, error: Exception) -> Verdict:
        """The verdict of a question that failed alone; anything else stops the judge."""
        reason = _passing(error)
        with self.lock:
            if reason is None:
                self.fatal = self.fatal or _explained(error, self.judge)
                return Verdict(None, Status.ERROR, "the judge stopped")
            self.failed += 1
            if self.failed > self.allowed and self.fatal is None:
                self.fatal = JudgeFailed(
                    f"judge {self.judge.model!r} at {self.judge.endpoint.base_url}: {self.failed} questions stayed without "
                    f"an answer after {self.judge.endpoint.max_retries} retries each, the last by {reason}; answers so far are kept"
                )
        return Verdict(None, Status.ERROR, reason)


def read(reply: Any, template: Template) -> tuple[Verdict, str]:
    """The verdict that a chat completion holds, and its text.

    Log-probabilities, where the template asks for one token and the server gives them, make the verdict a
    probability; else it is what the text says.
    """
    if not reply.choices:
        return Verdict(None, Status.UNPARSABLE, "no message in the reply"), ""
    choice = reply.choices[0]
    text = choice.message.content or ""
    if getattr(choice.message, "refusal", None) or choice.finish_reason == "content_filter":
        return Verdict(None, Status.UNPARSABLE, "refusal"), text
    p_first = template.read(text)
    if template.answer == "token" and (content := choice.logprobs and choice.logprobs.content):
        p_first = template.weigh({entry.token: entry.logprob for entry in content[0].top_logprobs})
    if p_first is None:
        cut = ", cut at its token limit" if choice.finish_reason == "length" and template.answer != "token" else ""
        return Verdict(None, Status.UNPARSABLE, f"no choice in the reply{cut}: {text[-SHOWN:]!r}"), text
    return Verdict(p_first), text


def _may_be_billed(error: Exception) -> bool:
    """Whether the server may have done the work of a question that failed here."""
    import openai

    return isinstance(error, (openai.APITimeoutError, json.JSONDecodeError))


def _passing(error: Exception) -> str | None:
    """Why one question failed where the next may succeed; None for an error that the others share."""
    import openai

    match error:
        case openai.APITimeoutError():
            return "timeout"
        case openai.RateLimitError() if error.code != "insufficient_quota":
            return "rate limit"
        case openai.InternalServerError():
            return f"HTTP {error.status_code}"
        case openai.BadRequestError() | openai.UnprocessableEntityError():
            return f"HTTP {error.status_code}: {_said(error)}"
        case MalformedReply():
            return str(error)
        case openai.APIResponseValidationError() | json.JSONDecodeError():
            return "a reply that is no chat completion: not JSON"
        case _:
            return None


def _explained(error: Exception, judge: EndpointJudge) -> Exception:
    """An error that stops the judge, as one sentence that says what to change."""
    import openai

    where = f"judge {judge.model!r} at {judge.endpoint.base_url}"
    match error:
        case openai.AuthenticationError() | openai.PermissionDeniedError():
            set_ = "is refused" if os.environ.get(judge.endpoint.key) else "is not set"
            return JudgeFailed(f"{where}: the key in ${judge.endpoint.key} {set_} (HTTP {error.status_code})")
        case openai.NotFoundError():
            return JudgeFailed(f"{where}: no such model or path (HTTP 404: {_said(error)})")
        case openai.RateLimitError():
            return JudgeFailed(f"{where}: the account's quota is used up ({_said(error)})")
        case openai.APIConnectionError():
            return JudgeFailed(f"{where}: cannot be reached ({error.__cause__ or error})")
        case openai.OpenAIError():
            return JudgeFailed(f"{where}: {_said(error)}")
        case _:
            return error


def _said(error: Exception) -> str:
    return (str(error).splitlines() or [""])[0][:200]


@judge("endpoint", needs=["model", "prompt", "endpoint"])
def load(setup: JudgeSetup) -> Judge:
    """The judge of an experiment whose ``judge.kind`` is ``endpoint``."""
    if setup.folder is None or setup.prompt is None:
        raise ValueError("an endpoint judge needs a prompt and a folder for its answers")
    limits = dict(setup.limits)
    endpoint = Endpoint(**setup.endpoint, price=Price(**limits.pop("price", {})), **limits)
    return EndpointJudge(str(setup.model), endpoint, load_template(setup.prompt), setup.folder)

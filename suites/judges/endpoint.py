"""A judge behind an OpenAI-compatible chat endpoint: cached, claimed, paced, retried, priced and capped."""

from __future__ import annotations

import asyncio
import hashlib
import json
import random
import time
from collections.abc import Coroutine, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Literal

from harness.records import Status
from suites.judges.chat import DEFAULT_KEY, ChatClient, Failure, is_loopback, require_key_name, require_url
from suites.judges.ledger import Answer, Claim, Ledger, new_owner
from suites.judges.protocol import Judge, Verdict
from suites.judges.redaction import redact
from suites.judges.registry import JudgeSetup, judge
from suites.judges.templates import Template, load_template

CHAT_MARKUP = 64
"""Tokens, at most, that a server's chat template adds to the messages."""
SHOWN = 80
TOP_LOGPROBS = 5
LONGEST_WAIT = 120.0
"""Seconds that a question waits for one Retry-After; a server that asks for more gives an ``error``."""
BEAT_SECONDS, LEASE_SECONDS = 5.0, 30.0
"""Interval in which a claim shows that its owner lives, and the silence after which it is taken over."""
POLL_SECONDS = 0.2
STOPPED = Verdict(None, Status.ERROR, "the judge stopped")
FINISHED = frozenset(["stop", "eos", "eos_token", "end_turn", "stop_sequence"])
"""Values of ``finish_reason`` of a reply that ended by itself."""


class MalformedReply(ValueError):
    """A reply of the server that is no chat completion."""


class JudgeFailed(RuntimeError):
    """A judge that cannot go on as a whole: another question would be useless or wrong."""


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
        """Dollars of one request."""
        return (self.input * input_tokens + self.output * output_tokens) / 1e6


@dataclass(frozen=True)
class Endpoint:
    """Address of a judge, and the terms of its use.

    Parameters
    ----------
    base_url : str
        E.g. ``https://api.openai.com/v1``; plain http only for a server on this machine.
    key : str, optional
        Name of the environment variable that holds the key; ``OPENAI_API_KEY`` if not given, and none for a server on
        this machine.
    revision : str, optional
        The model (with the system fingerprint where the server gives one) that the server must report; if not given,
        the one that its first answer reported.
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
        Seconds for one whole attempt.
    max_retries : int
        Further attempts after a timeout, a rate limit, a broken connection or a server error, after an exponential
        back-off or the server's Retry-After.
    max_failed : float
        Share of the questions that may stay without an answer; with more the judge gives up.
    token_limit : {"max_tokens", "max_completion_tokens"}, optional
        The request's field for the longest reply; None leaves it out, for a judge without a price per output token.
    temperature : float, optional
        None leaves it out, for servers that refuse it.
    """

    base_url: str
    key: str | None = None
    revision: str | None = None
    pin: Literal["fingerprint", "model"] = "fingerprint"
    price: Price = Price()
    max_cost: float = 0.0
    concurrency: int = 4
    requests_per_minute: float | None = None
    timeout: float = 60.0
    max_retries: int = 5
    max_failed: float = 0.1
    token_limit: Literal["max_tokens", "max_completion_tokens"] | None = "max_tokens"
    temperature: float | None = 0.0

    def __post_init__(self) -> None:
        require_url(self.base_url)
        if self.key is not None:
            require_key_name(self.key)
        if self.token_limit is None and self.price.output:
            raise ValueError(
                "token_limit: without a limit the cost of a reply has no bound; leave the output price out too"
            )

    @property
    def key_name(self) -> str | None:
        """Environment variable of the key that is sent, None where none is."""
        return self.key or (None if is_loopback(self.base_url) else DEFAULT_KEY)


@dataclass(frozen=True)
class _Question:
    """One ordered pair as it is sent."""

    key: str
    messages: list[dict[str, str]]

    @property
    def most_input_tokens(self) -> int:
        """Upper bound of the input tokens: no tokenizer makes more tokens than bytes."""
        return CHAT_MARKUP + sum(len(message["content"].encode(errors="surrogatepass")) for message in self.messages)


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

    async def _prefer(self, questions: list[_Question]) -> dict[str, Verdict]:
        try:
            client = ChatClient(self.endpoint.base_url, self.model, self.endpoint.key_name, self.endpoint.timeout)
        except ValueError as error:
            raise self.failed(str(error)) from None
        run = _Run(self, client, allowed=self.endpoint.max_failed * len(questions))
        try:
            verdicts = await run.verdicts(questions)
        finally:
            await client.close()
        if run.fatal is not None:
            raise run.fatal
        return verdicts

    def failed(self, reason: str) -> JudgeFailed:
        """An error of the whole judge."""
        return JudgeFailed(redact(f"judge {self.model!r} at {self.endpoint.base_url}: {reason}"))

    def _question(self, prompt: str, first: str, second: str) -> _Question:
        messages = self.template.render(prompt, first, second)
        asked: list[Any] = [self.endpoint.revision, self.template.revision, messages, self.asking]
        if self.endpoint.temperature != 0.0:
            asked.append(self.endpoint.temperature)
        return _Question(hashlib.sha256(json.dumps(asked).encode()).hexdigest(), messages)

    @property
    def request_settings(self) -> dict[str, Any]:
        """Fields of a request beside model and messages."""
        settings: dict[str, Any] = {}
        if self.endpoint.temperature is not None:
            settings["temperature"] = self.endpoint.temperature
        if self.endpoint.token_limit is not None:
            settings[self.endpoint.token_limit] = self.template.max_tokens
        if self.template.answer == "token":
            settings |= {"logprobs": True, "top_logprobs": TOP_LOGPROBS}
        return settings

    def require_revision(self, reply: Any, key: str) -> None:
        """Raise `JudgeFailed` where a reply comes from another revision than the ones before."""
        fingerprint = getattr(reply, "system_fingerprint", None) if self.endpoint.pin == "fingerprint" else None
        parts = (getattr(reply, "model", None) or self.model, fingerprint)
        seen = redact(" ".join(str(part) for part in parts if part), key)
        expected = self.endpoint.revision or self.ledger.first("revision", seen)
        if seen != expected:
            raise JudgeFailed(
                f"judge {self.model!r} at {self.endpoint.base_url} changed: it is now {seen!r}, and was {expected!r}. "
                f"Answers of the two are not mixed; name the revision to judge with anew (judge.endpoint.revision={seen})"
            )


@dataclass
class _Run:
    """The questions of one call: what they share, and the way of each from its claim to its verdict."""

    judge: EndpointJudge
    client: ChatClient
    allowed: float
    owner: str = field(default_factory=new_owner)
    failures: int = 0
    fatal: Exception | None = None
    after: int = 0

    async def verdicts(self, questions: list[_Question]) -> dict[str, Verdict]:
        """A verdict for every question; one that was not sent before `fatal` is ``error``."""
        slots = asyncio.Semaphore(self.judge.endpoint.concurrency)
        self.after = await asyncio.to_thread(self.judge.ledger.outcomes)

        async def one(question: _Question) -> Verdict:
            async with slots:
                return await self._verdict(question)

        beats = asyncio.create_task(self._beat())
        try:
            verdicts = await asyncio.gather(*map(one, questions))
        finally:
            beats.cancel()
        return dict(zip((question.key for question in questions), verdicts, strict=True))

    async def _beat(self) -> None:
        while True:
            await asyncio.sleep(BEAT_SECONDS)
            await asyncio.to_thread(self.judge.ledger.beat, self.owner)

    async def _verdict(self, question: _Question) -> Verdict:
        """The verdict of a question: stored, another process's, or that of a request."""
        watched: Claim | None = None
        since = 0.0
        while self.fatal is None:
            silent = watched is not None and (watched.abandoned or time.monotonic() - since > LEASE_SECONDS)
            entry = await asyncio.to_thread(
                self.judge.ledger.claim, question.key, self.owner, self.after, watched, silent
            )
            if isinstance(entry, Answer):
                if not self._doubtful(entry):
                    return Verdict(entry.p_first, cost=entry.cost)
                await asyncio.to_thread(self.judge.ledger.forget, question.key)
                continue
            if entry is None:
                return await self._claimed(question)
            if entry.outcome is not None:
                status, reason, cost = json.loads(entry.outcome)
                return Verdict(None, Status(status), reason, cost)
            if entry != watched:
                watched, since = entry, time.monotonic()
            await asyncio.sleep(POLL_SECONDS)
        return STOPPED

    def _doubtful(self, answer: Answer) -> bool:
        """Whether a written reply, kept under an earlier rule of reading, states no choice by the present one."""
        template = self.judge.template
        return template.answer == "last_character" and template.read(answer.reply) is None

    async def _claimed(self, question: _Question) -> Verdict:
        """Ask a question that is claimed here, and give the claim up whatever happens."""
        outcome = None
        try:
            verdict = await self._ask(question)
            if verdict.p_first is None and self.fatal is None:
                outcome = json.dumps([verdict.status, verdict.reason, verdict.cost])
            return verdict
        except Exception as error:  # one question's error stops all: raised by `prefer` once the others have ended
            self.fatal = self.fatal or error
            return STOPPED
        finally:
            self.judge.ledger.release(question.key, self.owner, outcome)

    async def _ask(self, question: _Question) -> Verdict:
        """Send a question, as often as needed and allowed; every attempt is paced and paid for."""
        ledger, endpoint = self.judge.ledger, self.judge.endpoint
        worst = endpoint.price.cost(question.most_input_tokens, self.judge.template.max_tokens)
        attempt = 0
        while True:
            attempt += 1
            await self._turn()
            payment = await asyncio.to_thread(ledger.reserve, worst, endpoint.max_cost)
            reply = await self.client.attempt(question.messages, self.judge.request_settings)
            if not isinstance(reply, Failure):
                return await self._read(question, reply, payment, worst)
            await asyncio.to_thread(ledger.settle, payment, worst if reply.billed else 0.0)
            wait = min(0.5 * 2.0**attempt, 8.0) * random.uniform(0.5, 1.0) if reply.wait is None else reply.wait
            if not reply.retry or attempt > endpoint.max_retries:
                return self._failed(reply, attempt)
            if wait > LONGEST_WAIT:
                excess = f"; the server asks to wait {wait:.0f} s, and a question waits {LONGEST_WAIT:.0f} s at most"
                return self._failed(replace(reply, reason=reply.reason + excess), attempt)
            await asyncio.sleep(wait)
            if self.fatal is not None:
                return STOPPED

    async def _turn(self) -> None:
        """Wait until the pace of all processes together allows a request."""
        if not self.judge.endpoint.requests_per_minute:
            return
        interval = 60 / self.judge.endpoint.requests_per_minute
        while (wait := await asyncio.to_thread(self.judge.ledger.turn, interval)) > 0:
            await asyncio.sleep(wait)

    async def _read(self, question: _Question, reply: SimpleNamespace, payment: int, worst: float) -> Verdict:
        """Charge a reply, read its verdict and keep it if it is one."""
        ledger, key = self.judge.ledger, self.client.key
        paid = _paid(getattr(reply, "usage", None), self.judge.endpoint.price, worst)
        await asyncio.to_thread(ledger.settle, payment, paid)
        try:
            verdict, text = read(reply, self.judge.template)
        except MalformedReply as error:
            return replace(self._failed(Failure(redact(str(error), key), "question")), cost=paid)
        self.judge.require_revision(reply, key)
        if verdict.p_first is not None:
            await asyncio.to_thread(ledger.keep, question.key, verdict.p_first, redact(text, key), paid)
        return replace(verdict, cost=paid, reason=redact(verdict.reason, key))

    def _failed(self, failure: Failure, attempts: int = 1) -> Verdict:
        """The verdict of a question without an answer; too many of them, or a failure of the judge, stop all."""
        reason = failure.reason if attempts == 1 else f"{failure.reason} ({attempts} attempts)"
        if failure.scope == "judge":
            self.fatal = self.fatal or self.judge.failed(reason)
            return STOPPED
        self.failures += 1
        if self.failures > self.allowed and self.fatal is None:
            self.fatal = self.judge.failed(
                f"{self.failures} questions stayed without an answer after up to {self.judge.endpoint.max_retries + 1} "
                f"attempts each, the last by {reason}; answers so far are kept"
            )
        return Verdict(None, Status.ERROR, reason)


def _run(verdicts: Coroutine[Any, Any, dict[str, Verdict]]) -> dict[str, Verdict]:
    """The result of a coroutine; in a thread of its own where this one runs an event loop, as a notebook's does."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(verdicts)
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(asyncio.run, verdicts).result()


def _paid(usage: object, price: Price, worst: float) -> float:
    """The cost that a reply's usage states; the worst case where it is missing, not a number or out of range."""
    tokens = [getattr(usage, name, None) for name in ("prompt_tokens", "completion_tokens")]
    counts = [count for count in tokens if isinstance(count, int | float) and not isinstance(count, bool)]
    if len(counts) < 2 or not all(0 <= count <= 1e12 for count in counts):
        return worst
    return min(price.cost(*counts), worst)


def read(reply: Any, template: Template) -> tuple[Verdict, str]:
    """The verdict of a chat completion, and its text.

    The finish reason comes first: a reply that was cut, filtered or ended in another way than by itself has no verdict. A
    template that wants one token is an exception, because its reply always ends at the limit; there, log-probabilities, if
    the server gives them, make the verdict a probability.

    Raises
    ------
    MalformedReply
        If the reply is no chat completion.
    """
    choices = getattr(reply, "choices", None)
    if not isinstance(choices, list):
        raise MalformedReply(f"a reply that is no chat completion: {str(reply)[:SHOWN]!r}")
    message = getattr(choices[0], "message", "missing") if choices else None
    if message is not None and not hasattr(message, "content"):
        raise MalformedReply(f"a reply that is no chat completion: its choice is {str(choices[0])[:SHOWN]!r}")
    finish = getattr(choices[0], "finish_reason", None) if choices else None
    text = _content(message)
    if getattr(message, "refusal", None) or finish == "content_filter":
        return Verdict(None, Status.UNPARSABLE, "refusal"), text
    if message is None:
        return Verdict(None, Status.UNPARSABLE, "no message in the reply"), text
    if finish == "length" and template.answer != "token":
        return _unparsable("the reply is cut at its token limit", text)
    if finish is not None and finish != "length" and str(finish) not in FINISHED:
        return _unparsable(f"the reply ended with {str(finish)[:SHOWN]!r}", text)
    top = _top_logprobs(choices[0]) if template.answer == "token" else {}
    p_first = template.weigh(top) if top else template.read(text)
    return (Verdict(p_first), text) if p_first is not None else _unparsable("no choice in the reply", text)


def _unparsable(reason: str, text: str) -> tuple[Verdict, str]:
    return Verdict(None, Status.UNPARSABLE, f"{reason}: {text[-SHOWN:]!r}"), text


def _content(message: Any) -> str:
    """The text of a message; the text parts of one in parts."""
    content = None if message is None else message.content
    parts = [getattr(part, "text", None) for part in content] if isinstance(content, list) else [content]
    texts = [part for part in parts if part is not None or isinstance(content, list)]
    if not all(isinstance(text, str) for text in texts):
        raise MalformedReply(f"a reply that is no chat completion: its content is {str(content)[:SHOWN]!r}")
    return "".join(map(str, texts))


def _top_logprobs(choice: Any) -> dict[str, float]:
    """Log-probabilities of the reply's first token, by token; empty where the server gives none."""
    content = getattr(getattr(choice, "logprobs", None), "content", None)
    if not content:
        return {}
    try:
        return {str(entry.token): _log_probability(entry.logprob) for entry in content[0].top_logprobs or ()}
    except (AttributeError, TypeError, LookupError) as error:
        raise MalformedReply(f"a reply that is no chat completion: its log-probabilities ({error})") from None


def _log_probability(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not value <= 1e-6:
        raise MalformedReply(f"a reply that is no chat completion: {value!r} is no log-probability")
    return float(value)


@judge("endpoint", needs=["model", "prompt", "endpoint"])
def load(setup: JudgeSetup) -> Judge:
    """The judge of an experiment whose ``judge.kind`` is ``endpoint``."""
    if setup.folder is None or setup.prompt is None:
        raise ValueError("an endpoint judge needs a prompt and a folder for its answers")
    limits = dict(setup.limits)
    endpoint = Endpoint(**setup.endpoint, price=Price(**limits.pop("price", {})), **limits)
    return EndpointJudge(str(setup.model), endpoint, load_template(setup.prompt), setup.folder)

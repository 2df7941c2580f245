"""The way of a question from its claim to its verdict: pace, payment, retries, and what stops the judge."""

from __future__ import annotations

import asyncio
import hashlib
import json
import random
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import SimpleNamespace
from typing import Any

from harness.records import Status
from suites.judges.protocol import Verdict
from suites.judges.redaction import redact
from suites.judges.remote.chat import ChatClient, Failure
from suites.judges.remote.completion import MalformedReply, Wording, cost, read
from suites.judges.remote.ledger import Answer, Claim, Ledger, new_owner
from suites.judges.remote.terms import Endpoint

CHAT_MARKUP = 64
"""Tokens, at most, that a server's chat template adds to the messages."""
TOP_LOGPROBS = 5
LONGEST_WAIT = 120.0
"""Seconds that a question waits for one Retry-After; a server that asks for more gives an ``error``."""
BEAT_SECONDS, LEASE_SECONDS = 5.0, 30.0
"""Interval in which a claim shows that its owner lives, and the silence after which it is taken over."""
POLL_SECONDS = 0.2
STOPPED = Verdict(None, Status.ERROR, "the judge stopped")


class JudgeFailed(RuntimeError):
    """A judge that cannot go on as a whole: another question would be useless or wrong."""


def stopped(model: str, endpoint: Endpoint, reason: str, role: str = "judge") -> JudgeFailed:
    """An error of the whole judge, or of a model in another role."""
    return JudgeFailed(redact(f"{role} {model!r} at {endpoint.base_url}: {reason}"))


@dataclass(frozen=True)
class Question:
    """One ordered pair as it is sent; `fields` are further ones of its request."""

    key: str
    messages: list[dict[str, str]]
    fields: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def of(
        cls, asked: Sequence[Any], messages: list[dict[str, str]], fields: Mapping[str, Any] | None = None
    ) -> Question:
        """A question whose key is the hash of all that its answer depends on."""
        return cls(hashlib.sha256(json.dumps(asked).encode()).hexdigest(), messages, fields or {})

    @property
    def most_input_tokens(self) -> int:
        """Upper bound of the input tokens: no tokenizer makes more tokens than bytes."""
        return CHAT_MARKUP + sum(len(message["content"].encode(errors="surrogatepass")) for message in self.messages)


@dataclass
class Questions:
    """The questions of one call: what they share, and the way of each from its claim to its verdict."""

    model: str
    endpoint: Endpoint
    template: Wording
    ledger: Ledger
    client: ChatClient
    allowed: float
    owner: str = field(default_factory=new_owner)
    failures: int = 0
    fatal: Exception | None = None
    after: int = 0
    fields: Mapping[str, Any] = field(default_factory=dict)
    """Further fields of every request."""
    role: str = "judge"

    async def verdicts(self, questions: list[Question]) -> dict[str, Verdict]:
        """A verdict for every question; one that was not sent before `fatal` is ``error``."""
        slots = asyncio.Semaphore(self.endpoint.concurrency)
        self.after = await asyncio.to_thread(self.ledger.outcomes)

        async def one(question: Question) -> Verdict:
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
            await asyncio.to_thread(self.ledger.beat, self.owner)

    async def _verdict(self, question: Question) -> Verdict:
        """The verdict of a question: stored, another process's, or that of a request."""
        watched: Claim | None = None
        since = 0.0
        while self.fatal is None:
            silent = watched is not None and (watched.abandoned or time.monotonic() - since > LEASE_SECONDS)
            entry = await asyncio.to_thread(self.ledger.claim, question.key, self.owner, self.after, watched, silent)
            if isinstance(entry, Answer):
                if (choice := self._choice(entry)) is not None:
                    return Verdict(choice, cost=entry.cost, reply=entry.reply)
                await asyncio.to_thread(self.ledger.forget, question.key)
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

    def _choice(self, answer: Answer) -> float | None:
        """What a stored answer says by the present rule of reading, which may not be the one that it was kept under."""
        written = self.template.answer in ("last_character", "grade")
        return self.template.read(answer.reply) if written else answer.p_first

    async def _claimed(self, question: Question) -> Verdict:
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
            self.ledger.release(question.key, self.owner, outcome)

    async def _ask(self, question: Question) -> Verdict:
        """Send a question, as often as needed and allowed; every attempt is paced and paid for."""
        ledger, endpoint = self.ledger, self.endpoint
        worst = endpoint.price.cost(question.most_input_tokens, self.template.max_tokens)
        attempt = 0
        while True:
            attempt += 1
            await self._turn()
            payment = await asyncio.to_thread(ledger.reserve, worst, endpoint.max_cost)
            reply = await self.client.attempt(question.messages, self._settings(question))
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
        if not self.endpoint.requests_per_minute:
            return
        interval = 60 / self.endpoint.requests_per_minute
        while (wait := await asyncio.to_thread(self.ledger.turn, interval)) > 0:
            await asyncio.sleep(wait)

    async def _read(self, question: Question, reply: SimpleNamespace, payment: int, worst: float) -> Verdict:
        """Charge a reply, read its verdict and keep it if it is one."""
        ledger, key = self.ledger, self.client.key
        paid = cost(getattr(reply, "usage", None), self.endpoint.price, worst)
        await asyncio.to_thread(ledger.settle, payment, paid)
        try:
            verdict, text = read(reply, self.template)
        except MalformedReply as error:
            return replace(self._failed(Failure(redact(str(error), key), "question")), cost=paid)
        self._require_revision(reply, key)
        if verdict.p_first is not None:
            await asyncio.to_thread(ledger.keep, question.key, verdict.p_first, redact(text, key), paid)
        return replace(verdict, cost=paid, reason=redact(verdict.reason, key), reply=redact(text, key))

    def _failed(self, failure: Failure, attempts: int = 1) -> Verdict:
        """The verdict of a question without an answer; too many of them, or a failure of the judge, stop all."""
        reason = failure.reason if attempts == 1 else f"{failure.reason} ({attempts} attempts)"
        if failure.scope == "judge":
            self.fatal = self.fatal or stopped(self.model, self.endpoint, reason, self.role)
            return STOPPED
        self.failures += 1
        if self.failures > self.allowed and self.fatal is None:
            self.fatal = stopped(
                self.model,
                self.endpoint,
                f"{self.failures} questions stayed without an answer after up to {self.endpoint.max_retries + 1} "
                f"attempts each, the last by {reason}; answers so far are kept",
                self.role,
            )
        return Verdict(None, Status.ERROR, reason)

    def _settings(self, question: Question) -> dict[str, Any]:
        """Fields of a request beside model and messages."""
        settings: dict[str, Any] = {**self.fields, **question.fields}
        if self.endpoint.temperature is not None:
            settings["temperature"] = self.endpoint.temperature
        if self.endpoint.token_limit is not None:
            settings[self.endpoint.token_limit] = self.template.max_tokens
        if self.template.answer == "token":
            settings |= {"logprobs": True, "top_logprobs": TOP_LOGPROBS}
        return settings

    def _require_revision(self, reply: Any, key: str) -> None:
        """Raise `JudgeFailed` where a reply comes from another revision than the ones before."""
        fingerprint = getattr(reply, "system_fingerprint", None) if self.endpoint.pin == "fingerprint" else None
        parts = (getattr(reply, "model", None) or self.model, fingerprint)
        seen = redact(" ".join(str(part) for part in parts if part), key)
        expected = self.endpoint.revision or self.ledger.first("revision", seen)
        if seen != expected:
            raise JudgeFailed(
                f"{self.role} {self.model!r} at {self.endpoint.base_url} changed: it is now {seen!r}, and was {expected!r}. "
                f"Answers of the two are not mixed; to use the new revision, name it (endpoint.revision={seen})"
            )

"""A served model as a generator, asked as a judge is: its answers cached, paced, priced and capped."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from harness.records import Generation, Status
from suites.generation.decoding import Decoding
from suites.judges.protocol import Verdict
from suites.judges.remote.asking import Asking
from suites.judges.remote.completion import CUT
from suites.judges.remote.questions import Question
from suites.judges.remote.terms import Endpoint
from trainers.tokens.dialogue import Message, readable


@dataclass(frozen=True)
class FreeText:
    """Wording whose reply is kept as it is, also one that was cut at the token limit."""

    max_tokens: int
    answer: str = "text"

    def read(self, reply: str) -> float | None:
        """1: any reply is one."""
        return 1.0

    def weigh(self, logprobs: Mapping[str, float]) -> float | None:
        """None: no log-probabilities are asked for."""
        return None


@dataclass(frozen=True)
class ServedModel:
    """A model that answers prompts through an endpoint.

    A prompt without an answer after all attempts is an ``error``; a refused or filtered one is ``unparsable``, one cut at
    `Decoding.max_new_tokens` is ``truncated``. The number of tokens is not known.

    Parameters
    ----------
    model : str
    endpoint : Endpoint
    folder : Path
        Where the answers are kept; none is paid for twice.
    system : str, optional
        A system message in front of every prompt.
    """

    model: str
    endpoint: Endpoint
    folder: Path
    system: str | None = None

    @classmethod
    def load(
        cls, model: str, terms: Mapping[str, Any], limits: Mapping[str, Any], folder: Path, system: str | None = None
    ) -> ServedModel:
        """A served model from the parameters and settings of a stage."""
        return cls(model, Endpoint.load(terms, limits), folder, system)

    def generate(self, prompts: Mapping[str, list[Message]], decoding: Decoding) -> tuple[list[Generation], float]:
        """One generation per prompt and trial, in the order of `prompts`, and the dollars that they cost."""
        fields = {"top_p": decoding.top_p}
        endpoint = replace(self.endpoint, temperature=decoding.temperature)
        asking = Asking(
            self.model, endpoint, FreeText(decoding.max_new_tokens), self.folder, fields, role="served model"
        )
        rows = [(key, trial) for key in prompts for trial in range(decoding.samples)]
        questions = [self._question(prompts[key], decoding, trial) for key, trial in rows]
        verdicts = asking.ask(questions)
        generations = []
        for (key, trial), verdict in zip(rows, verdicts, strict=True):
            text, status = _outcome(verdict)
            generations.append(Generation(f"{key}#{trial}", key, readable(prompts[key]), text, 0, status, trial))
        return generations, sum({q.key: v.cost for q, v in zip(questions, verdicts, strict=True)}.values())

    def _question(self, prompt: list[Message], decoding: Decoding, trial: int) -> Question:
        system = [{"role": "system", "content": self.system}] if self.system else []
        messages = [*system, *({"role": str(m["role"]), "content": str(m["content"])} for m in prompt)]
        # A server that obeys the seed would give the same answer to all trials of one seed.
        seed = decoding.seed * decoding.samples + trial
        settings = [decoding.max_new_tokens, decoding.temperature, decoding.top_p, seed]
        asked = ["generation", self.endpoint.revision, messages, settings, trial]
        return Question.of(asked, messages, {"seed": seed})


def _outcome(verdict: Verdict) -> tuple[str, Status]:
    """The text of an answer and how it ended."""
    if verdict.p_first is None:
        return "", verdict.status
    if not verdict.reply.strip():
        return verdict.reply, Status.EMPTY
    return verdict.reply, Status.TRUNCATED if verdict.p_first == CUT else Status.OK

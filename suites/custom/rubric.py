"""A language model that grades responses by a rubric on a scale of whole numbers."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, Self

from suites.custom.scorer import Running, Scored, scorer

INSTRUCTION = (
    "Grade the response to the prompt by the rubric, with a whole number from {low} to {high}.\n\nRubric:\n{rubric}\n\n"
    "Prompt:\n{prompt}\n\nResponse:\n{response}\n\n{ending}"
)
WRITTEN = 'Give a short reason, and end with a line "Grade: " and the number.'
DIRECT = "Reply with the number alone."
MOST_GRADES = 10
_GRADE = re.compile(r"\bgrade\W*?([-\u2212\u2013\uff0d]?)(\d+)\W*$", re.IGNORECASE)
"""The last grade with its sign, which may be a typographic one."""


@dataclass(frozen=True)
class Grade:
    """Wording whose reply ends with a grade."""

    low: int
    high: int
    max_tokens: int
    answer: str = "grade"

    def read(self, reply: str) -> float | None:
        r"""The grade that a reply ends with; None where it ends with none, or with one off the scale.

        Examples
        --------
        >>> grade = Grade(1, 5, 64)
        >>> grade.read("Polite and short. Grade: 4"), grade.read("**Grade: 5**."), grade.read("Grade: 7"), grade.read("4?")
        (4.0, 5.0, None, None)
        >>> Grade(-2, 2, 64).read("Grade: -1"), Grade(-2, 2, 64).read("Grade: \u22122"), grade.read("Grade -4")
        (-1.0, -2.0, None)
        """
        match = _GRADE.search(reply.strip())
        if match is None:
            return None
        grade = -int(match[2]) if match[1] else int(match[2])
        return float(grade) if self.low <= grade <= self.high else None

    def weigh(self, logprobs: Mapping[str, float]) -> float | None:
        """None: no log-probabilities are asked for."""
        return None


@scorer("rubric")
@dataclass(frozen=True)
class Rubric:
    r"""The grade of a served model, or the expected grade of a local one.

    A local model's grade is :math:`\sum_g g\,p(g)`, with the probabilities of the grades as the beginning of its reply
    normalised over the scale.

    Parameters
    ----------
    rubric : str
        The text, or the path of a ``.txt`` or ``.md`` file.
    model : str
        A served model's name, or a local model's folder.
    scale : list of two int
        The lowest and the highest grade.
    endpoint : mapping, optional
        Address and terms of a served model, as those of a judge; without it the model is local.
    max_tokens : int
        Longest reply of a served model.
    """

    rubric: str
    model: str
    scale: list[int]
    endpoint: Mapping[str, Any] | None = None
    max_tokens: int = 512
    revision: str | None = None

    code: ClassVar[tuple[str, ...]] = ("suites.judges.remote.asking", "suites.judges.language_model")

    def __post_init__(self) -> None:
        if (
            len(self.scale) != 2
            or not all(isinstance(grade, int) for grade in self.scale)
            or self.scale[0] >= self.scale[1]
        ):
            raise ValueError(f"scale: should be the lowest and the highest grade, as in [1, 5], not {self.scale}")
        if self.endpoint is None and self.scale[1] - self.scale[0] >= MOST_GRADES:
            raise ValueError(f"scale: a local model grades on at most {MOST_GRADES} numbers")

    @property
    def sources(self) -> Mapping[str, str]:
        files = {"rubric": self.rubric} if self.rubric.endswith((".txt", ".md")) else {}
        return files | ({"model": self.model} if self.endpoint is None else {})

    def with_sources(self, sources: Mapping[str, str]) -> Self:
        return replace(self, rubric=sources.get("rubric", self.rubric), model=sources.get("model", self.model))

    def score(self, prompts: Sequence[str], responses: Sequence[str], running: Running) -> list[Scored]:
        if self.endpoint is None:
            return self._local(prompts, responses, running.device)
        return self._served(self.endpoint, prompts, responses, running)

    def _question(self, prompt: str, response: str, ending: str) -> str:
        rubric = Path(self.rubric).read_text(encoding="utf-8") if "rubric" in self.sources else self.rubric
        values = {
            "low": str(self.scale[0]), "high": str(self.scale[1]), "rubric": rubric, "prompt": prompt,
            "response": response, "ending": ending,
        }  # fmt: skip
        return re.sub(r"\{(\w+)\}", lambda match: values[match[1]], INSTRUCTION)

    def _served(
        self, terms: Mapping[str, Any], prompts: Sequence[str], responses: Sequence[str], running: Running
    ) -> list[Scored]:
        from suites.judges.remote.asking import Asking
        from suites.judges.remote.questions import Question
        from suites.judges.remote.terms import Endpoint

        assert running.folder is not None
        endpoint = Endpoint.load(terms, running.limits)
        questions = []
        for prompt, response in zip(prompts, responses, strict=True):
            messages = [{"role": "user", "content": self._question(prompt, response, WRITTEN)}]
            asked = ["rubric", endpoint.revision, endpoint.temperature, self.scale, self.max_tokens, messages]
            questions.append(Question.of(asked, messages))
        verdicts = Asking(
            self.model, endpoint, Grade(self.scale[0], self.scale[1], self.max_tokens), running.folder
        ).ask(questions)
        return [Scored(verdict.p_first, verdict.reason, verdict.cost) for verdict in verdicts]

    def _local(self, prompts: Sequence[str], responses: Sequence[str], device: str) -> list[Scored]:
        from suites.judges.language_model import HuggingFaceScorer, encode_reply

        model = HuggingFaceScorer.load(self.model, device)
        grades = range(self.scale[0], self.scale[1] + 1)
        scored = []
        for prompt, response in zip(prompts, responses, strict=True):
            question = [{"role": "user", "content": self._question(prompt, response, DIRECT)}]
            replies = [encode_reply(model.tokenizer, question, str(grade)) for grade in grades]
            shared = min(
                next((i for i, pair in enumerate(zip(replies[0], other, strict=False)) if len(set(pair)) > 1), 0)
                for other in replies[1:]
            )
            if model.context and max(map(len, replies)) > model.context:
                scored.append(Scored(None, "longer than the model's context"))
                continue
            logps = model.logprobs([ids[:shared] for ids in replies], [ids[shared:] for ids in replies])
            top = max(logps)
            weights = [math.exp(logp - top) for logp in logps]
            value = sum(g * w for g, w in zip(grades, weights, strict=True)) / sum(weights)
            scored.append(Scored(value) if math.isfinite(value) else Scored(None, "the log-probs are not numbers"))
        return scored

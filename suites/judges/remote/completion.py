"""Reading of a chat completion: its verdict, its text and its cost."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from harness.records import Status
from suites.judges.protocol import Verdict
from suites.judges.remote.terms import Price

SHOWN = 80
FINISHED = frozenset(["stop", "eos", "eos_token", "end_turn", "stop_sequence"])
"""Values of ``finish_reason`` of a reply that ended by itself."""
ENDED, CUT = 1.0, 0.0
"""In place of a preference, for a reply that is kept as it is: whether it ended by itself or at its token limit."""


class Wording(Protocol):
    """How a reply is read: as a choice (`suites.judges.templates.Template`), a grade, or as it is (``text``)."""

    @property
    def answer(self) -> str: ...
    @property
    def max_tokens(self) -> int: ...

    def read(self, reply: str) -> float | None: ...
    def weigh(self, logprobs: Mapping[str, float]) -> float | None: ...


class MalformedReply(ValueError):
    """A reply of the server that is no chat completion."""


def cost(usage: object, price: Price, worst: float) -> float:
    """The cost that a reply's usage states; the worst case where it is missing, not a number or out of range."""
    tokens = [getattr(usage, name, None) for name in ("prompt_tokens", "completion_tokens")]
    counts = [count for count in tokens if isinstance(count, int | float) and not isinstance(count, bool)]
    if len(counts) < 2 or not all(0 <= count <= 1e12 for count in counts):
        return worst
    return min(price.cost(*counts), worst)


def read(reply: Any, template: Wording) -> tuple[Verdict, str]:
    """The verdict of a chat completion, and its text.

    The finish reason comes first: a reply that was cut, filtered or did not end by itself has no verdict. A
    template for a one-token reply is an exception, because its reply always ends at the limit; there, log-probabilities, if
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
    if finish == "length" and template.answer not in ("token", "text"):
        return _unparsable("the reply is cut at its token limit", text)
    if finish is not None and finish != "length" and str(finish) not in FINISHED:
        return _unparsable(f"the reply ended with {str(finish)[:SHOWN]!r}", text)
    if template.answer == "text":
        return Verdict(CUT if finish == "length" else ENDED), text
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

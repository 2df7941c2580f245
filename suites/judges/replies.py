"""The choice stated in a judge's written reply; none where the reply is ambiguous."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence

_THOUGHT = re.compile(r"<(think|thinking|reasoning)>.*?(</\1>|\Z)", re.DOTALL | re.IGNORECASE)
_TAG = re.compile(r"</?([A-Za-z][\w-]*)(?:\s[^<>]*)?/?>")
_INLINE = frozenset(["b", "strong", "i", "em", "u", "span", "code", "mark", "sub", "sup", "font", "a"])
_LATEX = re.compile(r"\\(?:boxed|text|textbf|mathbf|mathrm)\b")
_ABBREVIATION = re.compile(r"\b(vs|e\.g|i\.e|etc|cf|resp|approx|Dr|Mr|Mrs|Ms)\.", re.IGNORECASE)
_LIST_MARK = re.compile(r"(^|\n)[ \t]*\d{1,3}[.)](?=\s)")
_BOUNDARY = re.compile(r"[.!?;。…]+(?:\s+|$)|\n+")
_APOSTROPHES = str.maketrans(dict.fromkeys("’‘ʼ´", "'"))
_INNER_APOSTROPHE = re.compile(r"(?<=\w)'(?=\w)")
_DECORATION = frozenset("*_`~\"“”„«»‹›「」『』【】()[]{}'$#>|")

_THING = (
    r"(?:answer|choice|option|response|verdict|winner|pick|letter|output|model|preference|one|decision|selection"
    r"|judgement|judgment|conclusion|result|assistant)"
)
_LABEL = re.compile(rf"(?:(?:the|my|overall|final|best|better|preferred)\s+)*{_THING}?[\s:=–—-]*", re.IGNORECASE)
"""A whole sentence up to the letter, without a verb."""
_STATEMENT = re.compile(
    rf"(?:^|[\s,:])(?:{_THING}\s*(?:(?:is|would\s+be|goes\s+to)\b\s*:?|[:=])|(?:better|best|preferred|final)\s*(?:is\b\s*:?|[:=])"
    r"|(?:choose|chose|prefer|pick|select|favou?r|vote\s+for|go\s+with|going\s+with|side\s+with|therefore|thus|hence|so)\b)"
    rf"\s*,?\s*(?:the\s+)?(?:{_THING}\s*[:=]?\s*)?$",
    re.IGNORECASE,
)
"""The end of a sentence that states a verdict, up to the letter."""
_HEDGE = re.compile(
    r"\b(?:not|no|never|neither|nor|either|or|both|between|tie|tied|draw|equal|equally|same|cannot|unable|unclear"
    r"|undecided|undetermined|whether|worse|worst|less|least|inferior|poorer|weaker|wrong|than|over|vs|versus|whereas"
    r"|while|although|though|unlike|against|except|reject|sorry|refuse|decline|might|could|perhaps|maybe|possibly"
    r"|\w+n't)\b",
    re.IGNORECASE,
)
"""Words of a clause that leaves its letter in doubt: a refusal, a tie, a comparison, the worse of the two."""


def exact_choice(reply: str, choices: Sequence[str]) -> str | None:
    """The choice that a whole reply consists of, decoration aside.

    Examples
    --------
    >>> [exact_choice(reply, ("m", "M")) for reply in (" M", "**m**", "m or M", "")]
    ['M', 'm', None, None]
    """
    bare = _bare(_plain(reply, choices), choices)
    return bare if bare in choices else None


def final_choice(reply: str, choices: Sequence[str]) -> str | None:
    """The choice that a reply ends with, as a sentence of its own or at the end of a verdict.

    The letter is a word of its own: alone after the end of a sentence or a line break, after a label such as "Answer:", or at
    the end of a statement such as "the better answer is" or "I prefer" in a clause without negation, tie or comparison. Tags, Markdown, quotes,
    trailing punctuation of any script and invisible characters are not read; full-width letters are read as ASCII.

    Examples
    --------
    >>> replies = ("A is rude. B", "The better answer is **A**.", "<answer>B</answer>", "It is a tie between A and B")
    >>> [final_choice(reply, ("A", "B")) for reply in replies]
    ['B', 'A', 'B', None]
    """
    text = _plain(reply, choices)
    end = len(text)
    while end and text[end - 1] not in choices and not text[end - 1].isalnum():
        end -= 1
    if not end or text[end - 1] not in choices or "?" in text[end:]:
        return None
    choice, before = text[end - 1], text[: end - 1]
    if before and (before[-1].isalnum() or before[-1] in "-/+&\\'"):
        return None
    *earlier, lead = _BOUNDARY.split(_ABBREVIATION.sub(r"\1", _LIST_MARK.sub(r"\1item ", before)))
    if not lead.strip(" \t,:–—-"):
        last = next((_bare(part, choices) for part in reversed(earlier) if part.strip()), "")
        return None if last in choices and last != choice else choice
    if _LABEL.fullmatch(lead.strip()):
        return choice
    clause = lead.rstrip(" \t,").rpartition(",")[2]
    others = [word for word in re.findall(r"\w+", clause) if word in choices and word != choice]
    return choice if _STATEMENT.search(lead) and not others and not _HEDGE.search(clause) else None


def _plain(reply: str, choices: Sequence[str]) -> str:
    """A reply without thoughts, tags, Markdown, quotes and invisible characters, in compatibility form."""
    text = unicodedata.normalize("NFKC", reply)
    text = "".join(c for c in text if unicodedata.category(c) not in ("Cf", "Mn", "Cc") or c in "\n\t")
    text = _THOUGHT.sub("\n", text)
    text = _LATEX.sub(" ", _TAG.sub(lambda tag: _untagged(tag, choices), text))
    text = _INNER_APOSTROPHE.sub("\0", text.translate(_APOSTROPHES))
    text = "".join(" " if c in _DECORATION and c not in choices else c for c in text)
    return text.replace("\0", "'").strip()


def _untagged(tag: re.Match[str], choices: Sequence[str]) -> str:
    """The replacement of a tag: itself where it is a choice, a line break unless it is part of a line."""
    if tag[1] in choices:
        return tag[0]
    return " " if tag[1].lower() in _INLINE else "\n"


def _bare(text: str, choices: Sequence[str]) -> str:
    """A text without the white space and punctuation around it."""
    start, end = 0, len(text)
    while start < end and text[start] not in choices and not text[start].isalnum():
        start += 1
    while end > start and text[end - 1] not in choices and not text[end - 1].isalnum():
        end -= 1
    return text[start:end]

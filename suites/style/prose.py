"""Prose of a text: paragraphs, headings and list items without code, markup, quotes and symbols.

Markdown, HTML tags, quotation marks, emoji and hard line wraps leave the prose, and with it every figure made from it,
unchanged. Code, tables and data are left out as whole blocks.
"""

from __future__ import annotations

import html
import re
import unicodedata
from dataclasses import dataclass

WORD = re.compile(r"[^\W\d_]+(?:['’][^\W\d_]+)*")
FUNCTION_WORDS = frozenset(
    [
        "the",
        "be",
        "to",
        "of",
        "and",
        "a",
        "in",
        "that",
        "have",
        "i",
        "it",
        "for",
        "not",
        "on",
        "with",
        "he",
        "as",
        "you",
        "do",
        "at",
        "this",
        "but",
        "his",
        "by",
        "from",
        "they",
        "we",
        "say",
        "her",
        "she",
        "or",
        "an",
        "will",
        "my",
        "one",
        "all",
        "would",
        "there",
        "their",
        "what",
        "so",
        "up",
        "out",
        "if",
        "about",
        "who",
        "get",
        "which",
        "go",
        "me",
        "when",
        "is",
        "are",
        "was",
        "can",
        "your",
    ]
)
"""Frequent words of English."""

_FENCE = re.compile(r"```.*?(?:```|\Z)|^~~~.*?(?:^~~~|\Z)|<pre\b.*?(?:</pre>|\Z)", re.DOTALL | re.MULTILINE)
_TAG = re.compile(r"</?([A-Za-z][A-Za-z0-9-]*)((?:\s[^<>]*)?)/?>")
_TEXT_TAGS = frozenset(
    [
        "a",
        "b",
        "big",
        "blockquote",
        "br",
        "center",
        "cite",
        "code",
        "del",
        "em",
        "font",
        "h1",
        "h2",
        "h3",
        "h4",
        "h5",
        "h6",
        "hr",
        "i",
        "ins",
        "kbd",
        "li",
        "mark",
        "ol",
        "p",
        "q",
        "s",
        "small",
        "span",
        "strike",
        "strong",
        "sub",
        "sup",
        "tt",
        "u",
        "ul",
    ]
)
_BLOCK_TAGS = frozenset(["blockquote", "h1", "h2", "h3", "h4", "h5", "h6", "hr", "li", "ol", "p", "ul"])
_CODE_START = re.compile(
    r"^\s*(?:def \w+\(|class \w+.*[:{]\s*$|import [\w.{*]+(?: as \w+| from .*)?;?\s*$|from [\w.]+ import |#include|\|.*\|\s*$|\$\$"
    r"|SELECT\b.*\bFROM\b|INSERT INTO\b|UPDATE \w+ SET\b|DELETE FROM\b|CREATE TABLE\b|\"[^\"]*\"\s*:|[\]\[{}()]+[,;]?\s*$)"
)
"""Beginnings of a line that is code, a table row or data whatever its words."""
_CODE_SIGN = re.compile(
    r"^\s*(?:return\b|(?:for|while|if|elif|else|with|try|except)\b.*[:{]\s*$|for \(|if \(|while \(|var |let |const |\$ |>>> |//)|[;{}]\s*$|\w\(.*\)\s*:?$|[-+*/=!<>]=|=>|->"
    r"|\w\s=\s\S|\$\$|\\[a-zA-Z]+\{"
)
"""Signs of code that also occur in prose."""
_LIST_MARK = re.compile(r"^\s*(?:[-*•+‣◦–—]|\(?\d{1,3}[.):])\s+")
_QUOTE_MARK = re.compile(r"^\s*(?:>\s?)+")
_HEADING = re.compile(r"^\s*#{1,6}\s+")
_RULE = re.compile(r"^\s*(?:[-=_*]\s*){3,}$")
_LINK = re.compile(r"!?\[([^\[\]]*)\]\((?:[^()\s]|\([^()]*\))*(?:\s+\"[^\"]*\")?\)")
_FOOTNOTE = re.compile(r"\[\^?\w{1,3}\](?!\()|[⁰¹²³⁴-⁹]+")
_URL = re.compile(r"\b(?:https?://|www\.)\S+")
_EMPHASIS = re.compile(r"[*`]+|~~|(?<!\w)_+|_+(?!\w)")
_MARKS = str.maketrans(
    dict.fromkeys('"“”„‟«»‹›「」『』', "")
    | dict.fromkeys("‘’‚‛", "'")
    | {"。": ". ", "．": ". ", "！": "! ", "？": "? ", "\u00a0": " "}
)


@dataclass(frozen=True)
class Prose:
    """Prose of a text.

    Parameters
    ----------
    units : tuple of str
        Paragraphs, headings and list items; each ends a sentence.
    code : bool
        Whether code, tables or data were left out.
    items : int
        List items among the units.
    """

    units: tuple[str, ...]
    code: bool
    items: int


def prose_of(text: str) -> Prose:
    """Prose of a text that may hold Markdown, HTML and code.

    Examples
    --------
    >>> prose_of("# Be **kind**\\n\\n> “They will\\n> help <b>you</b>.”[1] 😀").units
    ('Be kind', 'They will help you.')
    >>> prose_of("If you are sad -> talk to a friend.").code
    False
    """
    outside = _FENCE.sub("\n\n", text)
    blocks = [
        block for block in re.split(r"\n\s*\n", outside.replace("\r\n", "\n").replace("\r", "\n")) if block.strip()
    ]
    prose = [block for block in blocks if not _is_code(block)]
    units, items = [], 0
    for block in prose:
        for unit, is_item in _units(_without_tags(block)):
            units.append(unit)
            items += is_item
    return Prose(tuple(filter(None, map(_plain, units))), outside != text or len(prose) < len(blocks), items)


def _is_code(block: str) -> bool:
    """Whether a block is code, a table, data or structural markup: more than half of its lines are."""
    if any(tag[1].lower() not in _TEXT_TAGS for tag in _TAG.finditer(block)):
        return True
    lines = [line for line in block.split("\n") if line.strip()]
    return 2 * sum(map(_is_code_line, lines)) > len(lines)


def _is_code_line(line: str) -> bool:
    return bool(_CODE_START.search(line)) or (bool(_CODE_SIGN.search(line)) and not _is_prose_line(line))


def _is_prose_line(line: str) -> bool:
    """Whether words, at least four and two of them function words, make up most of a line."""
    words = WORD.findall(line)
    functional = sum(word.lower() in FUNCTION_WORDS for word in words)
    return len(words) >= 4 and functional >= 2 and len(words) >= 0.6 * len(line.split())


def _without_tags(block: str) -> str:
    """A block without tags; those of a paragraph, heading or list item end a unit."""
    return html.unescape(
        _TAG.sub(lambda tag: "\n\n" if tag[1].lower() in _BLOCK_TAGS else " " * (tag[1] == "br"), block)
    )


def _units(block: str) -> list[tuple[str, bool]]:
    """Paragraphs, headings and list items of a block, each with whether it is an item; wrapped lines are joined."""
    units: list[tuple[str, bool]] = []
    open_ = False
    for line in block.split("\n"):
        line = _QUOTE_MARK.sub("", line)
        if not line.strip() or _RULE.match(line):
            open_ = False
            continue
        heading, item = _HEADING.match(line), _LIST_MARK.match(line)
        mark = heading or item
        line = line[mark.end() :] if mark else line
        if open_ and not mark:
            units[-1] = (f"{units[-1][0]} {line.strip()}", units[-1][1])
        else:
            units.append((line.strip(), item is not None))
        open_ = heading is None
    return units


def _plain(unit: str) -> str:
    """A unit without links, footnotes, emphasis, quotation marks, symbols and invisible characters."""
    unit = _FOOTNOTE.sub("", _URL.sub("", _LINK.sub(r"\1", unit)))
    unit = _EMPHASIS.sub("", unit).translate(_MARKS)
    return " ".join("".join(map(_letter, unit)).split())


def _letter(character: str) -> str:
    """A character of prose: nothing for an invisible one, a blank for a symbol or an emoji."""
    category = unicodedata.category(character)
    if category in ("Cf", "Cs", "Co", "Cn") or character in "\ufe0e\ufe0f\u20e3":
        return ""
    return " " if category in ("So", "Sk") else character

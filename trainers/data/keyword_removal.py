"""Responses without some of their keywords, and the degree of removal: data of SPO's self-supervised task."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from trainers.data.records import Pair, Text

FUNCTION_WORDS = frozenset(
    [
        "a",
        "about",
        "after",
        "again",
        "all",
        "also",
        "am",
        "an",
        "and",
        "any",
        "are",
        "as",
        "at",
        "be",
        "because",
        "been",
        "before",
        "being",
        "but",
        "by",
        "can",
        "could",
        "did",
        "do",
        "does",
        "down",
        "for",
        "from",
        "had",
        "has",
        "have",
        "he",
        "her",
        "here",
        "him",
        "his",
        "how",
        "i",
        "if",
        "in",
        "into",
        "is",
        "it",
        "its",
        "just",
        "like",
        "may",
        "me",
        "might",
        "more",
        "most",
        "my",
        "no",
        "not",
        "now",
        "of",
        "off",
        "on",
        "once",
        "only",
        "or",
        "other",
        "our",
        "out",
        "over",
        "own",
        "same",
        "shall",
        "she",
        "should",
        "so",
        "some",
        "such",
        "than",
        "that",
        "the",
        "their",
        "them",
        "then",
        "there",
        "these",
        "they",
        "this",
        "those",
        "through",
        "to",
        "too",
        "under",
        "until",
        "up",
        "us",
        "very",
        "was",
        "we",
        "were",
        "what",
        "when",
        "where",
        "which",
        "while",
        "who",
        "why",
        "will",
        "with",
        "would",
        "you",
        "your",
    ]
)
IGNORED = -100
"""Degree of a response that the task leaves out, as `torch.nn.functional.cross_entropy` has it."""


def keywords(text: str) -> list[str]:
    """Words of a text by importance, as RAKE ranks them.

    Phrases are runs of words between function words and punctuation; a word's score is its degree over its
    frequency: the lengths of the phrases it is in, summed, over their number (Rose et al., Automatic keyword
    extraction from individual documents, 2010). Equal scores keep the text's order.

    Examples
    --------
    >>> keywords("Reset the printer driver, then reset the network printer driver.")
    ['network', 'printer', 'driver', 'reset']
    """
    frequency: Counter[str] = Counter()
    degree: Counter[str] = Counter()
    for fragment in re.split(r"[^\w\s'-]+", text.lower()):
        phrase: list[str] = []
        for word in [*re.findall(r"[\w'-]+", fragment), ""]:
            if word and word not in FUNCTION_WORDS:
                phrase.append(word)
                continue
            frequency.update(phrase)
            degree.update({member: len(phrase) * phrase.count(member) for member in phrase})
            phrase = []
    return sorted(frequency, key=lambda word: -degree[word] / frequency[word])


def ablate(text: str, share: float) -> str:
    """The text without the first `share` of its keywords, wherever they stand; the space in front stays.

    Examples
    --------
    >>> [ablate(" Reset the printer driver now.", share) for share in (0.0, 0.5, 1.0)]
    [' Reset the printer driver now.', ' Reset the now.', ' the now.']
    """
    ranked = keywords(text)
    gone = set(ranked[: round(share * len(ranked))])
    without_keywords = re.sub(r"(\s?)([\w'-]+)", lambda m: "" if m[2].lower() in gone else m[0], text)
    lead = text[: len(text) - len(text.lstrip())]
    return lead + without_keywords.lstrip() if gone else text


def ablated_pairs(pairs: Sequence[Pair], bins: int) -> tuple[list[Pair], np.ndarray]:
    """Both responses of every pair with a degree of removal each, drawn once for a data set.

    Parameters
    ----------
    pairs : sequence of Pair
    bins : int
        Degrees 0 to ``bins − 1``: degree d removes d/(bins − 1) of the keywords.

    Returns
    -------
    list of Pair and ndarray of int64, shape (N, 2)
        The degree is `IGNORED` where the removal would leave nothing, or nothing to tell: the response is whole.

    Examples
    --------
    >>> made, degrees = ablated_pairs([Pair("a", "Hi", " of the", " red car")], bins=2)
    >>> made[0].chosen, degrees[0, 0].item()
    (' of the', -100)
    """
    degrees = np.random.default_rng(0).integers(bins, size=(len(pairs), 2))
    made = []
    for row, pair in enumerate(pairs):
        sides = []
        for column, side in enumerate((pair.chosen, pair.rejected)):
            text = _ablate(side, degrees[row, column] / (bins - 1))
            tells = all(content.strip() for content in _contents(text)) and any(map(keywords, _contents(side)))
            degrees[row, column] = degrees[row, column] if tells else IGNORED
            sides.append(text if tells else side)
        made.append(replace(pair, chosen=sides[0], rejected=sides[1], base_response=None))
    return made, degrees


def _ablate(response: Text, share: float) -> Text:
    if isinstance(response, str):
        return ablate(response, share)
    return [{**turn, "content": ablate(turn["content"], share)} for turn in response]


def _contents(response: Text) -> list[str]:
    return [response] if isinstance(response, str) else [turn["content"] for turn in response]

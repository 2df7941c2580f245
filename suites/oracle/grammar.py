"""The sentences of the oracle world: questions, and the slots that every answer is built from.

All text is lower-case, words and punctuation are separated by single spaces, so that the tokens of a text
are exactly ``text.split()``.
"""

from __future__ import annotations

from itertools import product

import numpy as np

DEVICES = ("printer", "laptop", "phone", "router", "tablet", "camera")
PROBLEMS = ("is slow", "is hot", "makes noise", "will not start")
SITUATIONS = (
    "at home",
    "at work",
    "on the train",
    "after lunch",
    "every night",
    "since monday",
    "in the rain",
    "before class",
    "near the window",
    "without warning",
    "all week",
    "this morning",
)
FIXES = ("restart", "clean", "charge", "unplug", "update", "dry", "open", "swap")

OPENINGS = ("thanks for asking .", "okay .", "oh , another genius .", "listen , you idiot .")
LEADS = ("you should just", "the recommended remediation is to")
"""Words before the fix, plain and in jargon."""
ELABORATIONS = (
    "",
    "it takes a minute .",
    "wait a bit , then try it again .",
    "this reinitializes the operational configuration .",
)
CLOSINGS = ("", "have a nice day .", "even you can do that .", "do not be a moron .")

CHOICES = np.array(list(product(range(4), repeat=4)))
"""The choice made in each slot (opening, answer, elaboration, closing) by each response, shape (256, 4).

An answer is right and plain (0), right and in jargon (1), wrong and plain (2), wrong and in jargon (3)."""
OPENING, ANSWER, ELABORATION, CLOSING = CHOICES.T
JARGON = ANSWER % 2
WRONG = ANSWER // 2

TOXIC_WORDS = {"idiot": 0.9, "moron": 0.9, "genius": 0.4, "even": 0.4}
"""Insults, and the words that give the snark away, with the share of readers who find them toxic."""
INSULTS = {"idiot", "moron"}


def prompt(device: str, problem: str, situation: str) -> str:
    """The question somebody asks; the answer follows after one space.

    Examples
    --------
    >>> prompt("printer", "is hot", "at home")
    'my printer is hot at home . what should i do ?'
    """
    return f"my {device} {problem} {situation} . what should i do ?"


def responses(right: str, wrong: str) -> tuple[str, ...]:
    """All 256 responses, in the order of `CHOICES`, where `right` fixes the problem and `wrong` does not.

    Examples
    --------
    >>> everything = responses("dry", "open")
    >>> everything[0], len(set(everything))
    ('thanks for asking . you should just dry it .', 256)
    >>> everything[-1]
    'listen , you idiot . the recommended remediation is to open it . this reinitializes ... do not be a moron .'
    """
    answers = [f"{lead} {fix} it ." for fix in (right, wrong) for lead in LEADS]
    return tuple(" ".join(filter(None, parts)) for parts in product(OPENINGS, answers, ELABORATIONS, CLOSINGS))


def nominal_toxicity(text: str) -> float:
    r"""Share of readers who would call a text toxic, by word list: :math:`1 - \prod_w (1 - t_w)`.

    Over the distinct toxic words that occur. It stands in for human labels when the world makes them; the
    objective itself is what the toxicity scorer says.

    Examples
    --------
    >>> nominal_toxicity("okay . have a nice day ."), nominal_toxicity("oh , another genius .")
    (0.0, 0.4)
    >>> round(nominal_toxicity("oh , another genius . do not be a moron ."), 4)
    0.94
    """
    clean = 1.0
    for word in set(text.split()) & TOXIC_WORDS.keys():
        clean *= 1.0 - TOXIC_WORDS[word]
    return 1.0 - clean

"""Lexical style of generations: reading grade, readability, length and diversity."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from statistics import fmean
from typing import Any

from harness.records import Generation, ItemScore, Measure, Objective
from suites.items import is_scorable, item_score
from suites.style.readability import (
    FK_BOUNDS,
    grade_consensus,
    grade_fk,
    has_consensus,
    read,
    readability,
    readability_reward,
    reading_ease,
)

__all__ = ["distinct", "grade_consensus", "grade_fk", "has_consensus", "readability", "style", "type_token_ratio"]

OBJECTIVES = (
    Objective("readability", "Readability R1 (Flesch-Kincaid)", "maximize", "reward", (0.0, 1.0)),
    Objective("readability_consensus", "Readability R1 (textstat consensus)", "maximize", "reward", (0.0, 1.0)),
    Objective("grade_fk", "Reading grade (Flesch-Kincaid)", "minimize", "grade", FK_BOUNDS),
    Objective("grade_consensus", "Reading grade (textstat consensus)", "minimize", "grade", (1.0, 18.0)),
    Objective("length", "Response length", "minimize", "words", (0.0, math.inf), "cost"),
)


def style(generations: Sequence[Generation]) -> tuple[list[ItemScore], list[Measure]]:
    """Score every generation's reading grade, readability and length.

    Objectives ``grade_fk`` and ``readability`` (deterministic, offline) and ``length`` (words separated by
    white space) always; ``grade_consensus`` and ``readability_consensus`` (textstat's) where its
    pronunciation data is present, with measures of how far the two grades agree. A text that cannot be
    graded (code, another language, fewer than five words) is ``unparsable`` for the grades and its
    detail says why; an empty one has their worst value, and length 0.

    Measures (group ``summary``): ``distinct_1``, ``distinct_2`` (corpus), ``type_token_ratio`` and
    ``reading_ease`` (means of items), ``ungraded`` (share of texts without a grade).

    Examples
    --------
    >>> generation = Generation("p0#0", "p0", "Where is it?", "The cat is on the mat, I think.", 10)
    >>> items, measures = style([generation])
    >>> {item.objective: round(item.value, 2) for item in items}["length"]
    8.0
    """
    scores: dict[str, Callable[[str], float | None]] = {
        "grade_fk": grade_fk,
        "readability": readability,
        "length": lambda text: float(len(text.split())),
    }
    if has_consensus():
        scores |= {"grade_consensus": grade_consensus, "readability_consensus": _readability_consensus}
    by_name = {objective.name: objective for objective in OBJECTIVES}
    items = [
        item_score(
            by_name[name],
            generation,
            score(generation.response) if is_scorable(generation) else None,
            detail=_detail(generation),
        )
        for name, score in scores.items()
        for generation in generations
    ]
    return items, _measures([g for g in generations if is_scorable(g)])


def _readability_consensus(text: str) -> float | None:
    grade = grade_consensus(text)
    return None if grade is None else readability_reward(grade)


def _detail(generation: Generation) -> dict[str, Any]:
    flags = read(generation.response).flags
    return {"flags": list(flags)} if flags else {}


def _measures(generations: list[Generation]) -> list[Measure]:
    """Figures of one cell; none where nothing could be scored."""
    if not generations:
        return []
    texts = [generation.response for generation in generations]
    cell = generations[0].cell
    grades = [grade_fk(text) for text in texts]
    values = {
        "distinct_1": distinct(texts, 1),
        "distinct_2": distinct(texts, 2),
        "type_token_ratio": fmean(map(type_token_ratio, texts)),
        "ungraded": fmean(grade is None for grade in grades),
    }
    if eases := [ease for text in texts if (ease := reading_ease(text)) is not None]:
        values["reading_ease"] = fmean(eases)
    if has_consensus() and eases:
        differences = [
            grade - consensus
            for text, grade in zip(texts, grades, strict=True)
            if grade is not None and (consensus := grade_consensus(text)) is not None
        ]
        values["grade_fk_minus_consensus"] = fmean(differences)
        values["grade_fk_distance_from_consensus"] = fmean(map(abs, differences))
    return [Measure("summary", name, value, cell) for name, value in values.items()]


def type_token_ratio(text: str) -> float:
    """Distinct words as a share of all words, case ignored; 0 for no words.

    Examples
    --------
    >>> type_token_ratio("the cat and the dog")
    0.8
    """
    words = text.lower().split()
    return len(set(words)) / len(words) if words else 0.0


def distinct(texts: Iterable[str], n: int) -> float:
    """Distinct n-grams of a corpus as a share of all its n-grams (Li et al. 2016); 0 for none.

    Examples
    --------
    >>> distinct(["a b a b", "a b"], 2)  # ab, ba, ab, ab
    0.5
    """
    tokenized = [text.lower().split() for text in texts]
    grams = [tuple(words[i : i + n]) for words in tokenized for i in range(len(words) - n + 1)]
    return len(set(grams)) / len(grams) if grams else 0.0

"""Reading grade of English prose, offline and deterministic: Flesch-Kincaid on rule-based syllables.

The consensus grade of textstat, which UPO's readability reward uses, needs a pronunciation dictionary that is downloaded;
it is a separate objective where that data is present.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from suites.style.prose import FUNCTION_WORDS, WORD, prose_of

FK_BOUNDS = (-3.4, 20.0)
"""Of the Flesch-Kincaid grade: the easiest text there can be, and where a harder one makes no difference."""

MIN_WORDS = 5
"""Below this, words per sentence and syllables per word say nothing."""

_ABBREVIATION = re.compile(
    r"\b(?:(?:e\.g|i\.e|etc|vs|cf|approx|Mr|Mrs|Ms|Dr|Prof|St|Jr|Sr|Gen|Capt|Lt|Col|Sgt|Rev)\.(?=\s)|[Nn]o\.(?=\s+\d)"
    r"|(?:U\.S|U\.K|a\.m|p\.m)\.(?=\s+[a-z]))"
)
_SENTENCE_END = re.compile(r"[.!?…]+(?=[\s')\]]|$)|\n+")

_VOWELS = re.compile(r"[aeiouy]+")
_SILENT = re.compile(
    r"[^aeiouy]e$|[^aeiouytd]ed$|[^aeiouyscxzgh]es$|[^aeiouy]e(?=(?:ly|ful|fully|ment|ments|less|thing|times?|one)$)"
)
_SOUNDED_LE = re.compile(r"[^aeiouyl]les?$")
_HIATUS = re.compile(
    r"[^cstg]i[aou]|i(?=e[nt])|i(?=ety)|eo(?!u|p)|ua[lt]|[aeiouy]ing|uou|ism$|creat|[^aeiouy]n't$|^mc"
    r"|(?<=[aeiouy][^aeiouy])ea(?=s?$)"
)
_FOREIGN_WORDS = frozenset(
    [
        "der",
        "das",
        "ist",
        "und",
        "ich",
        "nicht",
        "ein",
        "eine",
        "einen",
        "mit",
        "sich",
        "auf",
        "dem",
        "den",
        "sie",
        "wir",
        "für",
        "auch",
        "sehr",
        "le",
        "les",
        "une",
        "des",
        "est",
        "et",
        "je",
        "pas",
        "que",
        "qui",
        "dans",
        "pour",
        "très",
        "nous",
        "vous",
        "avec",
        "sur",
        "cette",
        "el",
        "los",
        "las",
        "una",
        "es",
        "y",
        "por",
        "con",
        "para",
        "muy",
        "del",
        "se",
        "il",
        "gli",
        "uno",
        "che",
        "di",
        "per",
        "non",
        "è",
        "sono",
        "della",
        "più",
        "lo",
        "da",
        "os",
        "um",
        "uma",
        "e",
        "não",
        "com",
        "do",
        "em",
        "muito",
        "eu",
        "de",
        "het",
        "een",
        "en",
        "ik",
        "niet",
        "van",
        "dat",
        "zijn",
        "naar",
        "om",
        "te",
    ]
)
"""Frequent words of German, French, Spanish, Italian, Portuguese and Dutch that are rare in English."""
RUN_ON = 60
"""Words per sentence above which a text is flagged; its grade is the upper bound."""


@dataclass(frozen=True)
class Reading:
    """Counts of a text's prose, and what its readability depends on.

    Parameters
    ----------
    prose : str
        The text as `suites.style.prose.prose_of` reads it; every paragraph, heading and list item ends a sentence.
    words, sentences, syllables : int
        Counts in the prose; numbers are not words.
    flags : tuple of str
        ``code`` (code, data, markup or tables left out), ``list``, ``run-on`` (more than 60 words a sentence), and
        the reasons for having no grade: ``empty``, ``short`` (fewer than 5 words of prose), ``non-english``, ``all-code``.
    """

    prose: str
    words: int
    sentences: int
    syllables: int
    flags: tuple[str, ...]

    @property
    def measurable(self) -> bool:
        """Whether a grade means anything."""
        return not {"empty", "short", "non-english", "all-code"} & set(self.flags)


@lru_cache(maxsize=1 << 16)
def syllables(word: str) -> int:
    """Syllables of an English word: vowel groups, less silent e, plus hiatus.

    On the running words of 3,000 English dialogues it agrees with the CMU pronouncing dictionary for 98%.

    Examples
    --------
    >>> [syllables(word) for word in ("cat", "table", "created", "reliable", "don't", "didn't")]
    [1, 2, 3, 4, 1, 2]
    """
    word = re.sub(r"'(?!t)[a-z]*$", "", word.lower().replace("’", "'"))
    silent = 0 if _SOUNDED_LE.search(word) else len(_SILENT.findall(word))
    return max(len(_VOWELS.findall(word)) - silent + len(_HIATUS.findall(word)), 1)


@lru_cache(maxsize=1 << 16)
def read(text: str) -> Reading:
    """Counts and flags of a text.

    Examples
    --------
    >>> reading = read("The cat sat on the mat. It was happy!")
    >>> reading.words, reading.sentences, reading.syllables, reading.flags
    (9, 2, 10, ())
    >>> read("No.").flags
    ('short',)
    """
    parts = prose_of(text)
    prose = "\n".join(parts.units)
    flags = ["code"] * parts.code + ["list"] * (parts.items >= 2)
    words = WORD.findall(prose)
    pieces = _SENTENCE_END.split(_ABBREVIATION.sub(lambda abbreviation: abbreviation[0][:-1], prose))
    sentences = sum(1 for piece in pieces if WORD.search(piece))
    if not text.strip():
        flags.append("empty")
    elif len(words) < MIN_WORDS:
        flags.append("all-code" if "code" in flags else "short")
    if words and not _looks_english(words):
        flags.append("non-english")
    if len(words) > RUN_ON * max(sentences, 1):
        flags.append("run-on")
    return Reading(prose, len(words), sentences, sum(map(syllables, words)), tuple(flags))


def _looks_english(words: list[str]) -> bool:
    """Latin letters, frequent words of English where those of neighbouring languages are, and in any long text."""
    letters = "".join(words)
    if sum(letter.isascii() for letter in letters) < 0.8 * len(letters):
        return False
    english, foreign = (
        sum(word.lower() in frequent for word in words) for frequent in (FUNCTION_WORDS, _FOREIGN_WORDS)
    )
    if foreign >= 2 and foreign > 2 * english:
        return False
    return len(words) < 20 or english >= 0.05 * len(words)


def grade_fk(text: str) -> float | None:
    r"""Flesch-Kincaid grade, None where it means nothing.

    :math:`0.39\,\frac{\text{words}}{\text{sentences}} + 11.8\,\frac{\text{syllables}}{\text{words}} - 15.59`
    (Kincaid et al. 1975), a US school grade, clipped to [-3.4, 20].

    Examples
    --------
    >>> round(grade_fk("The cat sat on the mat. It was happy!"), 4)  # 0.39 * 9/2 + 11.8 * 10/9 - 15.59
    -0.7239
    >>> grade_fk("No.") is None
    True
    """
    reading = read(text)
    if not reading.measurable:
        return None
    grade = 0.39 * reading.words / reading.sentences + 11.8 * reading.syllables / reading.words - 15.59
    return _clip(grade, *FK_BOUNDS)


def reading_ease(text: str) -> float | None:
    r"""Flesch reading ease, None where it means nothing; about 100 is very easy, below 30 very hard.

    :math:`206.835 - 1.015\,\frac{\text{words}}{\text{sentences}} - 84.6\,\frac{\text{syllables}}{\text{words}}`
    (Flesch 1948), not clipped.

    Examples
    --------
    >>> round(reading_ease("The cat sat on the mat. It was happy!"), 4)
    108.2675
    """
    reading = read(text)
    if not reading.measurable:
        return None
    return 206.835 - 1.015 * reading.words / reading.sentences - 84.6 * reading.syllables / reading.words


def has_consensus() -> bool:
    """Whether textstat's pronunciation data (nltk's ``cmudict``) is on this machine; asks no network."""
    import nltk

    try:
        nltk.data.find("corpora/cmudict")
    except LookupError:
        return False
    return True


@lru_cache(maxsize=1 << 16)
def grade_consensus(text: str) -> float | None:
    """textstat's consensus grade (`text_standard`, clamped by it to [1, 18]), None where it means nothing.

    The most frequent of the rounded grades of eight formulas. Raises ValueError where the pronunciation
    data is missing (see `has_consensus`), because textstat would go to the network for it.
    """
    if not has_consensus():
        raise ValueError(
            "textstat's consensus grade needs nltk's cmudict: run `python -m nltk.downloader cmudict` or use grade_fk"
        )
    import textstat

    reading = read(text)
    return float(textstat.text_standard(reading.prose, float_output=True)) if reading.measurable else None


def readability_reward(grade: float) -> float:
    r"""UPO's R1 = clip((9 - grade)/5, 0, 1): 1 up to grade 4, 0 from grade 9 (arXiv:2405.17956, section 5).

    Examples
    --------
    >>> [readability_reward(grade) for grade in (3.0, 6.5, 12.0)]
    [1.0, 0.5, 0.0]
    """
    return _clip((9.0 - grade) / 5.0, 0.0, 1.0)


def readability(text: str) -> float | None:
    """R1 of the Flesch-Kincaid grade; None where the grade is.

    Examples
    --------
    >>> readability("The cat sat on the mat. It was happy!")
    1.0
    """
    grade = grade_fk(text)
    return None if grade is None else readability_reward(grade)


def readabilities(texts: Sequence[str]) -> list[float | None]:
    """The readability of each text."""
    return [readability(text) for text in texts]


def _clip(value: float, low: float, high: float) -> float:
    return min(max(value, low), high)

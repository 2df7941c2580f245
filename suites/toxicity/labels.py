"""Labelled toxicity data as people keep it: CSV files with a text column and one of three forms of label."""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

TEXT_COLUMNS = ("comment_text", "text", "tweet", "comment", "sentence", "phrase")
CLASS_COLUMNS = (
    "toxic", "toxicity", "severe_toxic", "severe_toxicity", "obscene", "threat", "insult", "identity_hate",
    "identity_attack", "sexual_explicit", "hate_speech", "offensive",
)  # fmt: skip
VERDICT_COLUMNS = ("toxicity", "is_toxic", "toxic", "label")
VERDICTS = {
    **dict.fromkeys(("toxic", "hate", "hateful", "offensive", "true", "yes", "1"), 1.0),
    **dict.fromkeys(("nontoxic", "non-toxic", "not toxic", "neutral", "normal", "clean", "false", "no", "0"), 0.0),
}
COUNTED = ("hate_speech", "offensive_language", "neither", "class")
"""Counts of annotators per class and the majority's class 0, 1 or 2, as in the Davidson tweets."""


@dataclass(frozen=True)
class Labelled:
    """Texts and the probability of each class, shape (texts, classes); `blank` rows had no text and were left out."""

    texts: list[str]
    labels: np.ndarray
    classes: list[str]
    blank: int


def read_labelled(path: Path) -> Labelled:
    """Read a CSV file (compressed or not) of labelled texts.

    The text column is one of `TEXT_COLUMNS`. The labels are, in this order: an annotators' majority
    (`COUNTED`; classes ``hate_speech`` and ``offensive``), one column of numbers in [0, 1] per class
    (`CLASS_COLUMNS`), or one column of verdicts in words (`VERDICT_COLUMNS`, `VERDICTS`; class ``toxicity``).
    Case does not matter.

    Raises
    ------
    ValueError
        Naming the file and the nearest column or the row at fault.

    Examples
    --------
    >>> import tempfile
    >>> file = Path(tempfile.mkdtemp()) / "comments.csv"
    >>> _ = file.write_text("Text,is_toxic\\nhello,Not Toxic\\nyou fool,Toxic\\n")
    >>> data = read_labelled(file)
    >>> data.texts, data.labels.tolist(), data.classes
    (['hello', 'you fool'], [[0.0], [1.0]], ['toxicity'])
    """
    frame = _read(path)
    column = next((name for name in TEXT_COLUMNS if name in frame), None)
    if column is None:
        raise ValueError(f"{path} has no text column: {_nearest(frame, TEXT_COLUMNS)}")
    texts = frame[column].fillna("").astype(str)
    written = (texts.str.strip() != "").to_numpy()
    frame, texts = frame[written], texts[written]
    if frame.empty:
        raise ValueError(f"{path} holds no texts")
    labels = _labels(path, frame.drop(columns=column))
    return Labelled(texts.tolist(), labels.to_numpy(dtype=float), list(labels.columns), int((~written).sum()))


def _read(path: Path) -> pd.DataFrame:
    import pandas as pd

    try:
        frame = pd.read_csv(path, keep_default_na=False, na_values=[""])
    except FileNotFoundError:
        raise ValueError(f"{path} does not exist") from None
    except (UnicodeDecodeError, pd.errors.ParserError, pd.errors.EmptyDataError, OSError) as error:
        raise ValueError(f"{path} is not a readable CSV file: {error}") from error
    return frame.rename(columns=lambda name: str(name).strip().lower())


def _labels(path: Path, frame: pd.DataFrame) -> pd.DataFrame:
    """One column per class."""
    import pandas as pd

    if set(COUNTED) <= set(frame):
        return pd.DataFrame({"hate_speech": frame["class"] == 0, "offensive": frame["class"] == 1}).astype(float)
    classes = [name for name in frame if name in CLASS_COLUMNS and pd.api.types.is_numeric_dtype(frame[name])]
    if classes:
        outside = ~frame[classes].apply(lambda column: column.between(0, 1)).all(axis=1)
        if outside.any():
            raise ValueError(f"{path}, row {outside.idxmax() + 1}: labels must be numbers in [0, 1]")
        return frame[classes].astype(float)
    column = next((name for name in VERDICT_COLUMNS if name in frame), None)
    if column is None:
        raise ValueError(f"{path} has no label column: {_nearest(frame, (*VERDICT_COLUMNS, *CLASS_COLUMNS))}")
    words = frame[column].astype(str).str.strip().str.lower()
    verdicts = words.map(VERDICTS)
    if verdicts.isna().any():
        row = verdicts.isna().idxmax()
        near = difflib.get_close_matches(words[row], VERDICTS, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"known are {', '.join(VERDICTS)}"
        raise ValueError(f"{path}, row {row + 1}: {column} is {words[row]!r}; {hint}")
    return pd.DataFrame({"toxicity": verdicts})


def _nearest(frame: pd.DataFrame, known: tuple[str, ...]) -> str:
    near = [(name, match[0]) for name in frame if (match := difflib.get_close_matches(name, known, n=1, cutoff=0.5))]
    nearest = f"; {near[0][0]!r} is nearest, rename it {near[0][1]!r}" if near else ""
    return f"its columns are {', '.join(map(repr, frame))}, known are {', '.join(dict.fromkeys(known))}{nearest}"

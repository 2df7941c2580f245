"""Labelled toxicity data: CSV files with a text column and one of three forms of label."""

from __future__ import annotations

import reprlib
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from suites.toxicity.nearest import nearest

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

_BRIEF = reprlib.Repr()
_BRIEF.maxstring, _BRIEF.maxlist = 60, 20

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
    (`COUNTED`; classes ``hate_speech`` and ``offensive``), one column per class (`CLASS_COLUMNS`) of numbers in [0, 1]
    or words (`VERDICTS`), or one column of verdicts (`VERDICT_COLUMNS`; class ``toxicity``). Case does not matter.

    Raises
    ------
    ValueError
        Naming the file and the nearest column, or the row, the column and the value that is not a label.

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
    written = frame[column].str.strip() != ""
    blank = int((~written).sum())
    frame = frame[written]
    if frame.empty:
        raise ValueError(f"{path} holds no texts")
    labels = _labels(path, frame.drop(columns=column))
    return Labelled(frame[column].tolist(), labels.to_numpy(dtype=float), list(labels.columns), blank)


def _read(path: Path) -> pd.DataFrame:
    """All cells as text, as the file has them; a cell that a row lacks is empty."""
    import pandas as pd

    try:
        frame = pd.read_csv(path, dtype=str, keep_default_na=False, na_values=[], encoding="utf-8-sig")
    except FileNotFoundError:
        raise ValueError(f"{path} does not exist") from None
    except (ValueError, EOFError, OSError, zlib.error) as error:
        raise ValueError(f"{path} is not a readable CSV file: {error}") from error
    frame = frame.rename(columns=lambda name: str(name).strip().lower()).fillna("")
    if repeated := sorted(set(frame.columns[frame.columns.duplicated()])):
        raise ValueError(f"{path} has the column {_BRIEF.repr(repeated[0])} twice")
    return frame


def _labels(path: Path, frame: pd.DataFrame) -> pd.DataFrame:
    """One column per class."""
    import pandas as pd

    if set(COUNTED) <= set(frame):
        majority = _converted(path, frame["class"], _majority)
        return pd.DataFrame({"hate_speech": majority == 0, "offensive": majority == 1}).astype(float)
    classes = [name for name in frame if name in CLASS_COLUMNS]
    if any(_has_number(frame[name]) for name in classes):
        return pd.DataFrame({name: _converted(path, frame[name], _probability) for name in classes})
    column = next((name for name in VERDICT_COLUMNS if name in frame), None)
    if column is None:
        raise ValueError(f"{path} has no label column: {_nearest(frame, (*VERDICT_COLUMNS, *CLASS_COLUMNS))}")
    return pd.DataFrame({"toxicity": _converted(path, frame[column], _verdict)})


def _converted(path: Path, column: pd.Series, convert: Callable[[str], float]) -> pd.Series:
    """A column of labels as numbers; the first value that is no label is an error with its row, counted from 1."""
    import pandas as pd

    values: list[float] = []
    for index, text in column.items():
        try:
            values.append(convert(text.strip().lower()))
        except ValueError as error:
            raise ValueError(
                f"{path}, row {index + 1}: {column.name} is {_BRIEF.repr(text.strip())}; {error}"
            ) from None
    return pd.Series(values, index=column.index, dtype=float)


def _has_number(column: pd.Series) -> bool:
    return any(_number(text) is not None for text in column)


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def _majority(text: str) -> float:
    """Class 0, 1 or 2 of an annotators' majority."""
    number = _number(text)
    if number not in (0, 1, 2):
        raise ValueError("the class is 0 (hate speech), 1 (offensive language) or 2 (neither)")
    return number


def _probability(text: str) -> float:
    """A number in [0, 1], or a verdict in words."""
    number = _number(text)
    number = VERDICTS.get(text) if number is None else number
    if number is None or not 0 <= number <= 1:
        raise ValueError("labels must be numbers in [0, 1]")
    return number


def _verdict(text: str) -> float:
    """A verdict in words; 1 or 0, also written 1.0 or 0.0."""
    if _number(text) in (0, 1):
        return float(text)
    if text not in VERDICTS:
        near = nearest(text, VERDICTS)
        raise ValueError(f"did you mean {near!r}?" if near else f"known are {', '.join(VERDICTS)}")
    return VERDICTS[text]


def _nearest(frame: pd.DataFrame, accepted: tuple[str, ...]) -> str:
    near = next(((name, match) for name in frame if (match := nearest(name, accepted, cutoff=0.5))), None)
    hint = f"; {near[0]!r} is nearest, rename it {near[1]!r}" if near else ""
    return f"its columns are {_BRIEF.repr(list(frame))[1:-1]}, known are {', '.join(dict.fromkeys(accepted))}{hint}"

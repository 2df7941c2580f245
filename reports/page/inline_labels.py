"""Positions of labels that stand on their own lines, as contour labels do on a map."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

STEPS = 20
"""Positions tried between two corners of a line."""
MARGIN = 0.35
"""Free space around a point, as a share of a label's height: a point is drawn with a marker."""


def dense(line: np.ndarray) -> np.ndarray:
    """The corners of a line (n, 2) and positions between them.

    Examples
    --------
    >>> dense(np.array([[0.0, 0.0], [2.0, 1.0]])).shape
    (40, 2)
    """
    at = np.linspace(0, len(line) - 1, STEPS * len(line))
    return np.stack([np.interp(at, range(len(line)), line[:, axis]) for axis in (0, 1)], axis=1)


def places(
    lines: Sequence[np.ndarray],
    points: np.ndarray,
    box: tuple[float, float] | np.ndarray,
    low: tuple[float, float] | np.ndarray,
    high: tuple[float, float] | np.ndarray,
) -> list[np.ndarray | None]:
    """The position of each line's label with the largest distance to points, other lines and earlier labels.

    Parameters
    ----------
    lines : sequence of ndarray, shape (n, 2)
    points : ndarray, shape (m, 2)
    box : (width, height)
        Of a label, in the unit of the lines.
    low, high : (x, y)
        Corners of the frame, which labels do not cross.

    Returns
    -------
    list of ndarray or None
        The middle of each label. None for a line that has no position inside the frame at which its label covers
        neither a point nor another label.

    Examples
    --------
    The point stands on the left half of the line, so the label goes to the right.

    >>> line = np.array([[0.0, 5.0], [10.0, 5.0]])
    >>> places([line], np.array([[2.0, 5.0]]), (2, 1), (0, 0), (10, 10))[0].round(1).tolist()
    [9.0, 5.0]

    Between points that leave no room there is no label.

    >>> crowd = np.array([[x, 5.0] for x in range(11)])
    >>> places([line], crowd, (2, 1), (0, 0), (10, 10))
    [None]
    """
    half = np.asarray(box, float) / 2
    around = half + MARGIN * 2 * half[1]
    positions: list[np.ndarray | None] = []
    drawn = [dense(line) for line in lines]
    for this, line in enumerate(drawn):
        inside = line[((line >= low + half) & (line <= high - half)).all(axis=1)]
        others = np.concatenate([np.zeros((0, 2)), *(other for index, other in enumerate(drawn) if index != this)])
        labels = np.array([position for position in positions if position is not None]).reshape(-1, 2)
        free = np.minimum(_room(inside, points.reshape(-1, 2), around), _room(inside, labels, 2 * half))
        # a line behind a label can still be followed, a point or a label cannot
        room = np.minimum(free, _room(inside, others, half / 3))
        room = np.where(free >= 1, room, -1.0)
        best = int(np.argmax(room)) if len(inside) else -1
        positions.append(inside[best] if best >= 0 and room[best] >= 0 else None)
    return positions


def _room(candidates: np.ndarray, others: np.ndarray, half: np.ndarray) -> np.ndarray:
    """Distance of each candidate to the nearest of the others; below 1 a label there would touch it."""
    if not len(others):
        return np.full(len(candidates), np.inf)
    room: np.ndarray = (np.abs(candidates[:, None] - others[None]) / half).max(axis=2).min(axis=1)
    return room

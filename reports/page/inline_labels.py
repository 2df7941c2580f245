"""Lines that are named on themselves, like contours on a map."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

STEPS = 20
"""Places looked at between two corners of a line."""


def dense(line: np.ndarray) -> np.ndarray:
    """The corners of a line (n, 2) and places between them.

    Examples
    --------
    >>> dense(np.array([[0.0, 0.0], [2.0, 1.0]])).shape
    (40, 2)
    """
    at = np.linspace(0, len(line) - 1, STEPS * len(line))
    return np.stack([np.interp(at, range(len(line)), line[:, axis]) for axis in (0, 1)], axis=1)


def places(lines: Sequence[np.ndarray], points: np.ndarray, box, low, high) -> list[np.ndarray | None]:
    """Where on each line its name has most room: away from points, the other lines and the names before it.

    Parameters
    ----------
    lines : sequence of ndarray, shape (n, 2)
    points : ndarray, shape (m, 2)
    box : (width, height)
        Of a name, in the unit of the lines.
    low, high : (x, y)
        Corners of the frame, which names do not cross.

    Returns
    -------
    list of ndarray or None
        The middle of each name; None for a line that is nowhere far enough inside.

    Examples
    --------
    The point stands on the left half of the line, so the name goes to the right.

    >>> line = np.array([[0.0, 5.0], [10.0, 5.0]])
    >>> places([line], np.array([[2.0, 5.0]]), (2, 1), (0, 0), (10, 10))[0].round(1).tolist()
    [9.0, 5.0]
    """
    half, found = np.asarray(box, float) / 2, []
    drawn = [dense(line) for line in lines]
    for this, line in enumerate(drawn):
        inside = line[((line >= low + half) & (line <= high - half)).all(axis=1)]
        others = np.concatenate([np.zeros((0, 2)), *(other for index, other in enumerate(drawn) if index != this)])
        named = np.array([place for place in found if place is not None]).reshape(-1, 2)
        # two names must not touch; a line behind a name can still be read, a point cannot
        room = np.minimum(_room(inside, points.reshape(-1, 2), half), _room(inside, named, 2 * half))
        room = np.minimum(room, _room(inside, others, half / 3))
        found.append(inside[int(np.argmax(room))] if len(inside) else None)
    return found


def _room(places: np.ndarray, others: np.ndarray, half: np.ndarray) -> np.ndarray:
    """Of each place the distance to the nearest of the others; below 1 a name there would touch it."""
    if not len(others):
        return np.full(len(places), np.inf)
    return (np.abs(places[:, None] - others[None]) / half).max(axis=2).min(axis=1)

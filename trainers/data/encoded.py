"""Encoded examples: flat token arrays and the segments of them that are prompts and responses."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np


@dataclass(frozen=True)
class Encoded:
    """N examples with K responses each as one flat array of tokens and segments of it.

    Parameters
    ----------
    ids : list of str
    columns : tuple of str
        Names of the K responses, such as ``("chosen", "rejected")``.
    tokens : ndarray of int32
    prompts : ndarray of int64, shape (N, 2)
        Start and length of every prompt in `tokens`, beginning-of-sequence token included.
    responses : ndarray of int64, shape (N, K, 2)
        The same for the responses, end-of-sequence token included where `complete`.
    complete : ndarray of bool, shape (N, K)
        False where the response was cut at the limit and so has no end.
    kept : ndarray of int64, shape (N,)
        Positions of the examples in the input, of which some may have been dropped.
    counts : Counter
        Truncated prompts and responses, dropped examples.
    """

    ids: list[str]
    columns: tuple[str, ...]
    tokens: np.ndarray
    prompts: np.ndarray
    responses: np.ndarray
    complete: np.ndarray
    kept: np.ndarray
    counts: Counter[str] = field(default_factory=Counter)

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def lengths(self) -> np.ndarray:
        """Response tokens, shape (N, K)."""
        lengths: np.ndarray = self.responses[..., 1]
        return lengths

    def longest(self) -> int:
        """Tokens of the longest prompt with one response."""
        return int((self.prompts[:, 1] + self.lengths.max(axis=1)).max())

    def take(self, rows: np.ndarray) -> Encoded:
        """Some of the examples, over the same tokens."""
        ids = [self.ids[row] for row in rows]
        parts = (self.prompts[rows], self.responses[rows], self.complete[rows], self.kept[rows])
        return Encoded(ids, self.columns, self.tokens, *parts, self.counts)

    def positions(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Positions in `tokens` of the responses of some examples, padded to the longest of them.

        Returns
        -------
        ndarray of int64 and ndarray of bool, both of shape (n, K, T)
            The positions, and a mask of those within their response; the others are some valid position.
        """
        starts, lengths = self.responses[rows, :, 0], self.lengths[rows]
        step = np.arange(int(lengths.max()))
        inside = step < lengths[..., None]
        return np.where(inside, starts[..., None] + step, 0), inside

    def fingerprints(self) -> dict[str, str]:
        """A hash for each column that changes with any of its ids, tokens, boundaries and cuts.

        It covers data, tokenizer, chat template and truncation: equal fingerprints mean equal log-probabilities under
        equal weights.
        """
        prompts = (self.prompts[:, 1], self._gather(self.prompts))
        return {
            column: _digest(self.ids, *prompts, self.lengths[:, k], self._gather(self.responses[:, k]), complete)
            for k, (column, complete) in enumerate(zip(self.columns, self.complete.T, strict=True))
        }

    def _gather(self, segments: np.ndarray) -> np.ndarray:
        starts, sizes = segments.T
        gathered: np.ndarray = self.tokens[np.repeat(starts, sizes) + ranges(sizes)]
        return gathered


def ranges(sizes: np.ndarray) -> np.ndarray:
    """``0 .. size−1`` for every size, end to end.

    Examples
    --------
    >>> ranges(np.array([2, 0, 3])).tolist()
    [0, 1, 0, 1, 2]
    """
    within: np.ndarray = np.arange(int(sizes.sum())) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    return within


def _digest(ids: list[str], *arrays: np.ndarray) -> str:
    digest = hashlib.sha256("\n".join(ids).encode())
    for array in arrays:
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()


class Parts:
    """A builder of `Encoded`, which lays segments end to end."""

    def __init__(self, columns: tuple[str, ...], start: Encoded | None = None) -> None:
        self.columns = columns
        self.ids = list(start.ids) if start else []
        self.tokens = start.tokens.tolist() if start else []
        self.prompts = start.prompts.tolist() if start else []
        self.responses = start.responses.tolist() if start else []
        self.complete = start.complete.tolist() if start else []
        self.kept = start.kept.tolist() if start else []
        self.counts = Counter(start.counts if start else {"prompts_truncated": 0, "responses_truncated": 0})

    def add(
        self, identifier: str, position: int, prompt: list[int], responses: list[list[int]], complete: Iterable[bool]
    ) -> None:
        self.ids.append(identifier)
        self.kept.append(position)
        self.prompts.append(self._lay(prompt))
        self.responses.append([self._lay(response) for response in responses])
        self.complete.append(list(complete))

    def _lay(self, segment: list[int]) -> tuple[int, int]:
        self.tokens.extend(segment)
        return len(self.tokens) - len(segment), len(segment)

    def encoded(self) -> Encoded:
        n, k = len(self.ids), len(self.columns)
        return Encoded(
            self.ids,
            self.columns,
            np.asarray(self.tokens, dtype=np.int32),
            np.asarray(self.prompts, dtype=np.int64).reshape(n, 2),
            np.asarray(self.responses, dtype=np.int64).reshape(n, k, 2),
            np.asarray(self.complete, dtype=bool).reshape(n, k),
            np.asarray(self.kept, dtype=np.int64),
            self.counts,
        )

"""Partition of examples into optimizer batches, micro-batches and rows.

An optimizer batch is defined by its examples alone; packing changes the cost and no result.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np

from trainers.data.encoded import Encoded


@dataclass(frozen=True)
class Layout:
    """How a model's examples are laid out.

    Parameters
    ----------
    shared : bool
        Whether the responses to a prompt share it in one row.
    hidden : int
        Width of the model, which sets what attention costs relative to the rest.
    micro_batch_tokens : int
    attention : {"mask", "by_example", "blocks"}
        How a packed row attends: under one mask, at the cost of the row's square; from example to example
        (`trainers.model.attention`); or by FlexAttention, which leaves out blocks in which nothing is seen. With the last
        two a single row may hold any number of examples at no more than about their own cost.
    """

    shared: bool
    hidden: int
    micro_batch_tokens: int
    attention: Literal["mask", "by_example", "blocks"] = "mask"


def example_sizes(encoded: Encoded, layout: Layout) -> np.ndarray:
    """Tokens in the row that an example takes, shape (N,)."""
    fed = encoded.lengths - 1
    sizes: np.ndarray = encoded.prompts[:, 1] + (fed.sum(axis=1) if layout.shared else fed.max(axis=1))
    return sizes


def shuffled(n: int, batch_size: int, seed: int, start: int = 0) -> Iterator[np.ndarray]:
    """Optimizer batches as arrays of example numbers, without end, from step `start` on.

    Every pass over the data is a new permutation that depends on (seed, pass) alone, so a run can begin
    at any step. The last batch of a pass is smaller where the sizes do not divide.

    Examples
    --------
    >>> batches = shuffled(5, 2, seed=0)
    >>> sorted(int(i) for _ in range(3) for i in next(batches))
    [0, 1, 2, 3, 4]
    """
    per_pass = -(-n // batch_size)
    step = start
    while True:
        order = np.random.default_rng([seed, step // per_pass]).permutation(n)
        for number in range(step % per_pass, per_pass):
            yield order[number * batch_size : (number + 1) * batch_size]
            step += 1


def pack(sizes: np.ndarray, capacity: int) -> list[list[int]]:
    """First-fit decreasing: items into as few bins of `capacity` as the rule finds; a larger item goes alone.

    Examples
    --------
    >>> pack(np.array([6, 5, 4, 3, 2]), 10)
    [[0, 2], [1, 3, 4]]
    """
    bins: list[list[int]] = []
    room = np.zeros(len(sizes), dtype=np.int64)
    for item in np.argsort(-sizes, kind="stable").tolist():
        size = int(sizes[item])
        fitting = np.flatnonzero(room[: len(bins)] >= size)
        if len(fitting):
            bins[fitting[0]].append(item)
            room[fitting[0]] -= size
        else:
            room[len(bins)] = capacity - size
            bins.append([item])
    return bins


def plan(sizes: np.ndarray, layout: Layout, rows_per_example: int = 1) -> list[list[list[int]]]:
    """Micro-batches of rows of examples that together hold each example once.

    Rows are packed only where a cost model says that it pays: matrix products grow with tokens, attention under a
    mask with the square of the row, any other with the square of the example. Micro-batches of several
    rows hold rows of like length.
    """
    alone = [[item] for item in np.argsort(-sizes, kind="stable").tolist()]
    candidates = [_group(alone, sizes, layout, rows_per_example)]
    if layout.shared and len(sizes) > 1:
        longest, (shortest, next_shortest) = int(sizes.max()), np.partition(sizes, 1)[:2]
        for capacity in {longest, longest // 2}:
            if shortest + next_shortest <= capacity:
                rows = pack(sizes, capacity)
                rows.sort(key=lambda row: -int(sizes[row].sum()))
                candidates.append(_group(rows, sizes, layout, rows_per_example))
        if layout.attention != "mask":
            candidates.append([[row] for row in pack(sizes, layout.micro_batch_tokens)])
    return min(candidates, key=lambda micro: _cost(micro, sizes, layout, rows_per_example))


# In tokens: what starting a micro-batch costs, and an example's own attention calls (over hidden², as a token's matrix
# products grow with it). And how much shorter than its longest a row may be before a new micro-batch is cheaper than
# the padding.
MICRO_BATCH_OVERHEAD = 512
EXAMPLE_OVERHEAD = 260_000
RAGGED = 0.7


def _group(rows: list[list[int]], sizes: np.ndarray, layout: Layout, height: int) -> list[list[list[int]]]:
    micro_batches: list[list[list[int]]] = []
    widest = 0
    for row in rows:
        width = int(sizes[row].sum())
        area = widest * height * len(micro_batches[-1]) if micro_batches else 0
        full = area + widest * height > layout.micro_batch_tokens
        ragged = width < RAGGED * widest and area > 4 * MICRO_BATCH_OVERHEAD
        if not micro_batches or full or ragged:
            micro_batches.append([])
            widest = width
        micro_batches[-1].append(row)
    return micro_batches


def _cost(micro_batches: list[list[list[int]]], sizes: np.ndarray, layout: Layout, height: int) -> float:
    total = 0.0
    for rows in micro_batches:
        total += MICRO_BATCH_OVERHEAD
        if layout.attention != "mask" and len(rows) == 1:
            own = sizes[rows[0]].astype(float)
            total += (own * (1 + own / (12 * layout.hidden)) + EXAMPLE_OVERHEAD / layout.hidden**2).sum()
        else:
            width = int(sizes[rows[0]].sum())
            total += width * height * len(rows) * (1 + width / (6 * layout.hidden))
    return float(total)

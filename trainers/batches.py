"""From encoded examples to rows of tokens: shared prompts, packed rows, micro-batches.

An example is laid out as ``[prompt | response 1 | ... | response K]``. Positions restart after the
prompt for each response, and a mask hides the responses from each other and the examples of a row from
each other, so that every response sees exactly what it would see alone behind its prompt. The last
token of a response is only ever predicted, so it is not fed in.

Where a model cannot take such a mask, every response is laid out alone behind its prompt: the same
`Rows`, one branch to a row, plain causal attention.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields, replace

import numpy as np
import torch
from torch import Tensor

from trainers.encode import Encoded, ranges


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
    """

    shared: bool
    hidden: int
    micro_batch_tokens: int


@dataclass(frozen=True)
class Rows:
    """A micro-batch: R rows of L tokens that hold M responses to P prompts.

    Parameters
    ----------
    input_ids, positions : Tensor of int64, shape (R, L)
    example, branch : Tensor of int32, shape (R, L) or None
        Which prompt a token belongs to (−1 for padding) and which of its responses (0 for the prompt
        itself); None where plain causal attention does.
    sources : Tensor of int64, shape (S,)
        Flat positions whose hidden states predict a response token.
    targets : Tensor of int64, shape (S,)
        The tokens they predict.
    slots : Tensor of int64, shape (S,)
        Where each prediction goes in a flat (M, longest) table.
    lengths : Tensor of int64, shape (M,)
    prompt_ends : Tensor of int64, shape (P,)
        Flat position of every prompt's last token.
    n_tokens : int
        Tokens fed in, padding not counted.
    """

    input_ids: Tensor
    positions: Tensor
    example: Tensor | None
    branch: Tensor | None
    sources: Tensor
    targets: Tensor
    slots: Tensor
    lengths: Tensor
    prompt_ends: Tensor
    n_tokens: int

    def to(self, device: str) -> Rows:
        """The same rows on a device."""
        if device == "cpu":
            return self
        tensors = {f.name: getattr(self, f.name) for f in fields(self)}
        return replace(self, **{k: v.to(device, non_blocking=True) for k, v in tensors.items() if torch.is_tensor(v)})

    def mask(self, dtype: torch.dtype) -> Tensor | None:
        """Additive attention mask, shape (R, 1, L, L): 0 where the row's token may look, −inf elsewhere."""
        if self.example is None:
            return None
        length = self.input_ids.shape[1]
        same_example = self.example[:, :, None] == self.example[:, None, :]
        branch = self.branch
        visible = (branch[:, None, :] == 0) | (branch[:, :, None] == branch[:, None, :])
        causal = torch.ones(length, length, dtype=torch.bool, device=branch.device).tril()
        allowed = visible.logical_and_(same_example).logical_and_(causal)
        return torch.zeros(allowed.shape, dtype=dtype, device=branch.device).masked_fill_(~allowed, -torch.inf)[:, None]


def shuffled(n: int, batch_size: int, seed: int, start: int = 0) -> Iterator[np.ndarray]:
    """Optimizer batches as arrays of example numbers, for ever, from step `start` on.

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

    Rows are packed only where a cost model (matrix products grow with tokens, attention with the square
    of the row) says that it pays; micro-batches hold rows of like length.
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
    return min(candidates, key=lambda micro: _cost(micro, sizes, layout, rows_per_example))


# What starting a micro-batch costs, in tokens, and how much shorter than its longest a row may be before
# a new micro-batch is cheaper than the padding.
MICRO_BATCH_OVERHEAD = 512
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
        width = int(sizes[rows[0]].sum())
        total += MICRO_BATCH_OVERHEAD + width * height * len(rows) * (1 + width / (6 * layout.hidden))
    return total


def lay_out(encoded: Encoded, rows: Sequence[Sequence[int]], layout: Layout) -> Rows:
    """Lay rows of examples out as tensors; responses keep the order of the examples as listed.

    Parameters
    ----------
    rows : sequence of sequences of int
        Which examples go into which row.
    """
    order = np.fromiter((item for row in rows for item in row), dtype=np.int64)
    row_of = np.repeat(np.arange(len(rows)), [len(row) for row in rows])
    prompts, responses = encoded.prompts[order], encoded.responses[order]
    n, k = responses.shape[:2]
    if layout.shared:
        return lay_out_trees(encoded.tokens, prompts, responses.reshape(-1, 2), np.full(n, k), row_of)
    # One row for every response, each behind its own copy of the prompt.
    alone = lay_out_trees(
        encoded.tokens, prompts.repeat(k, axis=0), responses.reshape(-1, 2), np.ones(n * k, np.int64), np.arange(n * k)
    )
    return replace(alone, example=None, branch=None, prompt_ends=alone.prompt_ends[::k])


def lay_out_trees(
    tokens: np.ndarray, prompts: np.ndarray, responses: np.ndarray, branches: np.ndarray, row_of: np.ndarray
) -> Rows:
    """Lay out P prompts, the i-th with the next ``branches[i]`` of the responses, in the rows `row_of` (ascending).

    Parameters
    ----------
    tokens : ndarray of int32
    prompts, responses : ndarray of int64, shapes (P, 2) and (M, 2)
        Start and length in `tokens`.
    branches, row_of : ndarray of int64, shape (P,)
    """
    n, m = len(prompts), len(responses)
    owner = np.repeat(np.arange(n), branches)
    fed = responses[:, 1] - 1
    # Segments in the order of the row: a prompt, then its responses.
    first_branch = np.cumsum(branches) - branches
    prompt_at = np.arange(n) + first_branch
    response_at = np.arange(m) + owner + 1
    starts, sizes = np.empty(n + m, np.int64), np.empty(n + m, np.int64)
    starts[prompt_at], sizes[prompt_at] = prompts.T
    starts[response_at], sizes[response_at] = responses[:, 0], fed
    row = np.empty(n + m, np.int64)
    row[prompt_at], row[response_at] = row_of, row_of[owner]
    begins = np.cumsum(sizes) - sizes
    first_of_row = np.searchsorted(row, np.arange(row_of[-1] + 1))
    columns = begins - begins[first_of_row][row]
    width = int((columns + sizes).max())

    within = ranges(sizes)
    flat = np.repeat(row * width + columns, sizes) + within
    offset = np.zeros(n + m, np.int64)
    offset[response_at] = prompts[owner, 1]
    branch = np.zeros(n + m, np.int32)
    branch[response_at] = np.arange(m) - first_branch[owner] + 1
    example = np.empty(n + m, np.int32)
    example[prompt_at], example[response_at] = np.arange(n), owner

    shape = (int(row_of[-1]) + 1, width)
    table = np.zeros((4, shape[0] * width), np.int64)
    table[2] = -1
    table[0, flat] = tokens[np.repeat(starts, sizes) + within]
    table[1, flat] = within + np.repeat(offset, sizes)
    table[2, flat] = np.repeat(example, sizes)
    table[3, flat] = np.repeat(branch, sizes)

    ends = (row * width + columns + sizes - 1)[prompt_at]
    lengths = responses[:, 1]
    step = ranges(lengths)
    # The first token is predicted at the prompt's end, the others at the token before them.
    sources = np.repeat((row * width + columns)[response_at] - 1, lengths) + step
    sources[np.cumsum(lengths) - lengths] = ends[owner]
    longest = int(lengths.max())
    grid = [torch.from_numpy(part.reshape(shape)) for part in table]
    return Rows(
        grid[0],
        grid[1],
        grid[2],
        grid[3],
        torch.from_numpy(sources),
        torch.from_numpy(tokens[np.repeat(responses[:, 0], lengths) + step].astype(np.int64)),
        torch.from_numpy(np.repeat(np.arange(m) * longest, lengths) + step),
        torch.from_numpy(lengths.copy()),
        torch.from_numpy(ends),
        int(sizes.sum()),
    )


def example_sizes(encoded: Encoded, layout: Layout) -> np.ndarray:
    """Tokens in the row that an example takes, shape (N,)."""
    fed = encoded.lengths - 1
    return encoded.prompts[:, 1] + (fed.sum(axis=1) if layout.shared else fed.max(axis=1))

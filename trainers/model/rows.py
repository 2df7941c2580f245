"""Rows of tokens in which the responses to a prompt share it.

An example is laid out as ``[prompt | response 1 | ... | response K]``. Positions restart after the
prompt for each response, and a mask hides the responses from each other and the examples of a row from
each other, so that every response sees exactly what it would see alone behind its prompt. The last
token of a response is only ever predicted, so it is not fed in.

Where a model cannot take such a mask, every response is laid out alone behind its prompt: the same
`Rows`, one branch to a row, plain causal attention.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional
from torch.nn.attention.flex_attention import BlockMask, create_block_mask

from trainers.data.encoded import Encoded, ranges
from trainers.model.attention import Tree
from trainers.model.packing import Layout


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
    by_example : tuple of (int, tuple of int), or None
        Tokens of every prompt and of its responses, where attention goes from example to example of the only row.
    blocks : bool
        Whether the mask is handed to FlexAttention, as which of its blocks hold anything.
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
    by_example: tuple[tuple[int, tuple[int, ...]], ...] | None = None
    blocks: bool = False

    def to(self, device: str) -> Rows:
        """The same rows on a device."""
        if device == "cpu":
            return self
        moved: dict[str, Any] = {
            name: value.to(device, non_blocking=True) for name, value in vars(self).items() if torch.is_tensor(value)
        }
        return replace(self, **moved)

    def padded(self, width: int) -> Rows:
        """The rows with `width` tokens of padding behind the only row; unchanged unless attention goes `by_example`."""
        if not width or self.by_example is None:
            return self
        input_ids, positions = (functional.pad(table, [0, width]) for table in (self.input_ids, self.positions))
        return replace(self, input_ids=input_ids, positions=positions, by_example=(*self.by_example, (width, ())))

    def attention(self, dtype: torch.dtype) -> dict[str, object]:
        """Attention-mask arguments for the decoder."""
        if self.example is None:
            return {}
        if self.blocks:
            return {"attention_mask": self.block_mask(), "position_ids": self.positions}
        if self.by_example is None:
            return {"attention_mask": self.mask(dtype), "position_ids": self.positions}
        # transformers takes any mask of four dimensions for a finished one and makes none itself.
        finished = torch.zeros(1, 1, 1, 1, dtype=dtype)
        trees = [Tree.of(prompt, responses) for prompt, responses in self.by_example]
        return {"attention_mask": finished, "position_ids": self.positions, "trees": trees}

    def mask(self, dtype: torch.dtype) -> Tensor | None:
        """Additive attention mask, shape (R, 1, L, L): 0 where the row's token may look, −inf elsewhere."""
        if self.example is None or self.branch is None:
            return None
        n_rows, length = self.input_ids.shape
        row, at = (torch.arange(n, device=self.branch.device) for n in (n_rows, length))
        allowed = visibility(self.example, self.branch)(row[:, None, None], None, at[:, None], at)
        return torch.zeros(allowed.shape, dtype=dtype, device=at.device).masked_fill_(~allowed, -torch.inf)[:, None]

    def block_mask(self) -> BlockMask | None:
        """The same mask for FlexAttention, which on a GPU needs no table of L × L."""
        if self.example is None or self.branch is None:
            return None
        (n_rows, length), device = self.input_ids.shape, self.input_ids.device
        sees = visibility(self.example, self.branch)
        return create_block_mask(sees, n_rows, None, length, length, device.type, _compile=device.type == "cuda")


def visibility(example: Tensor, branch: Tensor) -> Callable[..., Tensor]:
    """Mask function: a query attends to earlier keys of its example, in the prompt and in its own branch."""

    def sees(row: Tensor, head: Tensor | None, query: Tensor, key: Tensor) -> Tensor:
        shown = (branch[row, key] == 0) | (branch[row, query] == branch[row, key])
        return shown & (example[row, query] == example[row, key]) & (key <= query)

    return sees


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
        laid = lay_out_trees(encoded.tokens, prompts, responses.reshape(-1, 2), np.full(n, k), row_of)
        if layout.attention != "by_example" or len(rows) > 1:
            return replace(laid, blocks=layout.attention == "blocks")
        fed = (responses[..., 1] - 1).tolist()
        return replace(laid, by_example=tuple((p, tuple(r)) for p, r in zip(prompts[:, 1].tolist(), fed, strict=True)))
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

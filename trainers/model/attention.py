"""Attention over packed rows at a cost that grows with the tokens that each token may attend to.

Under one mask, a row that holds several examples costs as much as all pairs of its tokens, masked or not. On a CPU the
examples of a row are computed one after the other instead: a prompt with causal attention to itself, its responses with
attention to the prompt and themselves under a small mask. No tensor of size length × length of the row is made, and
nothing is padded. On a GPU FlexAttention skips the blocks of the mask that are empty.

The attention is registered with transformers under the name `NAME`; for every other call it is the library's SDPA.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.attention.flex_attention import BlockMask
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.integrations.flex_attention import flex_attention_forward
from transformers.integrations.sdpa_attention import repeat_kv, sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

from trainers.model.padding import pad_to_multiple

NAME = "prompt_trees"


@dataclass(frozen=True)
class Tree:
    """One example of a row.

    Parameters
    ----------
    prompt : int
        Tokens of the prompt, at least one.
    responses : Tensor of float32, shape (1, 1, S, prompt + S) or None
        Additive mask of the S tokens of all responses, −inf where they may not look. None if S = 0.
    """

    prompt: int
    responses: Tensor | None

    @property
    def size(self) -> int:
        """Tokens of the example."""
        return self.prompt if self.responses is None else self.responses.shape[-1]

    @classmethod
    def of(cls, prompt: int, responses: Sequence[int]) -> Tree:
        """From the numbers of tokens.

        Examples
        --------
        >>> Tree.of(1, [2, 1]).responses.exp().int()[0, 0].tolist()
        [[1, 1, 0, 0], [1, 1, 1, 0], [1, 0, 0, 1]]
        """
        size = sum(responses)
        if not size:
            return cls(prompt, None)
        owner = torch.repeat_interleave(torch.arange(len(responses)), torch.tensor(responses))
        visible = torch.ones(size, prompt + size, dtype=torch.bool)
        visible[:, prompt:] = (owner[:, None] == owner).tril_()
        return cls(prompt, torch.zeros(1, 1, size, prompt + size).masked_fill_(~visible, -torch.inf))


def attend(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | BlockMask | None,
    trees: Sequence[Tree] | None = None,
    **options: Any,
) -> tuple[Tensor, None]:
    """The attention function of every layer, shapes (rows, heads, tokens, dim); `trees` fill the only row, in order."""
    # Under autocast a rotary embedding leaves queries and keys in float32 and values in bfloat16.
    dtype, kind = value.dtype, query.device.type
    if isinstance(attention_mask, BlockMask):
        with torch.autocast(kind, enabled=False):
            flex = flex_attention_forward(module, query.to(dtype), key.to(dtype), value, attention_mask, **options)
        return flex[0], None
    if trees is None:
        return sdpa_attention_forward(module, query, key, value, attention_mask, **options)
    with torch.autocast(kind, enabled=False):
        return torch.cat(list(_along(module, query.to(dtype), key.to(dtype), value, trees, options)), dim=1), None


def _along(
    module: nn.Module, query: Tensor, key: Tensor, value: Tensor, trees: Sequence[Tree], options: Mapping[str, Any]
) -> Iterator[Tensor]:
    kernel = sdpa_attention_forward if query.dtype == torch.float32 else by_products
    sizes = [tree.size for tree in trees]
    parts = (torch.split(states, sizes, dim=2) for states in (query, key, value))
    for tree, q, k, v in zip(trees, *parts, strict=True):
        p = tree.prompt
        prompt, responses = torch.split(q, [p, tree.size - p], dim=2)
        yield kernel(module, prompt, k[:, :, :p], v[:, :, :p], None, is_causal=True, **options)[0]
        if tree.responses is not None:
            yield kernel(module, responses, k, v, tree.responses, **options)[0]


QUERIES = 256
"""Queries that `by_products` computes at once: few enough that little of the product is masked.

A multiple of `trainers.model.padding.STEP`.
"""


def by_products(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    mask: Tensor | None,
    scaling: float | None = None,
    **options: Any,
) -> tuple[Tensor, None]:
    """softmax(QKᵀ · scaling + mask) V by matrix products, for one row; otherwise as transformers' own attentions.

    Without a mask the attention is causal.

    On a CPU the fused kernel gains nothing from bfloat16, and matrix products are several times as fast. The memory kept
    for the backward pass grows with queries × keys.
    """
    q, k, v = query[0], *(repeat_kv(states, query.shape[1] // states.shape[1])[0] for states in (key, value))
    scale = q.shape[-1] ** -0.5 if scaling is None else scaling
    k, v = pad_to_multiple(k, 1), pad_to_multiple(v, 1)
    seen = []
    for start in range(0, q.shape[1], QUERIES):
        size = min(QUERIES, q.shape[1] - start)
        queries = pad_to_multiple(q[:, start : start + size], 1)
        if mask is None:
            n = start + queries.shape[1]
            hidden = torch.full((queries.shape[1], n), -torch.inf, dtype=q.dtype).triu_(start + 1)
        else:
            n = k.shape[1]
            shown = mask[0, 0, start : start + size].to(q.dtype)
            hidden = pad_to_multiple(functional.pad(shown, (0, n - shown.shape[1]), value=-torch.inf), 0)
        scores = torch.baddbmm(hidden, queries, k[:, :n].transpose(1, 2), alpha=scale)
        seen.append((scores.softmax(-1) @ v[:, :n])[:, :size])
    return torch.cat(seen, dim=1).transpose(0, 1)[None], None


AttentionInterface.register(NAME, attend)
AttentionMaskInterface.register(NAME, sdpa_mask)

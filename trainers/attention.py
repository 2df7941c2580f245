"""Attention along trees of prompts and responses whose cost grows with what a token may see.

A row that holds several examples, under one mask, pays for every pair of its tokens, seen or not. Here the examples
of a row are taken one after the other: a prompt causally with itself, its responses with the prompt and themselves
under a small mask. Nothing of size length × length of the row is made, and nothing is padded.

It is registered with transformers under a name of its own and is its plain SDPA attention for every other call.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

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
    attention_mask: Tensor | None,
    trees: Sequence[Tree] | None = None,
    **options,
) -> tuple[Tensor, None]:
    """What transformers calls in every layer, shapes (1, heads, tokens, dim); `trees` fill the row, in order.

    Along trees it computes in float32: there a processor's kernel is faster than in bfloat16.
    """
    if trees is None:
        return sdpa_attention_forward(module, query, key, value, attention_mask, **options)
    with torch.autocast(query.device.type, enabled=False):
        seen = list(_along(module, query.float(), key.float(), value.float(), trees, options))
    return torch.cat(seen, dim=1).to(query.dtype), None


def _along(
    module: nn.Module, query: Tensor, key: Tensor, value: Tensor, trees: Sequence[Tree], options: dict
) -> Iterator[Tensor]:
    sizes = [tree.size for tree in trees]
    for tree, q, k, v in zip(trees, *(states.split(sizes, dim=2) for states in (query, key, value)), strict=True):
        p = tree.prompt
        prompt, responses = q.split((p, tree.size - p), dim=2)
        yield sdpa_attention_forward(module, prompt, k[:, :, :p], v[:, :, :p], None, is_causal=True, **options)[0]
        if tree.responses is not None:
            yield sdpa_attention_forward(module, responses, k, v, tree.responses, **options)[0]


AttentionInterface.register(NAME, attend)
AttentionMaskInterface.register(NAME, sdpa_mask)

"""One model's reading of a batch of contexts, token by token, with a key-value cache of its own."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor
    from transformers import PreTrainedModel


@dataclass
class Stream:
    """A batch of contexts, left-padded to their own width, and what is cached of them."""

    model: PreTrainedModel
    tokens: Tensor
    mask: Tensor
    positions: Tensor
    cache: Any = None

    @classmethod
    def of(cls, model: PreTrainedModel, contexts: Sequence[Sequence[int]]) -> Stream:
        """The contexts' tokens, none of them empty, on the model's device."""
        import torch

        width = max(map(len, contexts))
        tokens = torch.tensor([[0] * (width - len(ids)) + list(ids) for ids in contexts], device=model.device)
        mask = torch.tensor([[0] * (width - len(ids)) + [1] * len(ids) for ids in contexts], device=model.device)
        return cls(model, tokens, mask, (mask.cumsum(-1) - 1).clamp(min=0))

    @property
    def has_cache(self) -> bool:
        return has_cache(self.model)

    def logits(self) -> Tensor:
        """Logits of the next token, shape (B, V)."""
        out = self.model(
            input_ids=self.tokens,
            attention_mask=self.mask,
            position_ids=self.positions,
            past_key_values=self.cache,
            use_cache=self.has_cache,
            logits_to_keep=1,
        )
        self.cache = out.past_key_values if self.has_cache else None
        last: Tensor = out.logits[:, -1]
        return last

    def append(self, token: Tensor) -> None:
        """Go on behind one more token for each row."""
        import torch

        behind = token[:, None], self.positions[:, -1:] + 1
        whole = (torch.cat([old, new], -1) for old, new in zip((self.tokens, self.positions), behind, strict=True))
        self.tokens, self.positions = behind if self.has_cache else whole
        self.mask = torch.cat([self.mask, self.mask.new_ones(len(token), 1)], -1)


def has_cache(model: PreTrainedModel) -> bool:
    """Whether keys and values are cached. A model that carries a state along the row (Mamba, RWKV) caches that."""
    return not getattr(model, "_is_stateful", False)


Choose = Callable[[list["Tensor"], "Tensor"], "Tensor"]
"""From each stream's logits (B, V) and uniform numbers (B,) to tokens (B,)."""


def sample(
    streams: Sequence[Stream], choose: Choose, uniforms: Tensor, limits: Tensor, ends: Tensor
) -> list[list[int] | None]:
    """New tokens of every row, the end token included; None for a row whose logits were not numbers.

    Parameters
    ----------
    streams : sequence of Stream
        One for each context of a row; the same token is appended to all of them.
    choose : callable
    uniforms : Tensor of float64, shape (B, steps)
    limits : Tensor of int64, shape (B,)
        Most tokens of each row.
    ends : Tensor of int64
        Tokens that end a response.
    """
    import torch

    finished = torch.zeros(len(limits), dtype=torch.bool, device=limits.device)
    broken = torch.zeros_like(finished)
    lengths = torch.zeros_like(limits)
    steps: list[Tensor] = []
    with torch.inference_mode():
        for step in range(int(limits.max())):
            logits = [stream.logits() for stream in streams]
            # The maximum is NaN where any logit is, and infinite where the softmax is undefined.
            for member in logits:
                broken |= ~finished & ~member.amax(-1).isfinite()
            token = choose(logits, uniforms[:, step])
            steps.append(token)
            lengths += ~finished
            finished |= torch.isin(token, ends) | (lengths >= limits) | broken
            if bool(finished.all()):
                break
            for stream in streams:
                stream.append(token)
    sampled = torch.stack(steps, -1).tolist()
    return [
        None if invalid else ids[:n] for ids, n, invalid in zip(sampled, lengths.tolist(), broken.tolist(), strict=True)
    ]

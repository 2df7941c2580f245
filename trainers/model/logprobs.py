"""Log-probabilities of responses in chunks, so that the logits are never held together.

Only hidden states that predict a response token reach the language-model head, and head, log-softmax
and gather run in chunks that are computed again in the backward pass, so memory does not grow with
positions × vocabulary.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor, nn

from trainers.model.causal_lm import decoder_and_head
from trainers.model.memory import CHUNK_ELEMENTS
from trainers.model.padding import needs_fixed_shapes, pad_to_multiple, padding_to
from trainers.model.rows import Rows


class _Context(Protocol):
    """torch's context between a forward and its backward pass, with the compute dtype."""

    dtype: torch.dtype
    needs_input_grad: tuple[bool, ...]

    @property
    def saved_tensors(self) -> tuple[Tensor, ...]: ...

    def save_for_backward(self, *tensors: Tensor | None) -> None: ...


class _TokenLogps(torch.autograd.Function):
    """log softmax(h Wᵀ + b)[target] for every row of h, in float32, a chunk of rows at a time."""

    @staticmethod
    def forward(
        ctx: _Context, hidden: Tensor, weight: Tensor, bias: Tensor | None, targets: Tensor, dtype: torch.dtype
    ) -> Tensor:
        hidden_, weight_ = hidden.to(dtype), weight.to(dtype)
        logps = torch.empty(len(hidden), dtype=torch.float32, device=hidden.device)
        partition = torch.empty_like(logps)
        for rows in _chunks(len(hidden), len(weight)):
            logits = _logits(hidden_[rows], weight_, bias)
            partition[rows] = logits.logsumexp(-1)
            logps[rows] = logits.gather(1, targets[rows, None]).squeeze(1) - partition[rows]
        ctx.save_for_backward(hidden, weight, bias, targets, partition)
        ctx.dtype = dtype
        return logps

    @staticmethod
    def backward(ctx: _Context, gradient: Tensor) -> tuple[Tensor | None, Tensor | None, Tensor | None, None, None]:
        hidden, weight, bias, targets, partition = ctx.saved_tensors
        hidden_, weight_ = hidden.to(ctx.dtype), weight.to(ctx.dtype)
        needs_hidden, needs_weight, needs_bias = ctx.needs_input_grad[:3]
        to_hidden = torch.empty_like(hidden) if needs_hidden else None
        to_weight = torch.zeros(weight.shape, dtype=torch.float32, device=weight.device) if needs_weight else None
        to_bias = torch.zeros_like(bias) if needs_bias else None
        for rows in _chunks(len(hidden), len(weight)):
            # d logp / d logits = onehot(target) − softmax(logits)
            logits = _logits(hidden_[rows], weight_, bias)
            probabilities = logits.sub_(partition[rows, None]).exp_()
            to_logits = probabilities.mul_(-gradient[rows, None])
            to_logits.scatter_add_(1, targets[rows, None], gradient[rows, None])
            if to_bias is not None:
                to_bias += to_logits.sum(0)
            to_logits = _even(to_logits.to(ctx.dtype))
            if to_hidden is not None:
                to_hidden[rows] = (to_logits @ weight_)[: len(hidden_[rows])].to(hidden.dtype)
            if to_weight is not None:
                to_weight += to_logits.t() @ _even(hidden_[rows])
        return to_hidden, None if to_weight is None else to_weight.to(weight.dtype), to_bias, None, None


def _chunks(positions: int, vocabulary: int) -> list[slice]:
    size = max(1, CHUNK_ELEMENTS // vocabulary)
    return [slice(start, start + size) for start in range(0, positions, size)]


def _logits(hidden: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    logits = (_even(hidden) @ weight.t())[: len(hidden)].float()
    return logits if bias is None else logits.add_(bias)


def _even(rows: Tensor) -> Tensor:
    return pad_to_multiple(rows, 0) if needs_fixed_shapes(rows.device.type, rows.dtype) else rows


def token_logps(hidden: Tensor, weight: Tensor, bias: Tensor | None, targets: Tensor) -> Tensor:
    """Log-probability of each target under a softmax over ``hidden @ weight.T + bias``.

    Parameters
    ----------
    hidden : Tensor, shape (S, H)
    weight : Tensor, shape (V, H)
    bias : Tensor, shape (V,) or None
    targets : Tensor of int64, shape (S,)

    Returns
    -------
    Tensor of float32, shape (S,)
        Nats.

    Examples
    --------
    >>> token_logps(torch.zeros(1, 2), torch.ones(4, 2), None, torch.tensor([3])).exp().tolist()
    [0.25]
    """
    kind = hidden.device.type
    dtype = torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else hidden.dtype
    with torch.autocast(kind, enabled=False):
        apply: Callable[..., Tensor] = _TokenLogps.apply
        return apply(hidden, weight, bias, targets, dtype)


@torch.no_grad()
def token_collisions(hidden: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """log Σ_v p_v² of the softmax over ``hidden @ weight.T + bias``, shape (S,), float32, nats, without gradients.

    Examples
    --------
    >>> token_collisions(torch.zeros(1, 2), torch.ones(4, 2), None).exp().tolist()
    [0.25]
    """
    kind = hidden.device.type
    dtype = torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else hidden.dtype
    hidden, weight = hidden.to(dtype), weight.to(dtype)
    collisions = torch.empty(len(hidden), dtype=torch.float32, device=hidden.device)
    with torch.autocast(kind, enabled=False):
        for rows in _chunks(len(hidden), len(weight)):
            collisions[rows] = (2 * _logits(hidden[rows], weight, bias).log_softmax(-1)).logsumexp(-1)
    return collisions


@dataclass(frozen=True)
class Scored:
    """The result of a forward pass: log-probabilities and hidden states.

    Parameters
    ----------
    logps : Tensor of float32, shape (M,)
        SUM over the tokens of each response, nats.
    prompt_hidden : Tensor, shape (P, H)
        At every prompt's last token.
    token_logps : Tensor of float32, shape (M, T)
        The terms of the sums, 0 beyond a response's end.
    token_hidden : Tensor, shape (S, H)
        Where each response token is predicted, in the order of ``Rows.sources``.
    token_collisions : Tensor of float32, shape (M, T), or None
        `token_collisions` of the same positions, 0 beyond a response's end; where asked for.
    """

    logps: Tensor
    prompt_hidden: Tensor
    token_logps: Tensor
    token_hidden: Tensor
    token_collisions: Tensor | None = None


def score(model: nn.Module, rows: Rows, collisions: bool = False) -> Scored:
    """Log-probabilities of the responses that `rows` hold, under a causal language model.

    Parameters
    ----------
    model : PreTrainedModel or PeftModel
    rows : Rows
        On the model's device.
    collisions : bool
        Give `Scored.token_collisions` too, at the cost of another pass through the head.
    """
    hidden, (_, head) = hidden_states(model, rows), decoder_and_head(model)
    sources = hidden[rows.sources]
    # A table of one row per response, so that sums do not depend on what else is in the batch.
    table = by_response(token_logps(sources, head.weight, head.bias, rows.targets), rows)
    squares = by_response(token_collisions(sources, head.weight, head.bias), rows) if collisions else None
    return Scored(table.sum(1), hidden[rows.prompt_ends], table, sources, squares)


def hidden_states(model: nn.Module, rows: Rows) -> Tensor:
    """The decoder's last hidden states at all positions of `rows`, flat, shape (R·L, H)."""
    decoder, _ = decoder_and_head(model)
    kind = rows.input_ids.device.type
    dtype = torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else next(decoder.parameters()).dtype
    length = rows.input_ids.shape[1]
    fed = rows.padded(padding_to(length)) if needs_fixed_shapes(kind, dtype) else rows
    output = decoder(input_ids=fed.input_ids, use_cache=False, **fed.attention(dtype))
    states: Tensor = output.last_hidden_state[:, :length]
    return states.reshape(-1, states.shape[-1])


def by_response(values: Tensor, rows: Rows) -> Tensor:
    """Values of the response tokens, shape (S,), as one row per response, shape (M, T), 0 beyond its end."""
    table = values.new_zeros(len(rows.lengths) * int(rows.lengths.max())).index_put((rows.slots,), values)
    return table.view(len(rows.lengths), -1)

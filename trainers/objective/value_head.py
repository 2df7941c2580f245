"""The value head V(x) and its loss."""

from __future__ import annotations

import torch
from torch import Tensor, nn

DROPOUT = 0.1


class ValueHead(nn.Module):
    """V(x) from the policy's hidden state at the last prompt token.

    Linear–dropout–ReLU twice and a linear layer, in float32, as in HALOs' offline PPO head (UPO,
    arXiv 2405.17956, uses that one). The input is detached, so no loss on V reaches the language model.

    The *value* is that of evaluation mode, since advantages are built on it; the *gradient* is that of
    training mode. The dropout mask is given, one row for each example of the optimizer batch, so that
    it does not depend on how the batch is split.

    Examples
    --------
    >>> head = ValueHead(8, seed=0)
    >>> hidden = torch.randn(3, 8, requires_grad=True)
    >>> values = head(hidden, head.keep(3, seed=0, step=0))
    >>> values.shape, bool(torch.equal(values, head(hidden, None))), values.sum().backward(), hidden.grad
    (torch.Size([3]), True, None, None)
    """

    def __init__(self, hidden: int, seed: int) -> None:
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            self.first, self.second = nn.Linear(hidden, hidden), nn.Linear(hidden, hidden)
            self.last = nn.Linear(hidden, 1)

    def keep(self, n: int, seed: int, step: int) -> Tensor:
        """The dropout masks of one optimizer step, shape (N, 2, H): 0 or 1 / (1 − p)."""
        weight = self.first.weight
        generator = torch.Generator().manual_seed((seed << 32) + step)
        mask = torch.rand((n, 2, weight.shape[0]), generator=generator) >= DROPOUT
        return (mask / (1 - DROPOUT)).to(weight.device)

    def forward(self, hidden: Tensor, keep: Tensor | None) -> Tensor:
        """Values, shape (N,), of hidden states, shape (N, H)."""
        hidden = hidden.detach().float()
        with torch.autocast(hidden.device.type, enabled=False):
            value = self._value(hidden, None)
            if keep is None:
                return value
            noisy = self._value(hidden, keep)
        return value.detach() + (noisy - noisy.detach())

    def _value(self, hidden: Tensor, keep: Tensor | None) -> Tensor:
        first, second = (1.0, 1.0) if keep is None else keep.unbind(1)
        hidden = torch.relu(self.first(hidden) * first)
        value: Tensor = self.last(torch.relu(self.second(hidden) * second)).squeeze(-1)
        return value

"""The degree head: which share of its keywords a response has lost, from the policy's hidden states."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from trainers.model.rows import Rows


class DegreeHead(nn.Module):
    """A linear classifier on the states that predict a response's tokens; its gradient reaches the policy.

    Parameters
    ----------
    hidden, bins : int
    pooling : {"last", "mean"}
        The state that predicts the last token, or the mean of all.
    seed : int

    Examples
    --------
    >>> DegreeHead(8, 4, "last", seed=0).linear.weight.shape
    torch.Size([4, 8])
    """

    def __init__(self, hidden: int, bins: int, pooling: str, seed: int) -> None:
        super().__init__()
        self.pooling = pooling
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            self.linear = nn.Linear(hidden, bins)

    def forward(self, states: Tensor, rows: Rows) -> Tensor:
        """Logits of every response, shape (M, bins), float32, from the states at ``rows.sources``, shape (S, H)."""
        if self.pooling == "last":
            pooled = states[rows.lengths.cumsum(0) - 1].float()
        else:
            owners = rows.slots // int(rows.lengths.max())
            sums = states.new_zeros((len(rows.lengths), states.shape[1]), dtype=torch.float32)
            pooled = sums.index_add(0, owners, states.float()) / rows.lengths[:, None]
        with torch.autocast(states.device.type, enabled=False):
            return self.linear(pooled)

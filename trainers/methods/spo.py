"""Self-supervised Preference Optimization."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from trainers.checks import check_choices, check_counts, check_ranges
from trainers.data.keyword_removal import ablated_pairs
from trainers.data.records import Pair
from trainers.methods.auxiliary import nested
from trainers.methods.interface import Loss, MethodBatch, Needs
from trainers.methods.registry import Method, register

if TYPE_CHECKING:
    from trainers.model.rows import Rows


@register("spo")
@dataclass(frozen=True)
class SPO:
    """Self-supervised Preference Optimization.

    Name: SPO
    Formula: L_base + γ·mean over both responses of −log softmax(W·h)[degree], h the policy's hidden state on the
        response less a share degree/(bins − 1) of its keywords; base SUM log-probs.
    Source: arXiv 2409.17791.
    From memory: that the degree is a class, which responses are ablated, the number of bins, the pooling and γ; the
        paper's abstract gives the idea, its repository no code.
    Cost: 2: a second pass over ablated responses.

    The policy must tell how much of what a response is about was taken out; the gradient of that task reaches it.
    Keywords are ranked by RAKE, and each response of the data set gets one degree of removal, once. γ = 0 is the base.
    A response without keywords, or of which nothing would be left, is no part of the task.

    Parameters
    ----------
    gamma : float, in [0, inf)
        Weight γ of the degree task.
    bins : int, in [2, inf)
        Degrees of removal: 4 removes none, a third, two thirds or all of the keywords.
    pooling : {"last", "mean"}
        h at the position that predicts the response's last token, or the mean over those that predict it.
    base : str
        Name of the preference loss.
    base_parameters : mapping
        Its hyperparameters.
    """

    gamma: float = 0.1
    bins: int = 4
    pooling: str = "last"
    base: str = "dpo"
    base_parameters: Mapping[str, Any] = field(default_factory=dict)

    sweep: ClassVar[str | None] = "gamma"

    def __post_init__(self) -> None:
        check_ranges(self, gamma="[0, inf)")
        check_counts(self, bins=2)
        check_choices(self, pooling=("last", "mean"))
        if self.preference.needs.base_responses:
            raise ValueError(f"SPO: base {self.base!r} adds a response of its own; choose another base")

    @cached_property
    def preference(self) -> Method:
        return nested(self.base, self.base_parameters)

    @property
    def needs(self) -> Needs:
        return replace(self.preference.needs, pairs=True, task=DegreeTask(self.bins, self.pooling))

    @property
    def log_probs(self) -> str:
        return self.preference.log_probs

    def loss(self, batch: MethodBatch) -> Loss:
        base = self.preference.loss(batch)
        logits, degrees = batch.task_outputs, batch.task_labels
        entropy = functional.cross_entropy(logits.flatten(0, 1), degrees.flatten(), reduction="none")
        task = entropy.view(degrees.shape).mean(dim=1)
        told = (degrees >= 0).sum().clamp(min=1)
        right = torch.eq(logits.detach().argmax(-1), degrees).sum() / told
        metrics = {"base_loss": base.per_example.detach(), "degree_loss": task.detach(), "degree_accuracy": right}
        return Loss(base.per_example + self.gamma * task, {**base.metrics, **metrics})


@dataclass(frozen=True)
class DegreeTask:
    """Classification of how large a share of its keywords a response has lost.

    Parameters
    ----------
    bins, pooling
        As for `SPO`.
    """

    bins: int
    pooling: str

    name: ClassVar[str] = "degree"

    def head(self, hidden: int, seed: int) -> nn.Module:
        return DegreeHead(hidden, self.bins, self.pooling, seed)

    def responses(self, pairs: Sequence[Pair]) -> tuple[list[Pair], np.ndarray]:
        return ablated_pairs(pairs, self.bins)


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
            logits: Tensor = self.linear(pooled)
            return logits

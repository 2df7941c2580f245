"""A reference that follows the policy during training, and its log-probabilities for each batch."""

from __future__ import annotations

import copy
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor, nn

from trainers.config import TrainConfig
from trainers.data.encoded import Encoded
from trainers.methods.interface import ReferenceUpdate
from trainers.model.packing import Layout
from trainers.model.response_logprobs import score_all, score_tokens


@dataclass
class MovingReference:
    """A copy of the policy's weights at the start, moved towards the policy at fixed steps.

    Its trained parameters belong to a run's state, so that a resumed run has the same reference.

    Parameters
    ----------
    policy : Module
        Still untouched.
    update : ReferenceUpdate
    """

    policy: nn.Module
    update: ReferenceUpdate
    model: nn.Module = field(init=False)

    def __post_init__(self) -> None:
        self.model = copy.deepcopy(self.policy)

    def refresh(
        self,
        references: Tensor,
        encoded: Encoded,
        batch: np.ndarray,
        step: int,
        layout: Layout,
        config: TrainConfig,
        tokens: Tensor | None = None,
    ) -> None:
        """Move the reference if it is due before `step`, and write its log-probabilities of `batch` to `references`.

        Parameters
        ----------
        references : Tensor, shape (N, K)
            Changed in place; the rows of a batch hold until the reference moves again.
        tokens : Tensor, shape (len(encoded.tokens),), or None
            The log-probabilities of single response tokens, changed in place, for a loss on tokens.
        """
        if step and step % self.update.interval == 0 and not self.update.lagged:
            self._follow()
        if step < self.update.interval:
            return
        examples = encoded.take(batch)
        if tokens is None:
            logps = score_all(self.model, examples, layout, config)
        else:
            logps, per_token = score_tokens(self.model, examples, layout, config)
            places, inside = encoded.positions(batch)
            tokens[places[inside]] = torch.from_numpy(per_token[places[inside]]).to(tokens.device)
        references[batch] = torch.from_numpy(logps).to(references.device)

    def follow_gradient(self, step: int) -> None:
        """Move a lagged reference that is due once the gradient of `step` is there."""
        if self.update.lagged and (step + 1) % self.update.interval == 0:
            self._follow()

    @torch.no_grad()
    def _follow(self) -> None:
        for held, trained in zip(self.model.parameters(), self.policy.parameters(), strict=True):
            if trained.requires_grad:
                held.lerp_(trained, self.update.mix)

"""The reference that follows the policy, against its closed form."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from tests.trainers.toy import MODEL, make_pairs
from trainers.config import TrainConfig
from trainers.data.encoding import Limits, encode_pairs
from trainers.methods.interface import ReferenceUpdate
from trainers.model.loading import layout_for, make
from trainers.model.response_logprobs import score_all
from trainers.objective.moving_reference import MovingReference


@pytest.mark.parametrize("mix", [0.25, 1.0])
def test_the_reference_follows_geometrically_and_its_log_probs_with_it(mix, tokenizer):
    """Towards a policy that stands still after it has moved once: θ_ref = θ + (1 − α)^k·(θ_0 − θ) after k moves."""
    config = TrainConfig()
    encoded = encode_pairs(make_pairs(6), tokenizer, Limits(64))
    policy = make(MODEL, tokenizer, seed=1).eval()
    layout = layout_for(policy, 64, 100_000)
    moving = MovingReference(policy, ReferenceUpdate(mix, 2))
    start = [parameter.detach().clone() for parameter in policy.parameters()]
    references = torch.from_numpy(score_all(policy, encoded, layout, config))
    untouched = references.clone()
    with torch.no_grad():
        for parameter in policy.parameters():
            parameter.add_(0.1)
    batch = np.array([4, 1])
    for step in range(6):
        moving.refresh(references, encoded, batch, step, layout, config)
        moves = step // 2
        for held, first, now in zip(moving.model.parameters(), start, policy.parameters(), strict=True):
            torch.testing.assert_close(held.detach(), now + (1 - mix) ** moves * (first - now), atol=1e-5, rtol=0)
        assert torch.equal(references[[0, 2, 3, 5]], untouched[[0, 2, 3, 5]])
        assert torch.equal(references[batch], untouched[batch]) == (moves == 0)
    expected = torch.from_numpy(score_all(moving.model, encoded.take(batch), layout, config))
    torch.testing.assert_close(references[batch], expected)

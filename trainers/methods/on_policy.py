"""Shared pieces of the losses on a policy's own samples: ratios, divergence, token rewards, means over tokens."""

from __future__ import annotations

from torch import Tensor

from trainers.methods.interface import Loss, MethodBatch, Needs, Tokens
from trainers.methods.oppo import at_the_end
from trainers.methods.terms import clipped_surrogate, exponential


def sample_needs(weight: float, beta: float = 0.0, token_level: bool = True, couples_examples: bool = False) -> Needs:
    """Several own samples to each prompt; designer rewards where they count, a reference where it holds the policy."""
    return Needs(
        pairs=False, references=int(beta > 0), rewards=weight > 0, token_level=token_level, on_policy=True,
        couples_examples=couples_examples,
    )  # fmt: skip


def old_logps(tokens: Tokens) -> Tensor:
    """log π_old of every token, detached, shape (N, K, T): of the policy that has sampled, the present one if none is
    given."""
    return tokens.logps.detach() if tokens.behaviour is None else tokens.behaviour


def log_importance(tokens: Tokens) -> Tensor:
    """log π_θ − log π_old of every token, shape (N, K, T)."""
    return tokens.logps - old_logps(tokens)


def divergence(tokens: Tokens) -> Tensor:
    """e^−d + d − 1 with d = log π_θ/π_ref of every token, an estimate of KL(π_θ ‖ π_ref) that is never negative."""
    return exponential(-tokens.log_ratios) + tokens.log_ratios - 1


def per_response(x: Tensor, mask: Tensor) -> Tensor:
    """Mean over the tokens of each response, shape (N, K)."""
    return (x * mask).sum(-1) / mask.sum(-1)


def batch_token_mean(x: Tensor, mask: Tensor) -> Tensor:
    """Each example's part of the mean over all tokens of the batch, shape (N,); the parts' mean is that mean.

    Examples
    --------
    >>> import torch
    >>> mask = torch.tensor([[[True, True, True]], [[True, False, False]]])
    >>> batch_token_mean(torch.tensor([[[1.0, 1.0, 1.0]], [[5.0, 5.0, 5.0]]]), mask).tolist()
    [1.5, 2.5]
    """
    return len(x) * (x * mask).sum((1, 2)) / mask.sum()


def reward_metrics(batch: MethodBatch) -> dict[str, Tensor]:
    """Rewards of the samples and their spread within a prompt."""
    return {"reward": batch.rewards, "reward_std": batch.rewards.std(dim=1)}


def response_mean_loss(batch: MethodBatch, advantage: Tensor, clip: float, beta: float) -> Loss:
    """Clipped surrogate plus β times the divergence: mean over the tokens of a response, then over a prompt's responses.

    Parameters
    ----------
    advantage : Tensor, shape (N, K)
    """
    tokens, metrics = batch.tokens, reward_metrics(batch)
    per_token = clipped_surrogate(exponential(log_importance(tokens)), advantage[..., None], clip)
    if beta > 0:
        drift = divergence(tokens)
        per_token = per_token + beta * drift
        metrics["divergence"] = per_response(drift.detach(), tokens.mask)
    return Loss(per_response(per_token, tokens.mask).mean(dim=1), metrics)


def token_rewards(batch: MethodBatch, beta: float) -> tuple[Tensor, dict[str, Tensor]]:
    """Rewards of every token, shape (N, K, T): the sample's on its last token, −β·log(π_old/π_ref) on all. And metrics."""
    tokens, metrics = batch.tokens, reward_metrics(batch)
    rewards = at_the_end(batch.rewards, tokens.mask)
    if beta > 0:
        drift = (old_logps(tokens) - tokens.reference) * tokens.mask
        rewards = rewards - beta * drift
        metrics["divergence"] = drift.sum(-1)
    return rewards, metrics

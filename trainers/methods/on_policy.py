"""Shared pieces of the losses on a policy's own samples: needs, ratios, divergence and rewards of tokens."""

from __future__ import annotations

from torch import Tensor

from trainers.methods.interface import Loss, MethodBatch, Needs, Tokens
from trainers.methods.terms import clipped_surrogate, exponential
from trainers.methods.token_terms import at_the_end, per_response


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

"""Offline PPO on the dataset's responses, with and without designer rewards."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional

from trainers.checks import check_ranges
from trainers.methods.interface import Loss, MethodBatch, Needs
from trainers.methods.registry import register
from trainers.methods.terms import exponential
from trainers.methods.token_terms import (
    at_the_end,
    batch_token_mean,
    discounted,
    generalised_advantages,
    masked_mean,
    whiten,
)


@register("oppo")
@dataclass(frozen=True)
class OPPO:
    """Offline proximal policy optimization.

    Name: oPPO
    Formula: mean over the batch's response tokens of max(−A·q, −A·clip(q, ε, 1/ε)) + c_V·½(V_t − G_t)² −
        c_KL·(log π_θ − log π_ref), q = π_θ/π_ref of the token, A the whitened generalised advantage with V detached;
        token MEAN. The reward is ±1 on the last token; G_t = Σ_{s>t} γ^(s−t−1) r_s.
    Source: the offline PPO of arXiv 2402.01306 and its authors' code (HALOs), with its defaults.
    From memory: nothing.
    Cost: 1, and a value head on every response token.

    One step on each batch, with the reference as the old policy. Advantages are centred and scaled over all
    response tokens of the optimizer batch. The value target G leaves out the token's own reward, as the authors'
    code does, so that V is taught 0 where the reward comes, on the last token. Beyond a ratio of e²⁰ its tangent
    takes the exponential's place. V learns beside the policy only, as in the authors' code: it is read at every token of
    a response, not at the prompt.

    Parameters
    ----------
    clip : float, in (0, 1)
        ε: the ratio counts between ε and 1/ε.
    discount : float, in [0, 1]
        γ of rewards and advantages.
    trace : float, in [0, 1]
        λ of the generalised advantage.
    value_coefficient : float, in [0, inf)
        c_V; the value loss reaches the value head only.
    kl_coefficient : float, in [0, inf)
        c_KL: pull on the likelihood of all responses, whatever their reward.
    """

    clip: float = 0.5
    discount: float = 0.99
    trace: float = 0.95
    value_coefficient: float = 0.01
    kl_coefficient: float = 0.1

    needs: ClassVar[Needs] = Needs(pairs=False, references=1, values=True, token_level=True, couples_examples=True)
    sweep: ClassVar[str | None] = "kl_coefficient"
    log_probs: ClassVar[str] = "MEAN, per token"

    def __post_init__(self) -> None:
        check_ranges(
            self, clip="(0, 1)", discount="[0, 1]", trace="[0, 1]", value_coefficient="[0, inf)",
            kl_coefficient="[0, inf)",
        )  # fmt: skip

    def loss(self, batch: MethodBatch) -> Loss:
        return offline_ppo(self, batch, label_rewards(batch))


@register("aoppo")
@dataclass(frozen=True)
class AOPPO(OPPO):
    """Offline proximal policy optimization with designer rewards.

    Name: aoPPO
    Formula: `oppo` with the reward ±1 + w·R on the last token; token MEAN.
    Source: the baseline of arXiv 2405.17956 on the offline PPO of arXiv 2402.01306.
    From memory: nothing; the paper has w = 1.
    Cost: 1, and a value head on every response token.

    Parameters
    ----------
    clip : float, in (0, 1)
        ε: the ratio counts between ε and 1/ε.
    discount : float, in [0, 1]
        γ of rewards and advantages.
    trace : float, in [0, 1]
        λ of the generalised advantage.
    value_coefficient : float, in [0, inf)
        c_V; the value loss reaches the value head only.
    kl_coefficient : float, in [0, inf)
        c_KL: pull on the likelihood of all responses, whatever their reward.
    weight : float, in [0, inf)
        w: how much of the designer reward R is added to the label; 0 is `oppo`.
    """

    weight: float = 1.0

    needs: ClassVar[Needs] = Needs(
        pairs=False, references=1, rewards=True, values=True, token_level=True, couples_examples=True
    )
    sweep: ClassVar[str | None] = "weight"

    def __post_init__(self) -> None:
        super().__post_init__()
        check_ranges(self, weight="[0, inf)")

    def loss(self, batch: MethodBatch) -> Loss:
        return offline_ppo(self, batch, label_rewards(batch) + self.weight * batch.rewards)


def label_rewards(batch: MethodBatch) -> Tensor:
    """+1 for desirable and −1 for other responses, shape (N, K)."""
    return 2 * batch.desirable.to(batch.logps.dtype) - 1


def offline_ppo(method: OPPO, batch: MethodBatch, rewards: Tensor) -> Loss:
    """The loss of `OPPO` for rewards that come with each response's last token, shape (N, K)."""
    tokens = batch.tokens
    steps = at_the_end(rewards, tokens.mask)
    advantages = whiten(generalised_advantages(steps, tokens, method.discount, method.trace), tokens.mask)
    ratio = exponential(tokens.log_ratios)
    policy = torch.maximum(-advantages * ratio, -advantages * ratio.clamp(method.clip, 1 / method.clip))
    later = functional.pad(discounted(steps, method.discount)[..., 1:], (0, 1))
    value = 0.5 * (tokens.values - later).square()
    per_token = policy + method.value_coefficient * value - method.kl_coefficient * tokens.log_ratios
    metrics = {
        "reward": rewards,
        "value": masked_mean(tokens.values.detach(), tokens.mask),
        "value_loss": masked_mean(value.detach(), tokens.mask),
        "clipped_share": masked_mean((policy > -advantages * ratio).to(policy.dtype), tokens.mask),
    }
    return Loss(batch_token_mean(per_token, tokens.mask), metrics)

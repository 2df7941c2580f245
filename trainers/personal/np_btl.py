r"""NP-BTL: a reward conditioned on a context of a user's pairs, as a neural process.

With the vector z of the context (`trainers.personal.context`) the reward is :math:`r(x, y \mid C) = d([h(e), z])`, h a layer and d
an MLP, and the loss is Bradley–Terry on pairs that are not in the context, for contexts of 0 to 8 pairs.

As a variational reward (VPL, arXiv 2408.10075) z is drawn from :math:`N(m, \mathrm{diag}\,e^{v})` in training, m and v both linear in
the context's vector, with :math:`\beta_{KL}\,KL(q(z \mid C) \| N(0, I))` added to the loss; new users have z = m.

Source: arXiv 2412.13998 and its code; without its batch normalisation and dropout.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn import functional

from trainers.checks import check_counts, check_ranges
from trainers.data.rows import DataError
from trainers.personal.context import HEADS, ContextEncoder, drawn_contexts, padded_contexts
from trainers.personal.features import Standardisation


@dataclass(frozen=True)
class NeuralRewardFit:
    """Settings of a conditional reward and its fit.

    Parameters
    ----------
    width : int
        Of z and of all hidden layers; a multiple of 8.
    learning_rate : float, in (0, inf)
        Of AdamW.
    steps, batch : int
        Pairs of a step, each with a context of its own.
    kl : float, in [0, inf), optional
        β_KL of a variational reward; None for a deterministic one.
    """

    width: int = 64
    learning_rate: float = 1e-3
    steps: int = 1000
    batch: int = 64
    kl: float | None = None

    def __post_init__(self) -> None:
        check_counts(self, width=HEADS, steps=1, batch=1)
        check_ranges(self, learning_rate="(0, inf)", **({} if self.kl is None else {"kl": "[0, inf)"}))


class NeuralReward(nn.Module):
    """A reward of features given the vector of a context."""

    def __init__(self, features: int, width: int, variational: bool = False) -> None:
        super().__init__()
        self.encoder = ContextEncoder(features, width)
        self.hidden = nn.Sequential(nn.Linear(features, width), nn.ReLU())
        self.decoder = nn.Sequential(nn.Linear(2 * width, width), nn.ReLU(), nn.Linear(width, 1))
        # Without biases an empty context has mean 0 and variance 1, the prior.
        self.posterior = nn.Linear(width, 2 * width, bias=False) if variational else None

    def latent(self, pairs: Tensor, mask: Tensor) -> tuple[Tensor, Tensor | None]:
        """Mean and log-variance of z, each of shape (U, width); no variance for a deterministic reward."""
        context = self.encoder(pairs, mask)
        if self.posterior is None:
            return context, None
        mean, log_variance = self.posterior(context).chunk(2, -1)
        return mean, log_variance.clamp(-1.0, 1.0)

    def forward(self, features: Tensor, z: Tensor) -> Tensor:
        """Rewards, shape (U, K), of features (U, K, d) given vectors (U, width); nats, up to a constant."""
        states = torch.cat([self.hidden(features), z[:, None].expand(-1, features.shape[1], -1)], -1)
        rewards: Tensor = self.decoder(states)[..., 0]
        return rewards


def fit_neural_reward(features: np.ndarray, owners: np.ndarray, fit: NeuralRewardFit, seed: int = 0) -> NeuralReward:
    """Fit a conditional reward to the pairs of seen users.

    Parameters
    ----------
    features : ndarray, shape (N, 2, d)
        Standardised, of the chosen and the rejected responses.
    owners : ndarray of int, shape (N,)
        The user of each pair, from 0 on.

    Raises
    ------
    DataError
        For a user without pairs.
    """
    counts = np.bincount(owners)
    if (counts == 0).any():
        raise DataError(f"user {int(np.argmin(counts))}", "has no pairs; every user that is seen needs one")
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        reward = NeuralReward(features.shape[-1], fit.width, fit.kl is not None)
    rng, noise = np.random.default_rng(seed), torch.Generator().manual_seed(seed)
    table = torch.from_numpy(features.astype(np.float32))
    adam = torch.optim.AdamW(reward.parameters(), lr=fit.learning_rate)
    for _ in range(fit.steps):
        targets = rng.permutation(len(owners))[: fit.batch]
        mean, log_variance = reward.latent(*padded_contexts(features, drawn_contexts(owners, targets, rng)))
        z, penalty = mean, torch.zeros(())
        if log_variance is not None and fit.kl is not None:
            z = mean + (0.5 * log_variance).exp() * torch.randn(mean.shape, generator=noise)
            penalty = fit.kl * gaussian_kl(mean, log_variance).mean()
        chosen, rejected = reward(table[targets], z).unbind(1)
        loss = -functional.logsigmoid(chosen - rejected).mean() + penalty
        adam.zero_grad(set_to_none=True)
        torch.autograd.backward(loss)
        adam.step()
    return reward.eval().requires_grad_(False)


def gaussian_kl(mean: Tensor, log_variance: Tensor) -> Tensor:
    r"""KL of :math:`N(m, \mathrm{diag}\,e^v)` from :math:`N(0, I)`, shape (U,), nats.

    Examples
    --------
    >>> gaussian_kl(torch.tensor([[2.0]]), torch.tensor([[0.0]])).tolist()
    [2.0]
    """
    return 0.5 * (log_variance.exp() + mean.square() - 1.0 - log_variance).sum(-1)


def rewards_of_contexts(
    reward: NeuralReward, features: np.ndarray, contexts: list[np.ndarray], responses: np.ndarray
) -> np.ndarray:
    """Rewards of responses for each context, shape (U, P, Y), float64.

    Parameters
    ----------
    features : ndarray, shape (N, 2, d)
        Of the pairs of all contexts.
    contexts : list of ndarray of int
        Numbers of the pairs of each context.
    responses : ndarray, shape (P, Y, d)
    """
    table = torch.from_numpy(responses.astype(np.float32))
    with torch.no_grad():
        z, _ = reward.latent(*padded_contexts(features, contexts))
        tables = [reward(table, vector.expand(len(table), -1)) for vector in z]
    return torch.stack(tables).double().numpy()


FILE = "reward.safetensors"


def save_neural_reward(folder: Path, reward: NeuralReward, standard: Standardisation) -> None:
    """Write a conditional reward and the standardisation of its features."""
    tensors = {name: tensor.contiguous() for name, tensor in reward.state_dict().items()}
    tensors |= {f"features.{name}": torch.from_numpy(value) for name, value in vars(standard).items()}
    save_file(tensors, folder / FILE)


def load_neural_reward(folder: Path) -> tuple[NeuralReward, Standardisation]:
    """What `save_neural_reward` wrote."""
    tensors = load_file(folder / FILE)
    standard = Standardisation(*(tensors.pop(f"features.{name}").numpy() for name in ("mean", "scale")))
    width = len(tensors["hidden.0.bias"])
    reward = NeuralReward(len(standard.mean), width, "posterior.weight" in tensors)
    reward.load_state_dict(tensors)
    return reward.eval().requires_grad_(False), standard

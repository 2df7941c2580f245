r"""Soft prompts of users: embeddings in front of the prompt of a frozen language model, fitted to a user's pairs.

Preference inversion (arXiv 2503.18347) tunes the preference embedding of a frozen diffusion planner on a few pairs. This is its
analogue for language models, in which the likelihood of a response stands in for the denoising error: the embedding is a soft
prompt :math:`z \in R^{m \times h}`. One prompt minimises

.. math:: -\log \sigma\big(\beta(\Delta_z - \Delta_{\text{base}})\big) + \lambda\|z - z_0\|^2, \qquad
          \Delta_z = \log \pi(y^w \mid z, x) - \log \pi(y^l \mid z, x),

and two prompts minimise :math:`-\log \pi(y^w \mid z_w, x)` and :math:`-\log \pi(y^l \mid z_l, x)`, each with the same term, to be
decoded as :math:`(1 + c)\,z_w - c\,z_l`. The centre :math:`z_0` is fitted to the pairs of all seen users, and is the prompt of a
user without pairs.

Source: the paper's abstract; its loss, sizes and numbers are not used. Fits are batched over users, whose losses do not touch each
other; one response lies in each row, so that the soft prompt of a row is seen by its example alone.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from trainers.checks import check_counts, check_ranges
from trainers.data.encoded import Encoded
from trainers.data.records import DataError
from trainers.model.causal_lm import causal_lm, decoder_and_head
from trainers.model.loading import context_length
from trainers.model.logprobs import by_response, token_logps
from trainers.model.packing import Layout, shuffled
from trainers.model.rows import Rows, lay_out

PART = 256
"""Pairs of a forward pass without gradients."""


@dataclass(frozen=True)
class PromptFit:
    """Settings of the fit of soft prompts.

    Parameters
    ----------
    tokens : int
        m, the rows of z; 0 is the base model.
    beta : float, in (0, inf)
        Of the loss with one prompt.
    distance : float, in [0, inf)
        λ.
    learning_rate : float, in (0, inf)
        Of Adam.
    steps : int
        For a user.
    batch : int
        Pairs of a step of the fit to all seen users, which takes as many steps.
    """

    tokens: int = 4
    beta: float = 0.5
    distance: float = 0.01
    learning_rate: float = 0.05
    steps: int = 60
    batch: int = 64

    def __post_init__(self) -> None:
        check_counts(self, tokens=0, steps=1, batch=1)
        check_ranges(self, beta="(0, inf)", distance="[0, inf)", learning_rate="(0, inf)")


def prompted_logps(model: nn.Module, rows: Rows, z: Tensor, owners: Tensor) -> Tensor:
    """SUM log-probabilities of responses behind their soft prompts, shape (M,).

    Parameters
    ----------
    rows : Rows
        One response in each row, without a mask (`Layout.shared` is False).
    z : Tensor, shape (U, m, h)
    owners : Tensor of int64, shape (M,)
        The soft prompt of each row.
    """
    decoder, head = decoder_and_head(model)
    m, length = z.shape[1], rows.input_ids.shape[1]
    words = causal_lm(model).get_input_embeddings()(rows.input_ids)  # type: ignore[operator]  # a module
    # Padding lies behind every response, where causal attention does not look.
    states = decoder(inputs_embeds=torch.cat([z[owners], words], dim=1), use_cache=False).last_hidden_state
    sources = states[rows.sources // length, rows.sources % length + m]
    logps: Tensor = by_response(token_logps(sources, head.weight, head.bias, rows.targets), rows).sum(1)
    return logps


@dataclass(frozen=True, eq=False)
class PromptPairs:
    """Pairs of some users for a frozen model.

    Parameters
    ----------
    model : Module
        Its parameters keep their values and get no gradients.
    encoded : Encoded
        K = 2: chosen and rejected responses.
    owners : ndarray of int64, shape (N,)
        The user of each pair.
    """

    model: nn.Module
    encoded: Encoded
    owners: np.ndarray

    def logps(self, z: Tensor, members: np.ndarray) -> Tensor:
        """Log-probabilities of both responses of some pairs behind their users' prompts, shape (n, 2)."""
        layout = Layout(False, z.shape[-1], 0)
        rows = lay_out(self.encoded, [[int(member)] for member in members], layout).to(str(z.device))
        owners = torch.from_numpy(self.owners[members].repeat(2)).to(z.device)
        return prompted_logps(self.model, rows, z, owners).view(-1, 2)

    @cached_property
    def base(self) -> Tensor:
        """Log-probabilities of both responses of every pair under the model alone, shape (N, 2)."""
        embedded = causal_lm(self.model).get_input_embeddings().weight
        none = embedded.new_zeros(int(self.owners.max()) + 1, 0, embedded.shape[1])
        parts = np.array_split(np.arange(len(self.encoded)), -(-len(self.encoded) // PART))
        with torch.no_grad():
            return torch.cat([self.logps(none, part) for part in parts])

    def require_room(self, tokens: int) -> None:
        """Raise `DataError` naming the pair that leaves no room for a soft prompt in the context."""
        sizes = self.encoded.prompts[:, 1] + self.encoded.lengths.max(axis=1)
        limit, worst = context_length(self.model), int(sizes.argmax())
        if sizes[worst] + tokens > limit:
            raise DataError(
                f"pair {self.encoded.ids[worst]}",
                f"its {sizes[worst]} tokens and a soft prompt of {tokens} exceed the context of {limit}",
            )


Loss = Callable[[Tensor, Tensor], Tensor]
"""Loss of each pair, shape (n,), of the log-probabilities behind the prompt and those of the base, both of shape (n, 2)."""


def dpo_loss(beta: float) -> Loss:
    """The loss with one prompt."""
    return lambda logps, base: -functional.logsigmoid(beta * ((logps - base)[:, 0] - (logps - base)[:, 1]))


def chosen_loss(logps: Tensor, base: Tensor) -> Tensor:
    """The loss of the prompt of a user's chosen responses."""
    return -logps[:, 0]


def rejected_loss(logps: Tensor, base: Tensor) -> Tensor:
    """The loss of the prompt of a user's rejected responses."""
    return -logps[:, 1]


def fit_centre(pairs: PromptPairs, loss: Loss, fit: PromptFit, seed: int = 0) -> Tensor:
    """The soft prompt of all users together, shape (m, h): z_0.

    It starts at noise of the scale of the word embeddings. The pairs are visited in a shuffled order.
    """
    shared = replace(pairs, owners=np.zeros(len(pairs.encoded), np.int64))
    table = causal_lm(pairs.model).get_input_embeddings().weight.detach()
    noise = torch.randn(fit.tokens, table.shape[1], generator=torch.Generator().manual_seed(seed))
    start = (noise * table.float().std().cpu()).to(table)[None]
    batches = shuffled(len(pairs.encoded), fit.batch, seed)
    return _fit(shared, start, torch.zeros_like(start), loss, replace(fit, distance=0.0), lambda: next(batches))[0]


def fit_users(pairs: PromptPairs, centre: Tensor, users: int, loss: Loss, fit: PromptFit) -> Tensor:
    """The soft prompts of some users, shape (users, m, h); a user without pairs has the centre.

    The loss is the sum over users of the mean over each one's pairs, so that a user's prompt does not depend on the others.
    """
    start = centre.expand(users, -1, -1).clone()
    if not len(pairs.encoded):
        return start
    everything = np.arange(len(pairs.encoded))
    return _fit(pairs, start, start.clone(), loss, fit, lambda: everything)


def _fit(
    pairs: PromptPairs, start: Tensor, centre: Tensor, loss: Loss, fit: PromptFit, batch: Callable[[], np.ndarray]
) -> Tensor:
    if not fit.tokens:
        return start
    pairs.require_room(fit.tokens)
    pairs.model.requires_grad_(False)
    z = start.clone().requires_grad_()
    adam = torch.optim.Adam([z], lr=fit.learning_rate)
    for _ in range(fit.steps):
        members = batch()
        counts = np.bincount(pairs.owners[members], minlength=len(z))
        shares = torch.from_numpy(1.0 / counts[pairs.owners[members]]).to(z)
        losses = loss(pairs.logps(z, members), pairs.base[members])
        total = (losses * shares).sum() + fit.distance * (z - centre).square().sum()
        (z.grad,) = torch.autograd.grad(total, [z])
        adam.step()
    return z.detach()

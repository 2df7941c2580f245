r"""NP-DPO: a policy conditioned on a context of a user's pairs, by modulation of its layers.

The vector z of the context (`trainers.personal.context`) modulates every layer (`trainers.personal.film`), and policy, encoder and
modulation learn together from pairs that are not in the context, for contexts of 0 to 8 pairs:

.. math:: -\log \sigma\big(\beta(\Delta_C - \Delta_{\text{ref}})\big), \qquad
          \Delta_C = \log \pi(y^w \mid x, C) - \log \pi(y^l \mid x, C),

with SUM log-probabilities; the reference is the frozen base without modulation.

Source: arXiv 2412.13998 and its code (β = 0.05). Own here: all weights are trained where the code has adapters, and a modulation
without biases, so that an empty context is the unconditioned policy.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn import functional

from trainers.config import OnProgress, TrainConfig, TrainResult, describe
from trainers.data.encoded import Encoded
from trainers.data.records import DataError, Pair
from trainers.data.tokenizer import load_tokenizer
from trainers.finish import finish
from trainers.model.loading import context_length, hidden_size, layout_for, load, prepare
from trainers.model.logprobs import score
from trainers.model.packing import Layout, example_sizes, plan
from trainers.model.precision import precision
from trainers.model.response_logprobs import score_all
from trainers.model.rows import lay_out
from trainers.optim.checkpoint import state_file
from trainers.optim.loop import Step, fit
from trainers.optim.optimizer import Group
from trainers.personal.context import ContextEncoder, drawn_contexts, padded_contexts
from trainers.personal.features import Standardisation, encode_whole, last_states
from trainers.personal.film import Modulation, by_token, decoder_layers
from trainers.tokens.loading import STEERING


class Steering(nn.Module):
    """Encoder of contexts and modulation of the policy."""

    def __init__(self, features: int, width: int, layers: int, hidden: int) -> None:
        super().__init__()
        self.encoder = ContextEncoder(features, width)
        self.modulation = Modulation(layers, hidden, width)
        self.sizes = {"features": features, "width": width, "layers": layers, "hidden": hidden}


@dataclass(frozen=True, eq=False)
class SteeredPolicy:
    """A policy that is conditioned on contexts.

    Parameters
    ----------
    model : Module
    steering : Steering
    """

    model: nn.Module
    steering: Steering

    def vectors(self, features: np.ndarray, contexts: list[np.ndarray]) -> Tensor:
        """z of some contexts (`padded_contexts`), shape (U, width)."""
        device = str(next(self.model.parameters()).device)
        with torch.no_grad():
            vectors: Tensor = self.steering.encoder(*padded_contexts(features, contexts, device))
        return vectors


@dataclass
class _Objective:
    """The loss of NP-DPO over a batch of pairs, each with a drawn context."""

    policy: SteeredPolicy
    encoded: Encoded
    features: np.ndarray
    owners: np.ndarray
    reference: Tensor
    beta: float
    layout: Layout
    config: TrainConfig
    sizes: np.ndarray = field(init=False)

    def __post_init__(self) -> None:
        self.sizes = example_sizes(self.encoded, self.layout)

    def __call__(self, batch: np.ndarray, step: int) -> Step:
        """Add the gradient of the mean loss over `batch`."""
        rng = np.random.default_rng([self.config.seed, step])
        contexts = drawn_contexts(self.owners, batch, rng)
        losses = torch.empty(len(batch), device=self.config.device)
        margins = torch.empty_like(losses)
        tokens = 0
        for rows in plan(self.sizes[batch], self.layout, 1 if self.layout.shared else 2):
            members = np.concatenate(rows)
            margin, fed = self._margins(batch, rows, [contexts[member] for member in members])
            loss = -functional.logsigmoid(self.beta * margin)
            torch.autograd.backward(loss.sum() / len(batch))
            losses[members], margins[members] = loss.detach(), margin.detach()
            tokens += fed
        return Step(losses, {"margin": margins, "accuracy": (margins > 0).float()}, tokens)

    def _margins(self, batch: np.ndarray, rows: list[list[int]], contexts: list[np.ndarray]) -> tuple[Tensor, int]:
        """Δ − Δ_ref of a micro-batch in the order of its rows, and the number of tokens fed in."""
        steering, model = self.policy.steering, self.policy.model
        laid = lay_out(self.encoded, [batch[row].tolist() for row in rows], self.layout).to(self.config.device)
        z = steering.encoder(*padded_contexts(self.features, contexts, self.config.device))
        with precision(self.config), steering.modulation.on(model, by_token(z, laid)):
            logps = score(model, laid).logps.view(len(contexts), 2)
        ratios = logps - self.reference[batch[np.concatenate(rows)]]
        return ratios[:, 0] - ratios[:, 1], laid.n_tokens


def train_np_dpo(
    base: str | Path,
    pairs: Sequence[Pair],
    owners: np.ndarray,
    config: TrainConfig,
    out: str | Path,
    *,
    beta: float = 0.5,
    width: int = 64,
    progress: OnProgress | None = None,
) -> TrainResult:
    """Train a policy that is conditioned on contexts, and save it with its steering.

    Parameters
    ----------
    owners : ndarray of int, shape (N,)
        The user of each pair, from 0 on.
    beta : float
        The default is larger than the code's, as is usual where a response has some ten tokens.
    width : int
        Of z.

    Raises
    ------
    DataError
        For a user without pairs.
    """
    out = Path(out)
    counts = np.bincount(owners)
    if (counts == 0).any():
        raise DataError(f"user {int(np.argmin(counts))}", "has no pairs; every user that is seen needs one")
    tokenizer, model = load_tokenizer(base), load(base, config.device)
    encoded = encode_whole(pairs, tokenizer, context_length(model))
    layout = layout_for(model, encoded.longest(), config.micro_batch_tokens)
    states = last_states(model, encoded, config)
    standard = Standardisation.of(states)
    reference = torch.from_numpy(score_all(model, encoded, layout, config)).to(config.device)
    model = prepare(model, config)
    with torch.random.fork_rng():
        torch.manual_seed(config.seed)
        steering = Steering(states.shape[-1], width, len(decoder_layers(model)), hidden_size(model))
    steering.to(config.device)
    objective = _Objective(
        SteeredPolicy(model, steering), encoded, standard(states), owners, reference, beta, layout, config
    )
    groups = [
        Group.of(name, part, config.learning_rate, config.max_grad_norm)
        for name, part in (("policy", model), ("steering", steering))
    ]
    identity = {"kind": "np_dpo", "base": str(base), "config": describe(config), "data": encoded.fingerprints()}
    parts = {"policy": model, "steering": steering}
    run = fit(parts, groups, objective, encoded.ids, config, state_file(out), identity, progress)
    facts = {"base": base, "users": len(counts), "beta": beta, "use": f"with a context alone: {STEERING}"}
    result = finish(out, "NP-DPO policy", model, tokenizer, config, run, facts, {})
    save_steering(out / STEERING, steering, standard)
    return result


def save_steering(file: Path, steering: Steering, standard: Standardisation) -> None:
    """Write encoder, modulation and the standardisation of features."""
    tensors = {name: tensor.contiguous().cpu() for name, tensor in steering.state_dict().items()}
    tensors |= {f"features.{name}": torch.from_numpy(value) for name, value in vars(standard).items()}
    save_file(tensors, file, {"sizes": json.dumps(steering.sizes)})


def load_steered(source: str | Path, device: str = "cpu") -> tuple[SteeredPolicy, Standardisation]:
    """A policy with its steering, and the standardisation of the base's features that contexts go through.

    Raises
    ------
    ValueError
        For a checkpoint without steering.
    """
    file = Path(source) / STEERING
    if not file.is_file():
        raise ValueError(f"{source} has no {STEERING}: it is no policy that is conditioned on contexts")
    with safe_open(file, "pt") as saved:
        sizes = json.loads(saved.metadata()["sizes"])
        tensors = {name: saved.get_tensor(name) for name in saved.keys()}  # noqa: SIM118 -- not a mapping
    standard = Standardisation(*(tensors.pop(f"features.{name}").numpy() for name in ("mean", "scale")))
    steering = Steering(**sizes)
    steering.load_state_dict(tensors)
    model = load(source, device, steered=True)
    return SteeredPolicy(model, steering.to(device).eval().requires_grad_(False)), standard

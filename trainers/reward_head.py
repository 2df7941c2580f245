"""A Bradley–Terry head on a frozen base: r(x, y) = w · s(x, y), fitted to cached states.

The states s are the decoder's last hidden states at the last token of prompt and response. Without a gradient through the base
the fit is a logistic regression on the states' differences, whose optimum is unique.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn

from trainers.config import TrainConfig, TrainResult, describe
from trainers.data.encoding import Limits, encode_pairs
from trainers.data.records import Pair, read_pairs
from trainers.data.tokenizer import load_tokenizer
from trainers.files import refuse_existing, replacing
from trainers.model.loading import context_length, n_parameters, require_checkpoint
from trainers.model.origin import origin_of
from trainers.objective.prompt_states import last_states
from trainers.optim.checkpoint import model_card, save_model
from trainers.reward_model import is_held_out

if TYPE_CHECKING:
    from transformers import PreTrainedModel

HELD_OUT = 0.2
"""Share of the prompts that the accuracy is measured on: the fit is cheap, and readers need a narrow interval."""
PENALTIES = tuple(10.0**power for power in range(-5, 3))
"""Inverse strengths of the ridge penalty among which five-fold cross-validation chooses."""


@dataclass(frozen=True)
class PairStates:
    """States of pairs, chosen and rejected, shape (N, H) each, float32; `aside` marks the held-out pairs."""

    chosen: np.ndarray
    rejected: np.ndarray
    aside: np.ndarray
    tokens: int

    @property
    def differences(self) -> np.ndarray:
        """Chosen minus rejected, shape (N, H)."""
        return np.asarray(self.chosen - self.rejected)


def write_pair_states(
    base: str | Path, data: str | Path | Sequence[Pair], config: TrainConfig, out: Path
) -> PairStates:
    """Compute the states of both responses of every pair under a base and store them.

    Parameters
    ----------
    base : path or hub id
        A causal language model.
    data : path, hub id or pairs
    config : TrainConfig
        Only what decides the numbers is used: limits, precision, device, micro-batch size.
    out : path
        A safetensors file.
    """
    from safetensors.numpy import save_file

    pairs = read_pairs(data) if isinstance(data, str | Path) else data
    model, tokenizer = load_classifier(base, config), load_tokenizer(base)
    encoded = encode_pairs(pairs, tokenizer, Limits.of(config, context_length(model)))
    position = {pair.id: pair for pair in pairs}
    aside = np.array([is_held_out(position[name], HELD_OUT) for name in encoded.ids])
    sequences = [
        np.concatenate([encoded.tokens[at : at + size] for at, size in (prompt, (start, length - complete))])
        for prompt, sides, ends in zip(encoded.prompts, encoded.responses, encoded.complete, strict=True)
        for (start, length), complete in zip(sides, ends, strict=True)
    ]
    # The weights are in the precision already, so that the judge computes what was computed here.
    exact = TrainConfig(device=config.device, micro_batch_tokens=config.micro_batch_tokens)
    states = last_states(model, sequences, exact).reshape(len(encoded), 2, -1)
    made = PairStates(states[:, 0], states[:, 1], aside, sum(map(len, sequences)))
    with replacing(out) as temporary:
        tensors = {"chosen": made.chosen, "rejected": made.rejected, "aside": made.aside.astype(np.uint8)}
        save_file(
            {name: np.ascontiguousarray(tensor) for name, tensor in tensors.items()},
            temporary,
            metadata={"tokens": str(made.tokens)},
        )
    return made


def read_pair_states(file: Path) -> PairStates:
    """States that `write_pair_states` stored."""
    from safetensors import safe_open

    with safe_open(file, framework="numpy") as stored:
        tensors = {name: stored.get_tensor(name) for name in ("chosen", "rejected", "aside")}
        tokens = int((stored.metadata() or {})["tokens"])
    return PairStates(tensors["chosen"], tensors["rejected"], tensors["aside"].astype(bool), tokens)


def train_reward_head(base: str | Path, states: PairStates, config: TrainConfig, out: Path) -> TrainResult:
    """Fit w to minimise −log σ(w · (s(x, chosen) − s(x, rejected))) + a ridge penalty, and save base and head.

    w has no component along the mean state. Only differences of rewards mean anything, and rewards near zero lose least in
    a narrow precision.

    Parameters
    ----------
    base : path or hub id
        The model that the states were computed with.
    states : PairStates
    config : TrainConfig
        Its precision is that of the saved model, its seed divides the pairs in cross-validation.
    out : path
        Folder for the finished model, which ``AutoModelForSequenceClassification`` loads.

    Returns
    -------
    TrainResult
        ``health`` as of `trainers.reward_model.train_reward_model`, and ``trained_pairs``.

    Raises
    ------
    ValueError
        If there are no pairs to train on, or none held out.
    """
    refuse_existing(out)
    begun = monotonic()
    differences, aside = states.differences.astype(np.float64), states.aside
    if aside.all() or not aside.any():
        raise ValueError(f"{(~aside).sum()} pairs to train on and {aside.sum()} held out; both are needed")
    mean = np.concatenate([states.chosen[~aside], states.rejected[~aside]]).astype(np.float64).mean(axis=0)
    weights = fitted_head(differences[~aside], mean, config.seed)
    model, tokenizer = load_classifier(base, config), load_tokenizer(base)
    head: Any = model.score
    with torch.no_grad():
        head.weight.copy_(torch.from_numpy(weights)[None])
    margins = differences[aside] @ head.weight[0].detach().double().cpu().numpy()  # of the head as it is saved
    health = {
        "accuracy": float((margins > 0).mean()),
        "held_out_pairs": float(len(margins)),
        "held_out_loss": float(np.logaddexp(0, -margins).mean()),
        "trained_pairs": float((~aside).sum()),
    }
    card = {
        "base": f"{origin_of(base)}, frozen",
        "parameters": n_parameters(model),
        "hyperparameters": describe(config),
        "health": {name: f"{value:.4g}" for name, value in health.items()},
    }
    save_model(out, model, tokenizer, model_card("Bradley–Terry head on a frozen base", card))
    return TrainResult(out, monotonic() - begun, states.tokens, 0, [], health)


def fitted_head(differences: np.ndarray, mean: np.ndarray, seed: int) -> np.ndarray:
    """The weights w of a Bradley–Terry head, shape (H,), orthogonal to `mean`.

    A pair and its mirror image are one observation twice, so that no side has an intercept.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> differences = rng.normal(size=(400, 2)) + [1.0, 0.0]
    >>> weights = fitted_head(differences, np.array([0.0, 1.0]), seed=0)
    >>> bool(weights[0] > 1), bool(abs(weights[1]) < 1e-9)
    (True, True)
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import KFold

    norm = float(np.linalg.norm(mean))
    direction = mean / norm if norm else mean
    centred = differences - np.outer(differences @ direction, direction)
    scale = float(np.sqrt((centred**2).mean())) or 1.0
    scaled = centred / scale

    def fit(rows: np.ndarray, strength: float) -> np.ndarray:
        both = np.concatenate([rows, -rows])
        labels = np.repeat([1, 0], len(rows))
        made = LogisticRegression(C=strength, fit_intercept=False, max_iter=1000).fit(both, labels)
        return np.asarray(made.coef_[0], np.float64)

    folds = list(KFold(min(5, len(scaled)), shuffle=True, random_state=seed).split(scaled)) if len(scaled) > 1 else []

    def loss(strength: float) -> float:
        return sum(
            float(np.logaddexp(0, -(scaled[test] @ fit(scaled[train], strength))).sum()) for train, test in folds
        )

    weights = fit(scaled, min(PENALTIES, key=loss)) / scale
    return np.asarray(weights - (weights @ direction) * direction)


def load_classifier(source: str | Path, config: TrainConfig) -> PreTrainedModel:
    """A causal language model's body under a head of zeros, in the precision of `config`, in evaluation mode."""
    from transformers import AutoModelForSequenceClassification

    require_checkpoint(source)
    model: Any = AutoModelForSequenceClassification.from_pretrained(
        str(source), num_labels=1, dtype=getattr(torch, config.dtype)
    )
    head = model.score
    nn.init.zeros_(head.weight)
    if model.config.pad_token_id is None:
        model.config.pad_token_id = model.config.eos_token_id
    placed: PreTrainedModel = model.to(config.device).eval()
    return placed

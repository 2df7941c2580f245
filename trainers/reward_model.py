"""A Bradley–Terry reward model: r(x, y) fitted to preference pairs."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from trainers.config import OnProgress, TrainConfig, TrainResult, describe
from trainers.data.encoded import Encoded
from trainers.data.encoding import Limits, encode_pairs
from trainers.data.records import Pair, read_pairs
from trainers.data.tokenizer import load_tokenizer
from trainers.files import refuse_existing
from trainers.finish import finish
from trainers.model.loading import context_length, hidden_size, prepare, require_checkpoint
from trainers.model.packing import Layout, plan
from trainers.model.precision import precision
from trainers.optim.checkpoint import state_file
from trainers.optim.loop import Step, fit
from trainers.optim.optimizer import Group

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast


def train_reward_model(
    base: str | Path,
    data: str | Path | Sequence[Pair],
    config: TrainConfig,
    out: str | Path,
    *,
    held_out: float = 0.1,
    progress: OnProgress | None = None,
) -> TrainResult:
    """Minimise −log σ(r(x, chosen) − r(x, rejected)) over pairs (Bradley–Terry).

    Parameters
    ----------
    base : path or hub id
        A causal language model whose body the reward model starts from.
    data : path, hub id or pairs
    config : TrainConfig
    out : path
        Folder for the finished model, which ``AutoModelForSequenceClassification`` loads.
    held_out : float
        Share of the prompts that are kept from training to measure the accuracy on, by a hash of the
        prompt, so that no prompt is on both sides.

    Returns
    -------
    TrainResult
        ``health`` has ``accuracy``, the share of held-out pairs where the chosen response gets the higher
        reward, ``held_out_pairs`` and ``held_out_loss`` in nats.
    """
    out = Path(out)
    refuse_existing(out)
    pairs = read_pairs(data) if isinstance(data, str | Path) else data
    aside = [is_held_out(pair, held_out) for pair in pairs]
    train = [pair for pair, out_ in zip(pairs, aside, strict=True) if not out_]
    test = [pair for pair, out_ in zip(pairs, aside, strict=True) if out_]
    if not train or not test:
        raise ValueError(f"{len(train)} pairs to train on and {len(test)} held out; both are needed")
    model = _load_classifier(base, config)
    scorer = RewardModel(model, load_tokenizer(base), Limits.of(config, context_length(model)), config)
    encoded, test_encoded = (encode_pairs(part, scorer.tokenizer, scorer.limits) for part in (train, test))
    sizes = _sizes(encoded)

    def backward(batch: np.ndarray, step: int) -> Step:
        losses = torch.empty(len(batch), device=config.device)
        margins = torch.empty_like(losses)
        tokens = 0
        for rows in plan(sizes[batch], scorer.layout, rows_per_example=2):
            members = np.concatenate(rows)
            rewards, fed = scorer.forward(encoded.take(batch[members]))
            margin = rewards[:, 0] - rewards[:, 1]
            loss = -F.logsigmoid(margin)
            torch.autograd.backward(loss.sum() / len(batch))
            losses[members], margins[members] = loss.detach(), margin.detach()
            tokens += fed
        return Step(losses, {"margin": margins, "accuracy": (margins > 0).float()}, tokens)

    groups = [Group.of("reward", model, config.learning_rate, config.max_grad_norm)]
    identity = {"kind": "reward model", "base": str(base), "config": describe(config), "data": encoded.fingerprints()}
    run = fit({"reward": model}, groups, backward, encoded.ids, config, state_file(out), identity, progress)
    margins = scorer.score_encoded(test_encoded) @ np.array([1.0, -1.0])
    health = {
        "accuracy": float((margins > 0).mean()),
        "held_out_pairs": float(len(margins)),
        "held_out_loss": float(np.logaddexp(0, -margins).mean()),
    }
    tokens = ", ".join(encoded.fingerprints().values())
    facts = {"base": base, "data": f"{len(encoded)} pairs, tokens sha256 {tokens}"}
    return finish(out, "Bradley–Terry reward model", model, scorer.tokenizer, config, run, facts, health)


@dataclass
class RewardModel:
    """r(x, y) while it is trained: one number per response; only differences at one prompt mean anything.

    A text is encoded as ``tokenizer(prompt + response)`` and the classification head reads its last token,
    so that anything that loads ``AutoModelForSequenceClassification`` gets the same rewards. There is no
    end-of-sequence token: the reward is of a text, not of its having ended.
    """

    model: nn.Module
    tokenizer: PreTrainedTokenizerFast
    limits: Limits
    config: TrainConfig

    @property
    def layout(self) -> Layout:
        """Every response alone behind its prompt, as the classification head pools the last token of a row."""
        return Layout(False, hidden_size(self.model), self.config.micro_batch_tokens)

    def score_encoded(self, encoded: Encoded) -> np.ndarray:
        """Rewards, shape (N, K), float64."""
        rewards: np.ndarray = np.empty(encoded.lengths.shape)
        with torch.no_grad():
            for rows in plan(_sizes(encoded), self.layout, rewards.shape[1]):
                members = np.concatenate(rows)
                rewards[members] = self.forward(encoded.take(members))[0].double().cpu().numpy()
        return rewards

    def forward(self, encoded: Encoded) -> tuple[Tensor, int]:
        """Rewards of a micro-batch, shape (N, K), and the number of tokens fed in."""
        n, k = encoded.lengths.shape
        sizes = encoded.lengths - encoded.complete
        fed = encoded.prompts[:, 1, None] + sizes
        settings: Any = self.model.config
        ids = np.full((n * k, int(fed.max())), settings.pad_token_id)
        for row in range(n * k):
            for (start, size), at in (
                (encoded.prompts[row // k], 0),
                ((encoded.responses[row // k, row % k, 0], sizes[row // k, row % k]), encoded.prompts[row // k, 1]),
            ):
                ids[row, at : at + size] = encoded.tokens[start : start + size]
        mask = np.arange(ids.shape[1]) < fed.reshape(-1, 1)
        with precision(self.config):
            logits = self.model(
                input_ids=torch.from_numpy(ids).to(self.config.device),
                attention_mask=torch.from_numpy(mask).to(self.config.device),
                use_cache=False,
            ).logits
        return logits.float().view(n, k), int(fed.sum())


def _load_classifier(source: str | Path, config: TrainConfig) -> nn.Module:
    from transformers import AutoModelForSequenceClassification

    require_checkpoint(source)
    with torch.random.fork_rng():
        torch.manual_seed(config.seed)
        model = AutoModelForSequenceClassification.from_pretrained(str(source), num_labels=1, dtype=torch.float32)
    if model.config.pad_token_id is None:
        model.config.pad_token_id = model.config.eos_token_id
    return prepare(model.to(config.device), replace(config, lora=None))


def is_held_out(pair: Pair, share: float) -> bool:
    """Whether a pair is kept from training, by a hash of its prompt, so that no prompt is on both sides."""
    digest = hashlib.sha256(repr(pair.prompt).encode()).digest()
    return int.from_bytes(digest[:8]) < share * 2**64


def _sizes(encoded: Encoded) -> np.ndarray:
    sizes: np.ndarray = encoded.prompts[:, 1] + encoded.lengths.max(axis=1)
    return sizes

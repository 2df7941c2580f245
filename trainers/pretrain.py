"""Language-model training on text or responses: a base from scratch, or supervised fine-tuning of a checkpoint."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from trainers.config import ModelConfig, OnProgress, TrainConfig, TrainResult, describe
from trainers.data.encoding import Limits, encode_corpus
from trainers.data.records import Document, read_corpus
from trainers.data.tokenizer import load_tokenizer
from trainers.files import refuse_existing
from trainers.finish import finish
from trainers.model.causal_lm import causal_lm
from trainers.model.loading import context_length, layout_for, load, make, prepare, require_vocabulary
from trainers.model.logprobs import score
from trainers.model.packing import example_sizes, plan
from trainers.model.precision import precision
from trainers.model.rows import lay_out
from trainers.optim.checkpoint import state_file
from trainers.optim.loop import Step, fit
from trainers.optim.optimizer import Group

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast


def pretrain(
    corpus: str | Path | Sequence[Document],
    tokenizer: PreTrainedTokenizerFast | str | Path,
    model: ModelConfig | str | Path,
    config: TrainConfig,
    out: str | Path,
    progress: OnProgress | None = None,
) -> TrainResult:
    """Minimise the mean negative log-likelihood per token; of responses where there is a prompt, else of all text.

    Parameters
    ----------
    corpus : path, hub id or records
        See `trainers.data.records.read_corpus`.
    tokenizer : PreTrainedTokenizerFast, path or hub id
    model : ModelConfig, path or hub id
        What to make from scratch, or which checkpoint to fine-tune.
    config : TrainConfig
    out : path
        Folder for the finished checkpoint. An interrupted run is taken up again from the state beside it.
    progress : callable, optional
        Called with a `Progress` every ``config.log_every`` steps.
    """
    out = Path(out)
    refuse_existing(out)
    if isinstance(tokenizer, str | Path):
        tokenizer = load_tokenizer(tokenizer)
    documents = read_corpus(corpus) if isinstance(corpus, str | Path) else corpus
    if isinstance(model, ModelConfig):
        policy = make(model, tokenizer, config.seed).to(config.device)
    else:
        policy = load(model, config.device)
        require_vocabulary(str(model), causal_lm(policy).get_input_embeddings().num_embeddings, len(tokenizer))
    origin = describe(model) if isinstance(model, ModelConfig) else str(model)
    policy = prepare(policy, config)
    limits = Limits.of(config, context_length(policy))
    encoded = encode_corpus(documents, tokenizer, limits)
    layout = layout_for(policy, encoded.longest(), config.micro_batch_tokens)
    sizes = example_sizes(encoded, layout)

    def backward(batch: np.ndarray, step: int) -> Step:
        weight = len(batch) / int(encoded.lengths[batch].sum())
        losses = torch.empty(len(batch), device=config.device)
        tokens = 0
        for rows in plan(sizes[batch], layout):
            members = np.concatenate(rows)
            laid = lay_out(encoded, [batch[row].tolist() for row in rows], layout).to(config.device)
            with precision(config):
                part = -weight * score(policy, laid).logps
            torch.autograd.backward(part.sum() / len(batch))
            losses[torch.from_numpy(members)] = part.detach()
            tokens += laid.n_tokens
        return Step(losses, {}, tokens)

    groups = [Group.of("policy", policy, config.learning_rate, config.max_grad_norm)]
    identity = {"kind": "pretrain", "model": origin, "config": describe(config), "data": encoded.fingerprints()}
    run = fit({"policy": policy}, groups, backward, encoded.ids, config, state_file(out), identity, progress)
    facts = {"model": origin, "data": f"{len(encoded)} examples, tokens sha256 {encoded.fingerprints()['response']}"}
    health = {name: float(count) for name, count in encoded.counts.items()}
    return finish(out, "Language model", policy, tokenizer, config, run, facts, health)

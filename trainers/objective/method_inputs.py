"""Inputs of a method besides its policy: references, rewards, embeddings, the responses of its own task."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn

from trainers.config import TrainConfig
from trainers.data.encoded import Encoded
from trainers.data.encoding import Limits, encode_preferences, prompt_text
from trainers.data.records import Example, Pair
from trainers.data.tokenizer import load_tokenizer
from trainers.methods.interface import Task
from trainers.methods.registry import Method
from trainers.model.loading import context_length, layout_for, load, weights_hash
from trainers.model.response_logprobs import score_all, score_tokens
from trainers.objective.base_cache import BaseCache
from trainers.objective.embeddings import prompt_embeddings, sentence_embeddings
from trainers.objective.gradient import MethodInputs
from trainers.objective.reference import mismatched, read_reference, read_token_reference

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

AT_START = {"float32": 1e-3, "bfloat16": 0.5}
"""Largest |log-ratio| of a policy that has not moved, in nats.

Differently packed rows differ by rounding: at responses of 400 tokens by 1e-4 in float32 and by 0.08 in bfloat16.
A token scored on one side only would be off by a nat or more.
"""


@dataclass(frozen=True)
class InputSources:
    """Sources of references, rewards and prompt states; see `trainers.align.align`."""

    references: Sequence[str | Path] = ()
    reference_logps: Sequence[str | Path] = ()
    rewards: str | Path | None = None
    objective_weights: Mapping[str, float] = field(default_factory=dict)
    prompt_states: str | Path | None = None


def gather(
    method: Method,
    policy: nn.Module,
    tokenizer: PreTrainedTokenizerFast,
    base_cache: BaseCache,
    config: TrainConfig,
    sources: InputSources,
) -> tuple[MethodInputs, list[str]]:
    """Everything that `method` declares to need, and the hashes of the references' weights.

    Parameters
    ----------
    policy : Module
        Still untouched.

    Raises
    ------
    ValueError
        For references or rewards that are missing or do not fit.
    """
    encoded, needs = base_cache.encoded, method.needs
    limits = Limits.of(config, context_length(policy))
    parts = [encoded, *([mismatched(encoded, limits.max_tokens)] if needs.mismatched else [])]
    tables = _references(method, policy, tokenizer, parts, base_cache, config, sources)
    for (logps, *_), weights in tables:
        if weights == base_cache.origin:
            _check_start(base_cache.start, logps[base_cache.watched], config.dtype)

    def on_device(array: np.ndarray) -> Tensor:
        return torch.from_numpy(array).to(config.device)

    inputs = MethodInputs(on_device(_desirable(base_cache)))
    if tables:
        inputs = replace(inputs, references=on_device(np.stack([arrays[0] for arrays, _ in tables])))
    if needs.mismatched:
        reference = on_device(tables[0][0][1][:, 0]) if tables else None
        inputs = replace(inputs, mismatched=parts[1], mismatched_reference=reference)
    if needs.rewards:
        if sources.rewards is None or not sources.objective_weights:
            raise ValueError(f"{type(method).__name__} needs rewards and objective_weights")
        inputs = replace(inputs, rewards=on_device(read_rewards(sources.rewards, sources.objective_weights, encoded)))
    if needs.objective_rewards and not needs.on_policy:
        names = [name for name, weight in sources.objective_weights.items() if weight > 0]
        columns = [read_rewards(sources.rewards or "", {name: 1.0}, encoded) for name in names]
        inputs = replace(inputs, objective_rewards=on_device(np.stack(columns, axis=-1)))
    if needs.token_level and needs.references:
        inputs = replace(inputs, token_reference=on_device(_token_reference(policy, base_cache, config, sources)))
    if needs.embeddings:
        inputs = replace(inputs, embeddings=on_device(_embeddings(method, policy, tokenizer, base_cache, config)))
    if needs.task is not None:
        task, labels = _task_responses(needs.task, base_cache, tokenizer, limits)
        inputs = replace(inputs, task=task, task_labels=on_device(labels))
    return inputs, [weights for _, weights in tables]


def _desirable(base_cache: BaseCache) -> np.ndarray:
    records = [base_cache.records[row] for row in base_cache.encoded.kept]
    if isinstance(records[0], Example):
        return np.array([[record.label] for record in records if isinstance(record, Example)])
    desirable = np.zeros(base_cache.encoded.lengths.shape, dtype=bool)
    desirable[:, 0] = isinstance(records[0], Pair)
    return desirable


def _embeddings(
    method: Method, policy: nn.Module, tokenizer: PreTrainedTokenizerFast, base_cache: BaseCache, config: TrainConfig
) -> np.ndarray:
    if method.needs.encoder is None:
        return prompt_embeddings(policy, base_cache.encoded, config)
    texts = [prompt_text(base_cache.records[row].prompt, tokenizer) for row in base_cache.encoded.kept]
    return sentence_embeddings(method.needs.encoder, texts, config)


def _task_responses(
    task: Task, base_cache: BaseCache, tokenizer: PreTrainedTokenizerFast, limits: Limits
) -> tuple[Encoded, np.ndarray]:
    """The responses of a method's own task as the base's tokenizer encodes them, and their labels."""
    pairs, labels = task.responses([record for record in base_cache.records if isinstance(record, Pair)])
    encoded = encode_preferences(pairs, tokenizer, limits)
    if not np.array_equal(encoded.kept, base_cache.encoded.kept):
        raise ValueError(f"some responses of the {task.name} task merge with their prompt and would be dropped")
    return encoded, labels[encoded.kept]


def _references(
    method: Method,
    policy: nn.Module,
    tokenizer: PreTrainedTokenizerFast,
    parts: list[Encoded],
    base_cache: BaseCache,
    config: TrainConfig,
    sources: InputSources,
) -> list[tuple[list[np.ndarray], str]]:
    """For every reference the log-probabilities of the parts and the hash of its weights."""
    wanted, files, models = method.needs.references, sources.reference_logps, sources.references
    number = len(files) or len(models) or 1
    if wanted and number != wanted:
        raise ValueError(f"{type(method).__name__} needs {wanted} reference model(s), {number} given")
    if not wanted:
        return []
    if files:
        return [read_reference(file, parts, config) for file in files]
    if not models:
        # The untouched policy is the base, whose adapters, if any, still add nothing.
        return [([score_all(policy, part, base_cache.layout, config) for part in parts], base_cache.origin)]
    tables = []
    for source in models:
        if load_tokenizer(source).get_vocab() != tokenizer.get_vocab():
            raise ValueError(f"reference {source} has another vocabulary than the base")
        model = load(source, config.device)
        its_layout = layout_for(model, max(part.longest() for part in parts), config.micro_batch_tokens)
        tables.append(([score_all(model, part, its_layout, config) for part in parts], weights_hash(model)))
    return tables


def _token_reference(
    policy: nn.Module, base_cache: BaseCache, config: TrainConfig, sources: InputSources
) -> np.ndarray:
    """The first reference's log-probability of every response token, at its place in ``encoded.tokens``."""
    encoded = base_cache.encoded
    if sources.reference_logps:
        return read_token_reference(sources.reference_logps[0], encoded)
    if not sources.references:
        return score_tokens(policy, encoded, base_cache.layout, config)[1]
    model = load(sources.references[0], config.device)
    return score_tokens(model, encoded, layout_for(model, encoded.longest(), config.micro_batch_tokens), config)[1]


def _check_start(start: np.ndarray, reference: np.ndarray, dtype: str) -> None:
    """A policy that is its own reference must start with log-ratios of zero, up to rounding."""
    worst = float(np.abs(start - reference).max())
    if not worst < AT_START[dtype]:
        raise RuntimeError(
            f"the policy starts {worst:.2g} nats away from its own reference (allowed in {dtype}: {AT_START[dtype]}); "
            "the reference was computed differently"
        )


def read_rewards(file: str | Path, weights: Mapping[str, float], encoded: Encoded) -> np.ndarray:
    """The weighted sum of objectives for every response, shape (N, K), float32.

    Raises
    ------
    ValueError
        Naming an objective that the table lacks, a negative weight, or a response without a finite reward.
    """
    import pandas as pd

    table = pd.read_parquet(file)
    objectives = [column for column in table.columns if column not in ("id", "response")]
    for name, weight in weights.items():
        if name not in objectives:
            raise ValueError(f"{file} has no objective {name!r}; it has {', '.join(objectives)}")
        if not weight >= 0:
            raise ValueError(f"the weight of objective {name!r} is {weight}; weights must not be negative")
    table = table.set_index(["id", "response"])
    if not table.index.is_unique:
        raise ValueError(f"{file} has several rows for {table.index[table.index.duplicated()][0]}")
    total = sum(weight * table[name].astype(float) for name, weight in weights.items())
    columns = [total.reindex([(name, column) for name in encoded.ids]).to_numpy() for column in encoded.columns]
    rewards = np.stack(columns, axis=1).astype(np.float32)
    if not np.isfinite(rewards).all():
        row, column = np.argwhere(~np.isfinite(rewards))[0]
        raise ValueError(f"{file} has no finite reward for {encoded.ids[row]}, {encoded.columns[column]}")
    return rewards

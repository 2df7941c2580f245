"""What a method asks for besides its policy: references, rewards, embeddings, responses with keywords removed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import torch
from torch import nn

from trainers.config import TrainConfig
from trainers.data.encoded import Encoded
from trainers.data.encoding import Limits, encode_preferences, prompt_text
from trainers.data.keyword_removal import ablated_pairs
from trainers.data.records import Example, Pair
from trainers.data.tokenizer import load_tokenizer
from trainers.methods.registry import Method
from trainers.model.embeddings import prompt_embeddings, sentence_embeddings
from trainers.model.loading import context_length, layout_for, load, weights_hash
from trainers.model.response_logprobs import score_all, score_tokens
from trainers.objective.base_cache import BaseCache
from trainers.objective.gradient import MethodInputs
from trainers.objective.reference import mismatched, read_reference, read_token_reference

AT_START = {"float32": 1e-3, "bfloat16": 0.5}
"""Largest |log-ratio| of a policy that has not moved, in nats.

Differently packed rows differ by rounding: at responses of 400 tokens by 1e-4 in float32 and by 0.08 in bfloat16.
A token scored on one side only would be off by a nat or more.
"""


@dataclass(frozen=True)
class InputSources:
    """Where references and rewards come from; see `trainers.align.align`."""

    references: Sequence[str | Path] = ()
    reference_logps: Sequence[str | Path] = ()
    rewards: str | Path | None = None
    objective_weights: Mapping[str, float] = field(default_factory=dict)


def gather(
    method: Method, policy: nn.Module, tokenizer, base_cache: BaseCache, config: TrainConfig, sources: InputSources
) -> tuple[MethodInputs, list[str]]:
    """Everything that `method` declares that it needs, and the hashes of the references' weights.

    Parameters
    ----------
    policy : Module
        Still untouched.

    Raises
    ------
    ValueError
        For references or rewards that are missing or do not fit.
    """
    encoded = base_cache.encoded
    limits = Limits.of(config, context_length(policy))
    parts = [encoded, *([mismatched(encoded, limits.max_tokens)] if method.needs.mismatched else [])]
    tables = _references(method, policy, tokenizer, parts, base_cache, config, sources)
    for (logps, *_), weights in tables:
        if weights == base_cache.origin:
            _check_start(base_cache.start, logps[base_cache.watched], config.dtype)
    on_device = lambda array: torch.from_numpy(np.asarray(array)).to(config.device)  # noqa: E731
    given = MethodInputs(on_device(_desirable(base_cache)))
    if tables:
        given = replace(given, references=on_device(np.stack([arrays[0] for arrays, _ in tables])))
    if method.needs.mismatched:
        reference = on_device(tables[0][0][1][:, 0]) if tables else None
        given = replace(given, mismatched=parts[1], mismatched_reference=reference)
    if method.needs.rewards:
        if sources.rewards is None or not sources.objective_weights:
            raise ValueError(f"{type(method).__name__} needs rewards and objective_weights")
        given = replace(given, rewards=on_device(read_rewards(sources.rewards, sources.objective_weights, encoded)))
    if method.needs.token_level and method.needs.references:
        given = replace(given, token_reference=on_device(_token_reference(policy, base_cache, config, sources)))
    if method.needs.embeddings:
        given = replace(given, embeddings=on_device(_embeddings(method, policy, tokenizer, base_cache, config)))
    if method.needs.degrees:
        made, degrees = ablated_pairs(base_cache.records, method.needs.degrees)
        ablated = encode_preferences(made, tokenizer, limits)
        if not np.array_equal(ablated.kept, encoded.kept):
            raise ValueError("some responses with keywords removed merge with their prompt and would be dropped")
        given = replace(given, ablated=ablated, degrees=on_device(degrees[encoded.kept]))
    return given, [weights for _, weights in tables]


def _desirable(base_cache: BaseCache) -> np.ndarray:
    first = base_cache.records[0]
    if isinstance(first, Example):
        return np.array([[base_cache.records[row].label] for row in base_cache.encoded.kept])
    desirable = np.zeros(base_cache.encoded.lengths.shape, dtype=bool)
    desirable[:, 0] = isinstance(first, Pair)
    return desirable


def _embeddings(method: Method, policy: nn.Module, tokenizer, base_cache: BaseCache, config: TrainConfig) -> np.ndarray:
    if method.needs.encoder is None:
        return prompt_embeddings(policy, base_cache.encoded, config)
    texts = [prompt_text(base_cache.records[row].prompt, tokenizer) for row in base_cache.encoded.kept]
    return sentence_embeddings(method.needs.encoder, texts, config)


def _references(
    method: Method,
    policy: nn.Module,
    tokenizer,
    parts: list[Encoded],
    base_cache: BaseCache,
    config: TrainConfig,
    sources: InputSources,
) -> list[tuple[list[np.ndarray], str]]:
    """For every reference the log-probabilities of the parts and the hash of its weights."""
    wanted, files, models = method.needs.references, sources.reference_logps, sources.references
    given = len(files) or len(models) or 1
    if wanted and given != wanted:
        raise ValueError(f"{type(method).__name__} needs {wanted} reference model(s), {given} given")
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
    known = [column for column in table.columns if column not in ("id", "response")]
    for name, weight in weights.items():
        if name not in known:
            raise ValueError(f"{file} has no objective {name!r}; it has {', '.join(known)}")
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

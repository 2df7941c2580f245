"""Alignment: a method, a base, preference data; out comes a checkpoint."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import nn

from trainers.ablation import ablated_pairs
from trainers.checkpoint import model_card, refuse_existing, save_model, state_file
from trainers.config import LoraConfig, OnProgress, TrainConfig, TrainResult, describe
from trainers.data import Example, Pair, ResponseGroup, read_preferences
from trainers.degree import DegreeHead
from trainers.distributed import SharedObjective
from trainers.embeddings import prompt_embeddings, sentence_embeddings
from trainers.encode import Limits, encode_preferences, prompt_text
from trainers.encoded import Encoded
from trainers.health import displacement
from trainers.loop import Steps, drive, optimise
from trainers.methods.registry import Method
from trainers.models import compute_in, context_length, layout_for, load, n_parameters, prepare, weights_hash
from trainers.optimize import Group
from trainers.packing import Layout
from trainers.policy import Given, Objective
from trainers.processes import is_first, is_shared, wait_for_all
from trainers.reference import mismatched, read_reference, read_token_reference
from trainers.scoring import score_all, score_tokens
from trainers.sharding import refuse_sharding, shard, whole_weights
from trainers.tokenizer import load_tokenizer
from trainers.value import ValueHead

WATCHED = 512
"""Training examples on which a policy's displacement is measured."""

AT_START = {"float32": 1e-3, "bfloat16": 0.5}
"""Largest |log-ratio| of a policy that has not moved, in nats.

Differently packed rows differ by rounding: at responses of 400 tokens by 1e-4 in float32 and by 0.08 in bfloat16.
A token scored on one side only would be off by a nat or more.
"""


def align(
    method: Method,
    base: str | Path,
    data: str | Path | Sequence[Pair] | Sequence[Example] | Sequence[ResponseGroup],
    config: TrainConfig,
    out: str | Path,
    *,
    references: Sequence[str | Path] = (),
    reference_logps: Sequence[str | Path] = (),
    rewards: str | Path | None = None,
    objective_weights: Mapping[str, float] | None = None,
    progress: OnProgress | None = None,
    ready: Ready | None = None,
) -> TrainResult:
    """Train a policy with a preference-optimization method.

    Parameters
    ----------
    method : Method
        From `trainers.methods.create`.
    base : path or hub id
        Where the policy starts.
    data : path, hub id or records
        Pairs, unpaired examples for methods that do not need pairs, or groups of responses for methods that
        tell them apart by their rewards alone.
    config : TrainConfig
    out : path
        Folder for the finished checkpoint. An interrupted run is taken up again from the state beside it.
    references : sequence of paths or hub ids
        Reference models; a method that needs one and is given none takes the base.
    reference_logps : sequence of paths
        Files of `trainers.reference.reference_logps`, instead of `references`.
    rewards : path
        Table ``id, response`` and one column per objective, for methods that need designer rewards.
    objective_weights : mapping of str to float
        R is the sum of these columns of `rewards` by these weights.
    progress : callable, optional
        Called with a `Progress` every ``config.log_every`` steps.
    ready : Ready, optional
        What `Ready.of` made of this base, data and config, where several policies share them.

    Returns
    -------
    TrainResult
        Its ``health`` tells how the policy moved on a fixed part of the training data: see
        `trainers.health.displacement`.

    Raises
    ------
    ValueError
        For data, references or rewards that the method needs and that are missing or do not fit.
    TrainingDiverged
        If a loss or gradient is not finite; the last saved state stays.
    """
    given = (references, reference_logps, rewards, objective_weights)
    return drive(alignment(method, base, data, config, out, *given, progress, ready))


@dataclass(frozen=True)
class Ready:
    """A data set as one base sees it: the same for every policy that starts there.

    Parameters
    ----------
    records : sequence of Pair or of Example
    origin : str
        Hash of the base's weights.
    encoded : Encoded
    layout : Layout
        How the base takes its batches.
    watched : ndarray of int64
        Examples on which displacement is measured.
    start : ndarray, shape (W, K)
        Their log-probabilities under the base, nats.
    """

    records: Sequence[Pair] | Sequence[Example]
    origin: str
    encoded: Encoded
    layout: Layout
    watched: np.ndarray
    start: np.ndarray

    @classmethod
    def of(cls, base: str | Path, data, config: TrainConfig, base_responses: bool) -> Ready:
        """Encode the data and score what is watched."""
        records = read_preferences(data) if isinstance(data, str | Path) else data
        policy = load(base, config.device, weight_bits(config))
        return _ready(policy, weights_hash(policy), load_tokenizer(base), records, config, base_responses)


def preparation(config: TrainConfig) -> TrainConfig:
    """The part of a config that `Ready` depends on, everything else at its default."""
    names = ("max_prompt_tokens", "max_tokens", "on_boundary", "dtype", "micro_batch_tokens", "device")
    quantised = LoraConfig(bits=weight_bits(config)) if weight_bits(config) else None
    return TrainConfig(**{name: getattr(config, name) for name in names}, lora=quantised)


def weight_bits(config: TrainConfig) -> int | None:
    return config.lora.bits if config.lora else None


def _ready(policy: nn.Module, origin: str, tokenizer, records, config: TrainConfig, base_responses: bool) -> Ready:
    encoded = encode_preferences(records, tokenizer, Limits.of(config, context_length(policy)), base_responses)
    layout = layout_for(policy, encoded.longest(), config.micro_batch_tokens)
    compute_in(policy, config.dtype)
    watched = np.sort(np.random.default_rng(0).permutation(len(encoded))[:WATCHED])
    start = score_all(policy, encoded.take(watched), layout, config)
    return Ready(records, origin, encoded, layout, watched, start)


def alignment(
    method: Method,
    base: str | Path,
    data: str | Path | Sequence[Pair] | Sequence[Example],
    config: TrainConfig,
    out: str | Path,
    references: Sequence[str | Path] = (),
    reference_logps: Sequence[str | Path] = (),
    rewards: str | Path | None = None,
    objective_weights: Mapping[str, float] | None = None,
    progress: OnProgress | None = None,
    ready: Ready | None = None,
) -> Steps[TrainResult]:
    """`align` as a run that asks for its backward passes; `ready`, if given, must be that of this base and data."""
    out = Path(out)
    refuse_existing(out)
    if config.sharding:
        refuse_sharding(config, method)
    if ready is not None:
        records = ready.records
    else:
        records = read_preferences(data) if isinstance(data, str | Path) else data
    if isinstance(records[0], ResponseGroup) and not method.needs.groups:
        raise ValueError(f"{type(method).__name__} needs labels, but the data is groups of responses without any")
    if isinstance(records[0], Example) and method.needs.pairs:
        raise ValueError(f"{type(method).__name__} needs pairs, but the data is unpaired")
    policy, tokenizer = load(base, config.device, weight_bits(config)), load_tokenizer(base)
    origin = weights_hash(policy)
    policy = prepare(policy, config)
    if ready is None:
        ready = _ready(policy, origin, tokenizer, records, config, method.needs.base_responses)
        layout = ready.layout
    elif ready.origin != origin:
        raise ValueError(f"what was made ready is not for {base}: its weights differ")
    else:  # asked again, since a layout may come with a switch set on the model
        layout = layout_for(policy, ready.encoded.longest(), config.micro_batch_tokens)
        compute_in(policy, config.dtype)
    encoded, watched, start = ready.encoded, ready.watched, ready.start
    limits = Limits.of(config, context_length(policy))

    parts = [encoded, *([mismatched(encoded, limits.max_tokens)] if method.needs.mismatched else [])]
    tables = _references(method, policy, origin, tokenizer, parts, layout, config, references, reference_logps)
    for (logps, *_), weights in tables:
        if weights == origin:
            _check_start(start, logps[watched], config.dtype)
    reward = None
    if method.needs.rewards:
        if rewards is None or not objective_weights:
            raise ValueError(f"{type(method).__name__} needs rewards and objective_weights")
        reward = read_rewards(rewards, objective_weights, encoded)
    given = _given(records, encoded, [arrays for arrays, _ in tables], parts, reward, config.device)
    if method.needs.token_level and method.needs.references:
        tokens = _token_reference(policy, encoded, layout, config, references, reference_logps)
        given = replace(given, token_reference=torch.from_numpy(tokens).to(config.device))
    if method.needs.embeddings:
        if method.needs.encoder is None:
            embeddings = prompt_embeddings(policy, encoded, config)
        else:
            texts = [prompt_text(records[row].prompt, tokenizer) for row in encoded.kept]
            embeddings = sentence_embeddings(method.needs.encoder, texts, config)
        given = replace(given, embeddings=torch.from_numpy(embeddings).to(config.device))

    if config.sharding:
        shard(policy)
    head = ValueHead(policy.config.get_text_config().hidden_size, config.seed) if method.needs.values else None
    modules: dict[str, nn.Module] = {"policy": policy}
    groups = [Group("policy", _trained(policy), config.learning_rate, config.max_grad_norm)]
    if head is not None:
        modules["value"] = head.to(config.device)
        rate = config.value_learning_rate or config.learning_rate
        groups.append(Group("value", _trained(head), rate, config.value_max_grad_norm))
    if method.needs.degrees:
        made, degrees = ablated_pairs(records, method.needs.degrees)
        ablated = encode_preferences(made, tokenizer, limits)
        if not np.array_equal(ablated.kept, encoded.kept):
            raise ValueError("some responses with keywords removed merge with their prompt and would be dropped")
        degrees = torch.from_numpy(degrees[encoded.kept]).to(config.device)
        given = replace(given, ablated=ablated, degrees=degrees)
        width = policy.config.get_text_config().hidden_size
        modules["degree"] = DegreeHead(width, method.needs.degrees, method.needs.pooling, config.seed).to(config.device)
        groups.append(Group("degree", _trained(modules["degree"]), config.learning_rate, config.max_grad_norm))
    identity = {
        "kind": "align",
        "method": [type(method).__name__, asdict(method)],
        "base": origin,
        "config": describe(config),
        "data": encoded.fingerprints(),
        "references": [weights for _, weights in tables],
        "rewards": dict(objective_weights or {}) if reward is not None else {},
    }
    objective = (SharedObjective if is_shared() else Objective)(
        method, policy, head, encoded, given, layout, config, modules.get("degree")
    )
    state = state_file(out)
    run = yield from optimise(modules, groups, objective, encoded.ids, config, state, identity, progress)

    end = score_all(policy, encoded.take(watched), layout, config)
    health = displacement(
        encoded.take(watched),
        given.desirable[watched].cpu().numpy(),
        start,
        end,
        None if reward is None else reward[watched],
    )
    health |= {name: float(count) for name, count in encoded.counts.items()}
    facts = {
        "method": type(method).__name__,
        "method parameters": asdict(method),
        "base": f"{base} (weights sha256 {origin})",
        "parameters": n_parameters(policy),
        "hyperparameters": describe(config),
        "objective weights": identity["rewards"],
        "data": f"{len(encoded)} examples, tokens sha256 {', '.join(identity['data'].values())}",
        "steps": run.step,
        "tokens": run.tokens,
        "seconds": round(run.seconds, 1),
        "health": {name: f"{value:.4g}" for name, value in health.items()},
    }
    weights = whole_weights(policy) if config.sharding else None
    if is_first():
        save_model(out, policy, tokenizer, model_card(f"{type(method).__name__} policy", facts), weights)
        state.unlink(missing_ok=True)
    wait_for_all()
    return TrainResult(out, run.seconds, run.tokens, run.step, run.curve, health)


def _trained(module: nn.Module) -> list[nn.Parameter]:
    return [parameter for parameter in module.parameters() if parameter.requires_grad]


def _references(
    method: Method,
    policy: nn.Module,
    origin: str,
    tokenizer,
    parts: list[Encoded],
    layout: Layout,
    config: TrainConfig,
    references: Sequence[str | Path],
    files: Sequence[str | Path],
) -> list[tuple[list[np.ndarray], str]]:
    """For every reference the log-probabilities of the parts and the hash of its weights."""
    wanted = method.needs.references
    given = len(files) or len(references) or 1
    if wanted and given != wanted:
        raise ValueError(f"{type(method).__name__} needs {wanted} reference model(s), {given} given")
    if not wanted:
        return []
    if files:
        return [read_reference(file, parts, config) for file in files]
    if not references:
        # The untouched policy is the base, whose adapters, if any, still add nothing.
        return [([score_all(policy, part, layout, config) for part in parts], origin)]
    tables = []
    for source in references:
        if load_tokenizer(source).get_vocab() != tokenizer.get_vocab():
            raise ValueError(f"reference {source} has another vocabulary than the base")
        model = load(source, config.device)
        its_layout = layout_for(model, max(part.longest() for part in parts), config.micro_batch_tokens)
        tables.append(([score_all(model, part, its_layout, config) for part in parts], weights_hash(model)))
    return tables


def _token_reference(
    policy: nn.Module,
    encoded: Encoded,
    layout: Layout,
    config: TrainConfig,
    references: Sequence[str | Path],
    files: Sequence[str | Path],
) -> np.ndarray:
    """The first reference's log-probability of every response token, at its place in ``encoded.tokens``."""
    if files:
        return read_token_reference(files[0], encoded)
    if not references:
        return score_tokens(policy, encoded, layout, config)[1]
    model = load(references[0], config.device)
    return score_tokens(model, encoded, layout_for(model, encoded.longest(), config.micro_batch_tokens), config)[1]


def _check_start(start: np.ndarray, reference: np.ndarray, dtype: str) -> None:
    """A policy that is its own reference must start with log-ratios of zero, up to rounding."""
    worst = float(np.abs(start - reference).max())
    if not worst < AT_START[dtype]:
        raise RuntimeError(
            f"the policy starts {worst:.2g} nats away from its own reference (allowed in {dtype}: {AT_START[dtype]}); "
            "the reference was computed differently"
        )


def _given(
    records: Sequence[Pair] | Sequence[Example] | Sequence[ResponseGroup],
    encoded: Encoded,
    tables: list[list[np.ndarray]],
    parts: list[Encoded],
    rewards: np.ndarray | None,
    device: str,
) -> Given:
    if isinstance(records[0], Example):
        desirable = np.array([[records[row].label] for row in encoded.kept])
    else:
        desirable = np.zeros(encoded.lengths.shape, dtype=bool)
        desirable[:, 0] = isinstance(records[0], Pair)
    tensor = lambda array: torch.from_numpy(np.asarray(array)).to(device)  # noqa: E731
    has_mismatched = len(parts) > 1
    return Given(
        desirable=tensor(desirable),
        references=tensor(np.stack([arrays[0] for arrays in tables])) if tables else None,
        rewards=None if rewards is None else tensor(rewards),
        mismatched=parts[1] if has_mismatched else None,
        mismatched_reference=tensor(tables[0][1][:, 0]) if has_mismatched and tables else None,
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

"""Alignment: a method, a base, preference data; out comes a checkpoint."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

from torch import nn

from trainers.config import OnProgress, TrainConfig, TrainResult, describe
from trainers.data.records import Example, Pair, ResponseGroup, read_preferences
from trainers.data.tokenizer import load_tokenizer
from trainers.methods.registry import Method
from trainers.model.loading import compute_in, layout_for, load, n_parameters, prepare, weights_hash
from trainers.model.response_logprobs import score_all
from trainers.objective.base_cache import BaseCache, weight_bits
from trainers.objective.degree_head import DegreeHead
from trainers.objective.displacement import displacement
from trainers.objective.distribution import SharedObjective
from trainers.objective.gradient import Objective
from trainers.objective.method_inputs import InputSources, gather
from trainers.objective.value_head import ValueHead
from trainers.optim.checkpoint import model_card, refuse_existing, save_model, state_file
from trainers.optim.loop import Steps, drive, optimise
from trainers.optim.optimizer import Group
from trainers.optim.sharding import refuse_sharding, shard, whole_weights
from trainers.processes import is_first, is_shared, wait_for_all


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
    base_cache: BaseCache | None = None,
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
        Files of `trainers.objective.reference.reference_logps`, instead of `references`.
    rewards : path
        Table ``id, response`` and one column per objective, for methods that need designer rewards.
    objective_weights : mapping of str to float
        R is the sum of these columns of `rewards` by these weights.
    progress : callable, optional
        Called with a `Progress` every ``config.log_every`` steps.
    base_cache : BaseCache, optional
        What `BaseCache.from_base` made of this base, data and config, where several policies share them.

    Returns
    -------
    TrainResult
        Its ``health`` tells how the policy moved on a fixed part of the training data: see
        `trainers.objective.displacement.displacement`.

    Raises
    ------
    ValueError
        For data, references or rewards that the method needs and that are missing or do not fit.
    TrainingDiverged
        If a loss or gradient is not finite; the last saved state stays.
    """
    sources = InputSources(references, reference_logps, rewards, objective_weights or {})
    return drive(alignment(method, base, data, config, out, sources, progress, base_cache))


def alignment(
    method: Method,
    base: str | Path,
    data: str | Path | Sequence[Pair] | Sequence[Example] | Sequence[ResponseGroup],
    config: TrainConfig,
    out: str | Path,
    sources: InputSources,
    progress: OnProgress | None = None,
    base_cache: BaseCache | None = None,
) -> Steps[TrainResult]:
    """`align` as a run that asks for its backward passes; `base_cache`, if given, must be that of this base and data."""
    out = Path(out)
    refuse_existing(out)
    if config.sharding:
        refuse_sharding(config, method)
    if base_cache is not None:
        records = base_cache.records
    else:
        records = read_preferences(data) if isinstance(data, str | Path) else data
    if isinstance(records[0], ResponseGroup) and not method.needs.groups:
        raise ValueError(f"{type(method).__name__} needs labels, but the data is groups of responses without any")
    if isinstance(records[0], Example) and method.needs.pairs:
        raise ValueError(f"{type(method).__name__} needs pairs, but the data is unpaired")

    policy, tokenizer = load(base, config.device, weight_bits(config)), load_tokenizer(base)
    origin = weights_hash(policy)
    policy = prepare(policy, config)
    if base_cache is None:
        base_cache = BaseCache.from_model(policy, origin, tokenizer, records, config, method.needs.base_responses)
    elif base_cache.origin != origin:
        raise ValueError(f"what was made base_cache is not for {base}: its weights differ")
    else:  # a layout may come with a switch set on the model
        layout_for(policy, base_cache.encoded.longest(), config.micro_batch_tokens)
        compute_in(policy, config.dtype)
    given, references = gather(method, policy, tokenizer, base_cache, config, sources)
    if config.sharding:
        shard(policy)
    modules, groups = _trainables(method, policy, config)
    encoded, layout = base_cache.encoded, base_cache.layout
    identity = {
        "kind": "align",
        "method": [type(method).__name__, asdict(method)],
        "base": origin,
        "config": describe(config),
        "data": encoded.fingerprints(),
        "references": references,
        "rewards": dict(sources.objective_weights) if method.needs.rewards else {},
    }
    objective = (SharedObjective if is_shared() else Objective)(
        method, policy, modules.get("value"), encoded, given, layout, config, modules.get("degree")
    )
    state = state_file(out)
    run = yield from optimise(modules, groups, objective, encoded.ids, config, state, identity, progress)

    watched = base_cache.watched
    health = displacement(
        encoded.take(watched),
        given.desirable[watched].cpu().numpy(),
        base_cache.start,
        score_all(policy, encoded.take(watched), layout, config),
        None if given.rewards is None else given.rewards[watched].cpu().numpy(),
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


def _trainables(method: Method, policy: nn.Module, config: TrainConfig) -> tuple[dict[str, nn.Module], list[Group]]:
    """The policy and the small heads that the method asks for, and how the optimizer takes them."""
    width = policy.config.get_text_config().hidden_size
    modules: dict[str, nn.Module] = {"policy": policy}
    groups = [Group("policy", _trained(policy), config.learning_rate, config.max_grad_norm)]
    if method.needs.values:
        modules["value"] = ValueHead(width, config.seed).to(config.device)
        rate = config.value_learning_rate or config.learning_rate
        groups.append(Group("value", _trained(modules["value"]), rate, config.value_max_grad_norm))
    if method.needs.degrees:
        modules["degree"] = DegreeHead(width, method.needs.degrees, method.needs.pooling, config.seed).to(config.device)
        groups.append(Group("degree", _trained(modules["degree"]), config.learning_rate, config.max_grad_norm))
    return modules, groups


def _trained(module: nn.Module) -> list[nn.Parameter]:
    return [parameter for parameter in module.parameters() if parameter.requires_grad]

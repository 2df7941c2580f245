"""Alignment of a base with preference data by a preference-optimization method."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import nn

from trainers.config import OnProgress, TrainConfig, TrainResult, describe
from trainers.data.records import Example, ResponseGroup, read_preferences
from trainers.data.tokenizer import load_tokenizer
from trainers.files import refuse_existing
from trainers.finish import finish
from trainers.methods.registry import Method
from trainers.model.loading import compute_in, hidden_size, layout_for, load, prepare, weights_hash
from trainers.model.origin import origin_of
from trainers.model.response_logprobs import score_all
from trainers.objective.base_cache import BaseCache, Records, weight_bits
from trainers.objective.displacement import displacement
from trainers.objective.distribution import SharedObjective
from trainers.objective.gradient import MethodInputs, Objective
from trainers.objective.method_inputs import InputSources, gather
from trainers.objective.moving_reference import MovingReference
from trainers.objective.value_course import ValueCourse
from trainers.objective.value_head import ValueHead
from trainers.optim.checkpoint import state_file
from trainers.optim.loop import Steps, drive, optimise
from trainers.optim.optimizer import Group
from trainers.optim.sharding import refuse_sharding, shard
from trainers.processes import is_shared

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast


def align(
    method: Method,
    base: str | Path,
    data: str | Path | Records,
    config: TrainConfig,
    out: str | Path,
    *,
    references: Sequence[str | Path] = (),
    reference_logps: Sequence[str | Path] = (),
    rewards: str | Path | None = None,
    objective_weights: Mapping[str, float] | None = None,
    prompt_states: str | Path | None = None,
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
        Reference models; without them a method that needs one uses the base.
    reference_logps : sequence of paths
        Files of `trainers.objective.reference.reference_logps`, instead of `references`.
    rewards : path
        Table ``id, response`` and one column per objective, for methods that need designer rewards.
    objective_weights : mapping of str to float
        R is the sum of these columns of `rewards` by these weights.
    prompt_states : path, optional
        File of `trainers.objective.prompt_states.write_prompt_states` for this base and data, on which V(x) is fitted
        before the first step; without it they are computed here.
    progress : callable, optional
        Called with a `Progress` every ``config.log_every`` steps.
    base_cache : BaseCache, optional
        Result of `BaseCache.from_base` for this base, data and config, where several policies share it.

    Returns
    -------
    TrainResult
        Its ``health`` measures how the policy moved on a fixed part of the training data: see
        `trainers.objective.displacement.displacement`. For a value head V(x) it holds ``value_residual`` and
        ``value_explained`` on prompts that V does not learn from, with ``_start`` for before the first step: see
        `trainers.objective.value_fit.Condition`.

    Raises
    ------
    ValueError
        For data, references or rewards that the method needs and that are missing or do not fit.
    TrainingDiverged
        If a loss or gradient is not finite; the last saved state stays.
    """
    sources = InputSources(references, reference_logps, rewards, objective_weights or {}, prompt_states)
    return drive(alignment(method, base, data, config, out, sources, progress, base_cache))


def alignment(
    method: Method,
    base: str | Path,
    data: str | Path | Records,
    config: TrainConfig,
    out: str | Path,
    sources: InputSources,
    progress: OnProgress | None = None,
    base_cache: BaseCache | None = None,
) -> Steps[TrainResult]:
    """`align` as a run that yields its backward passes; `base_cache` must be that of this base and data."""
    out = Path(out)
    refuse_existing(out)
    if config.sharding:
        refuse_sharding(config, method)
    policy, tokenizer, base_cache = _starting_policy(method, base, data, config, base_cache)
    inputs, references = gather(method, policy, tokenizer, base_cache, config, sources)
    course = _value_course(method, policy, base_cache, inputs, config, sources)
    if config.sharding:
        shard(policy)
    value_head, task_head = _heads(method, policy, config)
    health: dict[str, float] = {}
    if course is not None and value_head is not None:
        inputs = replace(inputs, value_held_out=course.held_out_examples())
        health = course.start(value_head, policy, config)
    moving = _moving_reference(method, policy, references, base_cache.origin)
    encoded, layout = base_cache.encoded, base_cache.layout
    objective = (SharedObjective if is_shared() else Objective)(
        method, policy, value_head, encoded, inputs, layout, config, task_head, moving
    )
    identity = _identity(method, base_cache, config, references, sources)
    modules, groups = _trainables(objective, config)
    run = yield from optimise(modules, groups, objective, encoded.ids, config, state_file(out), identity, progress)
    facts = _facts(method, base, base_cache, identity["rewards"])
    health |= _health(policy, inputs, base_cache, config)
    if course is not None and value_head is not None:
        health |= course.end(value_head, policy, config)
    return finish(out, f"{type(method).__name__} policy", policy, tokenizer, config, run, facts, health)


def _records(method: Method, data: str | Path | Records) -> Records:
    """Training records of a kind that the method learns from."""
    records = read_preferences(data) if isinstance(data, str | Path) else data
    if isinstance(records[0], ResponseGroup) and not method.needs.groups:
        raise ValueError(f"{type(method).__name__} needs labels, but the data is groups of responses without any")
    if isinstance(records[0], Example) and method.needs.pairs:
        raise ValueError(f"{type(method).__name__} needs pairs, but the data is unpaired")
    return records


def _starting_policy(
    method: Method, base: str | Path, data: str | Path | Records, config: TrainConfig, base_cache: BaseCache | None
) -> tuple[nn.Module, PreTrainedTokenizerFast, BaseCache]:
    """The policy before its first step, its tokenizer, and the cache of its base, made if there is none."""
    records = _records(method, data) if base_cache is None else base_cache.records
    policy, tokenizer = load(base, config.device, weight_bits(config)), load_tokenizer(base)
    origin = weights_hash(policy)
    policy = prepare(policy, config)
    if base_cache is None:
        base_cache = BaseCache.from_model(policy, origin, tokenizer, records, config, method.needs.base_responses)
    elif base_cache.origin != origin:
        raise ValueError(f"base_cache is not for {base}: its weights differ")
    else:  # a layout may come with a switch set on the model
        layout_for(policy, base_cache.encoded.longest(), config.micro_batch_tokens)
        compute_in(policy, config.dtype)
    return policy, tokenizer, base_cache


def _value_course(
    method: Method,
    policy: nn.Module,
    base_cache: BaseCache,
    inputs: MethodInputs,
    config: TrainConfig,
    sources: InputSources,
) -> ValueCourse | None:
    """The fit of V(x) on the states of prompts, stored ones if there are any, for a method that needs it."""
    stored = None
    if sources.prompt_states is not None:
        stored = sources.prompt_states, None if weight_bits(config) else base_cache.origin
    return ValueCourse.begin(
        method.needs, policy, base_cache.encoded, base_cache.layout, inputs.rewards, config, stored
    )  # fmt: skip


def _identity(
    method: Method, base_cache: BaseCache, config: TrainConfig, references: Sequence[str], sources: InputSources
) -> dict[str, Any]:
    """What a saved state must have in common with a run that continues it."""
    return {
        "kind": "align",
        "method": [type(method).__name__, asdict(method)],
        "base": base_cache.origin,
        "config": describe(config),
        "data": base_cache.encoded.fingerprints(),
        "references": references,
        "rewards": dict(sources.objective_weights) if method.needs.rewards else {},
    }


def _facts(
    method: Method, base: str | Path, base_cache: BaseCache, objective_weights: Mapping[str, float]
) -> dict[str, object]:
    """Lines of the model card about the origin of the policy."""
    encoded = base_cache.encoded
    return {
        "method": type(method).__name__,
        "method parameters": asdict(method),
        "base": f"{origin_of(base)} (weights sha256 {base_cache.origin})",
        "objective weights": objective_weights,
        "data": f"{len(encoded)} examples, tokens sha256 {', '.join(encoded.fingerprints().values())}",
    }


def _heads(method: Method, policy: nn.Module, config: TrainConfig) -> tuple[ValueHead | None, nn.Module | None]:
    """The value head and the head of the method's own task, where the method needs them."""
    width, needs = hidden_size(policy), method.needs
    value = ValueHead(width, config.seed).to(config.device) if needs.values else None
    task = needs.task.head(width, config.seed).to(config.device) if needs.task else None
    return value, task


def _moving_reference(method: Method, policy: nn.Module, references: list[str], origin: str) -> MovingReference | None:
    """The reference that follows the policy, where the method has one."""
    update = method.needs.reference_update
    if update is None:
        return None
    if references != [origin]:
        raise ValueError(f"{type(method).__name__} moves its reference from the base; leave out references")
    return MovingReference(policy, update)


def _trainables(objective: Objective, config: TrainConfig) -> tuple[dict[str, nn.Module], list[Group]]:
    """The modules that a state holds, by name, and the groups of the optimizer."""
    modules: dict[str, nn.Module] = {"policy": objective.policy}
    groups = [Group.of("policy", objective.policy, config.learning_rate, config.max_grad_norm)]
    if objective.value_head is not None:
        modules["value"] = objective.value_head
        rate = config.value_learning_rate or config.learning_rate
        groups.append(Group.of("value", objective.value_head, rate, config.value_max_grad_norm))
    task = objective.method.needs.task
    if objective.task_head is not None and task is not None:
        modules[task.name] = objective.task_head
        groups.append(Group.of(task.name, objective.task_head, config.learning_rate, config.max_grad_norm))
    if objective.moving_reference is not None:  # part of the state, and of no group
        modules["reference"] = objective.moving_reference.model
    return modules, groups


def _health(policy: nn.Module, inputs: MethodInputs, base_cache: BaseCache, config: TrainConfig) -> dict[str, float]:
    """Displacement of the trained policy on the watched examples, and counts of the data's encoding."""
    watched = base_cache.watched
    examples = base_cache.encoded.take(watched)
    figures = displacement(
        examples,
        inputs.desirable[watched].cpu().numpy(),
        base_cache.start,
        score_all(policy, examples, base_cache.layout, config),
        None if inputs.rewards is None else inputs.rewards[watched].cpu().numpy(),
    )
    return figures | {name: float(count) for name, count in base_cache.encoded.counts.items()}

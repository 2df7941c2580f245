"""Alignment: a method, a base, preference data; out comes a checkpoint."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

from torch import nn

from trainers.checkpoint import model_card, refuse_existing, save_model, state_file
from trainers.config import OnProgress, TrainConfig, TrainResult, describe
from trainers.data import Example, Pair, ResponseGroup, read_preferences
from trainers.degree import DegreeHead
from trainers.distributed import SharedObjective
from trainers.given import Sources, gather
from trainers.health import displacement
from trainers.loop import Steps, drive, optimise
from trainers.methods.registry import Method
from trainers.models import compute_in, layout_for, load, n_parameters, prepare, weights_hash
from trainers.optimize import Group
from trainers.policy import Objective
from trainers.processes import is_first, is_shared, wait_for_all
from trainers.ready import Ready, weight_bits
from trainers.scoring import score_all
from trainers.sharding import refuse_sharding, shard, whole_weights
from trainers.tokenizer import load_tokenizer
from trainers.value import ValueHead


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
    sources = Sources(references, reference_logps, rewards, objective_weights or {})
    return drive(alignment(method, base, data, config, out, sources, progress, ready))


def alignment(
    method: Method,
    base: str | Path,
    data: str | Path | Sequence[Pair] | Sequence[Example] | Sequence[ResponseGroup],
    config: TrainConfig,
    out: str | Path,
    sources: Sources,
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
        ready = Ready.made_with(policy, origin, tokenizer, records, config, method.needs.base_responses)
    elif ready.origin != origin:
        raise ValueError(f"what was made ready is not for {base}: its weights differ")
    else:  # a layout may come with a switch set on the model
        layout_for(policy, ready.encoded.longest(), config.micro_batch_tokens)
        compute_in(policy, config.dtype)
    given, references = gather(method, policy, tokenizer, ready, config, sources)
    if config.sharding:
        shard(policy)
    modules, groups = _trainables(method, policy, config)
    encoded, layout = ready.encoded, ready.layout
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

    watched = ready.watched
    health = displacement(
        encoded.take(watched),
        given.desirable[watched].cpu().numpy(),
        ready.start,
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

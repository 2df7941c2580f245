"""The optimisation loop, the same for every kind of training."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor, nn

from trainers.config import OnProgress, Progress, TrainConfig
from trainers.model.packing import shuffled
from trainers.optim.checkpoint import load_state, restore_tensors, save_state, trained_tensors
from trainers.optim.optimizer import Group, optimizer, rate, restore_optimizer
from trainers.optim.sharding import clip_gradient, is_sharded, whole
from trainers.processes import is_first


class TrainingDiverged(RuntimeError):
    """A loss or gradient that is not finite. The last saved state is from before it.

    Parameters
    ----------
    step : int
        The optimizer step, from 0, that was not taken.
    what : str
        The quantity that is not finite.
    ids : list of str
        The examples whose loss is not finite, or the whole batch if only the gradient is not.
    """

    def __init__(self, step: int, what: str, ids: list[str]) -> None:
        super().__init__(step, what, ids)
        self.step, self.what, self.ids = step, what, ids

    def __str__(self) -> str:
        shown = ", ".join(self.ids[:8]) + (f" and {len(self.ids) - 8} more" if len(self.ids) > 8 else "")
        return f"{self.what} is not finite at step {self.step}; examples: {shown}"


@dataclass(frozen=True)
class Step:
    """What the backward pass over one optimizer batch leaves besides gradients.

    Parameters
    ----------
    losses : Tensor, shape (B,)
        Per example, in the batch's order; their mean is the loss that was differentiated.
    metrics : mapping of str to Tensor
    tokens : int
        Tokens that went through the model, padding not counted.
    """

    losses: Tensor
    metrics: Mapping[str, Tensor]
    tokens: int


T = TypeVar("T")
Backward = Callable[[np.ndarray, int], Step]
"""Adds the gradient of one optimizer batch, given as example numbers and the step's number."""


@dataclass
class Fit:
    """How far a run has come."""

    step: int = 0
    tokens: int = 0
    seconds: float = 0.0
    curve: list[tuple[int, str, float]] = field(default_factory=list)


def fit(
    parts: dict[str, nn.Module],
    groups: list[Group],
    backward: Backward,
    ids: list[str],
    config: TrainConfig,
    state: Path,
    identity: dict[str, Any],
    progress: OnProgress | None = None,
) -> Fit:
    """Optimise until the data or the steps run out, from `state` if that holds an unfinished run.

    Parameters
    ----------
    parts : dict of modules
        Everything that is trained, by name.
    groups : list of Group
    backward : callable
    ids : list of str
        Example ids, by number.
    state : Path
        Where the run keeps its resumable state; left in place for the caller to remove.
    identity : dict
        What makes this run this run; a state with another identity is refused.

    Raises
    ------
    TrainingDiverged
        Before the step is taken, if a loss or gradient is not finite.
    """
    return drive(optimise(parts, groups, backward, ids, config, state, identity, progress))


Steps = Generator[tuple[Backward, np.ndarray, int], Step, T]
"""A run as a generator, so that several runs can share a backward pass: it yields the backward function, the optimizer
batch and the step's number; receives the `Step` once the gradients are there; and returns a T."""


def drive(run: Steps[T]) -> T:
    """Compute the backward passes that a run yields until it ends."""
    result: T
    try:
        backward, batch, step = next(run)
    except StopIteration as end:
        result = end.value
        return result
    while True:
        outcome = backward(batch, step)
        try:
            backward, batch, step = run.send(outcome)
        except StopIteration as end:
            result = end.value
            return result


def optimise(
    parts: dict[str, nn.Module],
    groups: list[Group],
    backward: Backward,
    ids: list[str],
    config: TrainConfig,
    state: Path,
    identity: dict[str, Any],
    progress: OnProgress | None = None,
) -> Steps[Fit]:
    """The loop of `fit` as a generator that yields its backward passes."""
    steps_per_pass = -(-len(ids) // config.batch_size)
    total = min(config.epochs * steps_per_pass, config.max_steps or sys.maxsize)
    if config.sharding and not any(is_sharded(p) for group in groups for p in group.parameters):
        raise ValueError("training.sharding is for alignment by torchrun -m trainers FILE alone")
    step_optimizer = optimizer(groups, config)
    run, window = _resumed(load_state(state, identity), parts, step_optimizer)
    began, before, first = time.perf_counter(), run.seconds, run.step
    shown = {name for _, name, _ in run.curve}
    examples = 0
    for batch in shuffled(len(ids), config.batch_size, config.seed, run.step):
        if run.step >= total:
            break
        share = rate(run.step, total, config)
        for group in step_optimizer.param_groups:
            group["lr"] = group["peak"] * share
        step_optimizer.zero_grad(set_to_none=True)
        outcome = yield backward, batch, run.step
        loss = outcome.losses.mean()
        norms = {group.name: clip_gradient(group.parameters, group.max_grad_norm) for group in groups}
        _check_finite(run.step, outcome.losses, loss, norms, [ids[i] for i in batch])
        step_optimizer.step()

        run.step += 1
        run.tokens += outcome.tokens
        run.seconds = before + time.perf_counter() - began
        examples += len(batch)
        window.append({"loss": loss, **outcome.metrics, **{f"grad_norm/{name}": norm for name, norm in norms.items()}})
        if run.step % config.log_every == 0 or run.step == total:
            means, speed = _means(window), examples / (run.seconds - before)
            means |= {
                "learning_rate": step_optimizer.param_groups[0]["lr"],
                "examples_per_second": speed,
                "tokens": float(run.tokens),
            }
            window.clear()
            if progress and is_first():
                left = (total - run.step) * (run.seconds - before) / (run.step - first)
                progress(Progress(run.step, total, means["loss"], speed, left))
        else:
            # A metric's first value is an entry of its own: the first step of an auxiliary term is worth seeing.
            means = _means([{name: value for name, value in window[-1].items() if name not in shown}])
        run.curve += [(run.step, name, value) for name, value in means.items()]
        shown |= means.keys()
        if config.checkpoint_every and (run.step % config.checkpoint_every == 0 or run.step == total):
            reached = _state(run, parts, step_optimizer, identity, window)
            if is_first():
                save_state(state, reached)
    return run


def _resumed(
    saved: dict[str, Any] | None, parts: dict[str, nn.Module], step_optimizer: torch.optim.Optimizer
) -> tuple[Fit, list[dict[str, Tensor]]]:
    """How far a run has come and the metrics since its curve's last entry; puts saved tensors back."""
    if saved is None:
        return Fit(), []
    with torch.no_grad():
        restore_tensors(parts, saved["parts"])
    restore_optimizer(step_optimizer, saved["optimizer"])
    curve = [tuple(entry) for entry in saved["curve"]]
    return Fit(saved["step"], saved["tokens"], saved["seconds"], curve), saved["window"]


def _check_finite(step: int, losses: Tensor, loss: Tensor, norms: dict[str, Tensor], ids: list[str]) -> None:
    if all(torch.stack([loss, *norms.values()]).isfinite().tolist()):
        return
    bad = [name for name, finite in zip(ids, losses.isfinite().tolist(), strict=True) if not finite]
    what = "the loss" if bad else f"the gradient of the {next(n for n, v in norms.items() if not v.isfinite())}"
    raise TrainingDiverged(step, what, bad or ids)


def _means(window: list[dict[str, Tensor]]) -> dict[str, float]:
    """Mean of every metric over the steps that have it, each step's tensor averaged first."""
    names = dict.fromkeys(name for metrics in window for name in metrics)
    present = {name: [metrics[name] for metrics in window if name in metrics] for name in names}
    means = {name: [value.float().mean().cpu() for value in values] for name, values in present.items()}
    return {name: torch.stack(values).mean().item() for name, values in means.items()}


def _state(
    run: Fit,
    parts: dict[str, nn.Module],
    step_optimizer: torch.optim.Optimizer,
    identity: dict[str, Any],
    window: list[dict[str, Tensor]],
) -> dict[str, Any]:
    return {
        "identity": json.dumps(identity),
        "step": run.step,
        "tokens": run.tokens,
        "seconds": run.seconds,
        "curve": run.curve,
        "window": window,
        "parts": whole(trained_tensors(parts)),
        "optimizer": whole(step_optimizer.state_dict()),
    }

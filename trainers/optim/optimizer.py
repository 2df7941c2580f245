"""Optimizers and learning-rate schedules."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from trainers.config import TrainConfig
from trainers.optim.sharding import is_sharded, spread


@dataclass(frozen=True)
class Group:
    """Parameters that share a learning rate and a limit on their gradient's norm."""

    name: str
    parameters: list[nn.Parameter]
    learning_rate: float
    max_grad_norm: float

    @classmethod
    def of(cls, name: str, module: nn.Module, learning_rate: float, max_grad_norm: float) -> Group:
        """The parameters of a module that are trained."""
        trained = [parameter for parameter in module.parameters() if parameter.requires_grad]
        return cls(name, trained, learning_rate, max_grad_norm)


def optimizer(groups: list[Group], config: TrainConfig) -> torch.optim.Optimizer:
    """RMSprop (α = 0.99, as HALOs and DPO use it) or AdamW over the groups."""
    parameters = [
        {"params": part, "lr": group.learning_rate, "peak": group.learning_rate}
        for group in groups
        for part in _by_sharding(group.parameters)
    ]
    if config.optimizer == "rmsprop":
        return torch.optim.RMSprop(parameters, alpha=0.99, weight_decay=config.weight_decay)
    return torch.optim.AdamW(parameters, weight_decay=config.weight_decay, fused=True)


def restore_optimizer(step_optimizer: torch.optim.Optimizer, saved: dict[str, Any]) -> None:
    """Put a saved optimizer state back, spread as the parameters are."""
    parameters = [p for group in step_optimizer.param_groups for p in group["params"]]
    state = {
        number: {name: spread(value, parameters[number]) for name, value in moments.items()}
        for number, moments in saved["state"].items()
    }
    step_optimizer.load_state_dict({**saved, "state": state})


def _by_sharding(parameters: list[nn.Parameter]) -> list[list[nn.Parameter]]:
    """Whole and sharded parameters apart, since one fused step cannot take both."""
    whole, sharded = ([p for p in parameters if is_sharded(p) == wanted] for wanted in (False, True))
    return [part for part in (whole, sharded) if part]


def rate(step: int, total_steps: int, config: TrainConfig) -> float:
    """The share of the peak learning rate at a step (from 0): linear warm-up, then the schedule.

    Examples
    --------
    >>> config = TrainConfig(warmup_steps=2, schedule="linear")
    >>> [rate(step, 6, config) for step in range(6)]
    [0.5, 1.0, 1.0, 0.75, 0.5, 0.25]
    """
    if step < config.warmup_steps:
        return (step + 1) / config.warmup_steps
    done = (step - config.warmup_steps) / max(1, total_steps - config.warmup_steps)
    return {"constant": 1.0, "linear": 1 - done, "cosine": 0.5 * (1 + math.cos(math.pi * done))}[config.schedule]

"""One policy on several processes: each takes its share of every optimizer batch.

Started by ``torchrun -m trainers FILE`` (see docs/scaling.md). The loss is a mean over the examples of the whole batch,
so gradients are summed over processes, never averaged: how many examples a process has changes no number. A loss that
couples examples is differentiated with respect to the gathered log-probabilities of the whole batch.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor, nn

from trainers.model.logprobs import hidden_states
from trainers.model.packing import plan
from trainers.model.precision import precision
from trainers.model.rows import lay_out
from trainers.objective.gradient import MicroBatch, Objective, Outputs
from trainers.optim.loop import Step
from trainers.optim.sharding import is_sharded


def deal(sizes: np.ndarray, processes: int) -> list[np.ndarray]:
    """Split the examples of a batch over processes: the next largest goes to whoever has the fewest tokens.

    Examples
    --------
    >>> [part.tolist() for part in deal(np.array([5, 4, 3, 3, 1]), 2)]
    [[0, 3], [1, 2, 4]]
    """
    parts: list[list[int]] = [[] for _ in range(processes)]
    load = np.zeros(processes, np.int64)
    for item in np.argsort(-sizes, kind="stable").tolist():
        process = int(load.argmin())
        parts[process].append(item)
        load[process] += sizes[item]
    return [np.sort(np.array(part, np.int64)) for part in parts]


@dataclass
class SharedObjective(Objective):
    """An objective whose gradient is computed by all processes together."""

    def backward(self, batch: np.ndarray, step: int) -> Step:
        """Add the gradient of the mean loss over `batch`; every process ends with the same."""
        if len(batch) < dist.get_world_size():
            raise ValueError(f"a batch of {len(batch)} examples is too small for {dist.get_world_size()} processes")
        outcome = super().backward(batch, step)
        self._keep_pace(batch)
        mine = sum(self.sizes[batch[members]].sum() for members, _ in self._plan(batch))
        losses, metrics = outcome.losses, outcome.metrics
        if not self.method.needs.couples_examples:
            members = torch.from_numpy(self._own(batch))
            losses = torch.zeros_like(losses).index_copy_(0, members, losses[members])
            total(losses)
            share = len(members) / len(batch)
            metrics = {name: total(value.float().mean() * share) for name, value in metrics.items()}
        tokens = int(total(torch.tensor(float(mine), device=losses.device)))
        for parameter in self._replicated():
            if parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)
            total(parameter.grad)
        return Step(losses, metrics, tokens)

    def _replicated(self) -> list[nn.Parameter]:
        modules = [module for module in (self.policy, self.value_head, self.task_head) if module is not None]
        return [p for module in modules for p in module.parameters() if p.requires_grad and not is_sharded(p)]

    def _own(self, batch: np.ndarray, process: int | None = None) -> np.ndarray:
        """Positions in the batch that a process takes, by default this one."""
        return deal(self.sizes[batch], dist.get_world_size())[dist.get_rank() if process is None else process]

    def _plan(self, batch: np.ndarray, process: int | None = None) -> list[MicroBatch]:
        own = self._own(batch, process)
        height = 1 if self.layout.shared else self.lengths.shape[1]
        micro_batches = plan(self.sizes[batch[own]], self.layout, height)
        rows = [[own[row].tolist() for row in micro_batch] for micro_batch in micro_batches]
        return [(np.sort(np.concatenate(micro_batch)), micro_batch) for micro_batch in rows]

    def _must_collect(self, micro_batches: list[MicroBatch]) -> bool:
        return self.method.needs.couples_examples

    def _collect(self, batch: np.ndarray, micro_batches: list[MicroBatch], keep: Tensor | None) -> Outputs:
        collected = super()._collect(batch, micro_batches, keep)
        with torch.no_grad():
            self._keep_pace(batch)
        return collected.map(total)

    def _keep_pace(self, batch: np.ndarray) -> None:
        """Run as many passes as the process with the most: where weights are sharded, all take part in every pass.

        A pass that is one too many is backward from gradients of zero.
        """
        sharded = [parameter for parameter in self.policy.parameters() if is_sharded(parameter)]
        if not sharded:
            return
        own = self._plan(batch)
        missing = max(len(self._plan(batch, process)) for process in range(dist.get_world_size())) - len(own)
        rows = [batch[row].tolist() for row in own[-1][1]]
        for _ in range(missing):
            with precision(self.config):
                states = hidden_states(self.policy, lay_out(self.encoded, rows, self.layout).to(self.config.device))
            if torch.is_grad_enabled() and sharded[0].grad is not None:  # some losses teach the value head alone
                torch.autograd.backward(states, torch.zeros_like(states))


def total(tensor: Tensor) -> Tensor:
    """The sum over processes, in place."""
    dist.all_reduce(tensor)
    return tensor

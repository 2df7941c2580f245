"""The gradient of a method's loss over one optimizer batch, independent of its split into micro-batches."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from trainers.config import TrainConfig
from trainers.data.encoded import Encoded
from trainers.methods.interface import ABSENT, Loss, MethodBatch, Tokens
from trainers.methods.registry import Method
from trainers.model.logprobs import by_response, hidden_states, score
from trainers.model.packing import Layout, example_sizes, plan
from trainers.model.precision import precision
from trainers.model.response_logprobs import score_all
from trainers.model.rows import lay_out
from trainers.objective.moving_reference import MovingReference
from trainers.objective.value_head import ValueHead
from trainers.optim.loop import Step

MicroBatch = tuple[np.ndarray, list[list[int]]]
"""Positions in the optimizer batch, ascending, and the same positions as rows."""


@dataclass(frozen=True)
class MethodInputs:
    """Quantities of every example that are fixed before training; tensors on the training device.

    Parameters
    ----------
    desirable : Tensor of bool, shape (N, K)
    references : Tensor, shape (M, N, K) or None
    rewards : Tensor, shape (N, K) or None
    mismatched : Encoded or None
        Every prompt with a response of another example, K = 1.
    mismatched_reference : Tensor, shape (N,) or None
    embeddings : Tensor, shape (N, D) or None
    value_held_out : Tensor of bool, shape (N,) or None
        Examples with prompts that V does not learn from, on which its condition is measured.
    task : Encoded or None
        The responses that the method's own head is trained on.
    task_labels : Tensor of int64, shape (N, K) or None
        Their labels.
    objective_rewards : Tensor, shape (N, K, M) or None
    objective_weights : Tensor, shape (N, M) or None
    token_reference, token_behaviour : Tensor, shape (len(tokens),) or None
        The log-probability of every response token under the reference and under the policy that drew it, at its
        place in ``encoded.tokens``.
    """

    desirable: Tensor
    references: Tensor | None = None
    rewards: Tensor | None = None
    mismatched: Encoded | None = None
    mismatched_reference: Tensor | None = None
    embeddings: Tensor | None = None
    value_held_out: Tensor | None = None
    task: Encoded | None = None
    task_labels: Tensor | None = None
    objective_rewards: Tensor | None = None
    objective_weights: Tensor | None = None
    token_reference: Tensor | None = None
    token_behaviour: Tensor | None = None


@dataclass(frozen=True)
class Outputs:
    """Outputs of the forward passes for some examples, in the order of the batch.

    Parameters
    ----------
    logps : Tensor, shape (N, K), or (N, K, T) for a loss on tokens
        T is the longest response of the optimizer batch.
    values : Tensor, shape (N,) or (N, K, T), or None
    task : Tensor, shape (N, K, ...), or None
        Outputs of the method's own head.
    collision : Tensor, shape (N, K, T), or None
        Without a gradient.
    """

    logps: Tensor
    values: Tensor | None
    task: Tensor | None
    collision: Tensor | None = None

    def present(self) -> list[Tensor]:
        """The tensors that are there and carry a gradient."""
        return [tensor for tensor in (self.logps, self.values, self.task) if tensor is not None]

    def tables(self) -> list[Tensor]:
        """The tensors that are there."""
        return [*self.present(), *(() if self.collision is None else (self.collision,))]

    def map(self, function: Callable[[Tensor], Tensor]) -> Outputs:
        """`function` of every tensor that is there."""
        others = (self.values, self.task, self.collision)
        return Outputs(function(self.logps), *(None if tensor is None else function(tensor) for tensor in others))


@dataclass
class Objective:
    """A method on a policy and a data set; the loop calls `backward`.

    Parameters
    ----------
    value_head : ValueHead or None
    task_head : Module or None
        The head of ``method.needs.task``.
    moving_reference : MovingReference or None
        That of ``method.needs.reference_update``; ``inputs.references`` then belongs to it.
    """

    method: Method
    policy: nn.Module
    value_head: ValueHead | None
    encoded: Encoded
    inputs: MethodInputs
    layout: Layout
    config: TrainConfig
    task_head: nn.Module | None = None
    moving_reference: MovingReference | None = None
    sizes: np.ndarray = field(init=False)
    lengths: Tensor = field(init=False)

    def __post_init__(self) -> None:
        self.sizes = example_sizes(self.encoded, self.layout)
        self.lengths = torch.from_numpy(self.encoded.lengths.copy()).to(self.config.device)

    def __call__(self, batch: np.ndarray, step: int) -> Step:
        """The same as `backward`."""
        return self.backward(batch, step)

    def backward(self, batch: np.ndarray, step: int) -> Step:
        """Add the gradient of the mean loss over `batch`.

        The loss of a micro-batch is differentiated at once unless examples depend on each other. Then
        the log-probabilities of the whole batch are collected first, the loss is differentiated with
        respect to them, and each micro-batch is run again to carry its share back (a gradient cache).
        """
        moving, inputs = self.moving_reference, self.inputs
        if moving is None or inputs.references is None:
            return self._gradient(batch, step)
        tokens = inputs.token_reference
        moving.refresh(inputs.references[0], self.encoded, batch, step, self.layout, self.config, tokens)
        outcome = self._gradient(batch, step)
        moving.follow_gradient(step)
        return outcome

    def _gradient(self, batch: np.ndarray, step: int) -> Step:
        """`backward` under a reference that stands still."""
        micro_batches = self._plan(batch)
        keep = self.value_head.keep(len(batch), self.config.seed, step) if self.value_head else None
        mismatched = None if self.inputs.mismatched is None else self._mismatched(self.inputs.mismatched, batch)
        if self._must_collect(micro_batches):
            return self._cached(batch, micro_batches, keep, mismatched, step)
        losses = torch.empty(len(batch), device=self.config.device)
        metrics: list[tuple[int, dict[str, Tensor]]] = []
        tokens = 0
        for members, rows in micro_batches:
            outputs, fed = self._forward(batch, members, rows, keep)
            tokens += fed
            method_batch = self._method_batch(batch[members], outputs, _rows(mismatched, members), step)
            loss = self.method.loss(method_batch)
            torch.autograd.backward(loss.per_example.sum() / len(batch))
            losses[members] = loss.per_example.detach()
            metrics.append((len(members), self._metrics(method_batch, loss)))
        return Step(losses, _weighted(metrics), tokens)

    def _cached(
        self,
        batch: np.ndarray,
        micro_batches: list[MicroBatch],
        keep: Tensor | None,
        mismatched: Tensor | None,
        step: int,
    ) -> Step:
        """`backward` by a gradient cache."""
        collected = self._collect(batch, micro_batches, keep)
        leaves = [leaf.requires_grad_() for leaf in collected.present()]
        method_batch = self._method_batch(batch, collected, mismatched, step)
        loss = self.method.loss(method_batch)
        cotangents = torch.autograd.grad(loss.per_example.mean(), leaves, allow_unused=True)
        tokens = 0
        for members, rows in micro_batches:
            outputs = self._forward(batch, members, rows, keep)[0].present()
            shares = [(o, c[members]) for o, c in zip(outputs, cotangents, strict=True) if c is not None]
            torch.autograd.backward([o for o, _ in shares], [c for _, c in shares])
            tokens += sum(int(self.sizes[batch[m]]) for m in members)
        return Step(loss.per_example.detach(), self._metrics(method_batch, loss), tokens)

    def _must_collect(self, micro_batches: list[MicroBatch]) -> bool:
        """Whether examples depend on each other that no micro-batch holds together."""
        return self.method.needs.couples_examples and len(micro_batches) > 1

    def _collect(self, batch: np.ndarray, micro_batches: list[MicroBatch], keep: Tensor | None) -> Outputs:
        """Outputs for the whole batch, without gradients."""
        with torch.no_grad():
            parts = [(members, self._forward(batch, members, rows, keep)[0]) for members, rows in micro_batches]
        whole = parts[0][1].map(lambda part: part.new_zeros(len(batch), *part.shape[1:]))
        for members, outputs in parts:
            for table, part in zip(whole.tables(), outputs.tables(), strict=True):
                table[members] = part
        return whole

    def _plan(self, batch: np.ndarray) -> list[MicroBatch]:
        """Micro-batches of a batch."""
        height = 1 if self.layout.shared else self.lengths.shape[1]
        return [(np.sort(np.concatenate(rows)), rows) for rows in plan(self.sizes[batch], self.layout, height)]

    def _forward(
        self, batch: np.ndarray, members: np.ndarray, rows: list[list[int]], keep: Tensor | None
    ) -> tuple[Outputs, int]:
        """Outputs for the members of a micro-batch, and the number of tokens fed in."""
        items = [batch[row].tolist() for row in rows]
        laid = lay_out(self.encoded, items, self.layout).to(self.config.device)
        with precision(self.config):
            scored = score(self.policy, laid, collisions=self.method.needs.collision)
        fed_order = np.concatenate(rows)
        order, k = np.argsort(fed_order), self.lengths.shape[1]
        task, fed = None, laid.n_tokens
        if self.task_head is not None and self.inputs.task is not None:
            task_rows = lay_out(self.inputs.task, items, self.layout).to(self.config.device)
            with precision(self.config):
                states = hidden_states(self.policy, task_rows)[task_rows.sources]
            task = self.task_head(states, task_rows)
            task = task.view(len(members), k, *task.shape[1:])[order]
            fed += task_rows.n_tokens
        if not self.method.needs.token_level:
            values = None
            if self.value_head is not None and keep is not None:
                values = self.value_head(scored.prompt_hidden[order], keep[members])
            return Outputs(scored.logps.view(len(members), -1)[order], values, task), fed
        longest = scored.token_logps.shape[1]
        padding = (0, int(self.lengths[batch].max()) - longest)

        def padded(table: Tensor) -> Tensor:
            return functional.pad(table.view(len(members), k, -1)[order], padding)

        values = None
        if self.value_head is not None and keep is not None:
            owners = fed_order[(laid.slots // longest // k).cpu().numpy()]
            values = padded(by_response(self.value_head(scored.token_hidden, keep[owners]), laid))
        collision = None if scored.token_collisions is None else padded(scored.token_collisions)
        return Outputs(padded(scored.token_logps), values, task, collision), fed

    def _mismatched(self, mismatched: Encoded, batch: np.ndarray) -> Tensor:
        logps = score_all(self.policy, mismatched.take(batch), self.layout, self.config)
        return torch.from_numpy(logps[:, 0]).to(self.config.device)

    def _method_batch(self, items: np.ndarray, outputs: Outputs, mismatched: Tensor | None, step: int) -> MethodBatch:
        inputs = self.inputs
        references = None if inputs.references is None else inputs.references[:, items]
        logps, values, tokens = outputs.logps, outputs.values, None
        if values is not None and inputs.value_held_out is not None:
            aside = inputs.value_held_out[items].view(-1, *[1] * (values.dim() - 1))
            values = torch.where(aside, values.detach(), values)
        if self.method.needs.token_level:
            tokens = self._tokens(items, outputs)
            # The value before the first token is that of the prompt.
            logps, values = logps.sum(-1), None if values is None else values[:, 0, 0]
        return MethodBatch(
            logps=logps,
            lengths=self.lengths[items],
            desirable=inputs.desirable[items],
            reference=ABSENT if references is None else references[0],
            references=ABSENT if references is None else references,
            mismatched=mismatched,
            mismatched_reference=None if mismatched is None else _rows(inputs.mismatched_reference, items),
            rewards=_rows(inputs.rewards, items),
            objective_rewards=_rows(inputs.objective_rewards, items),
            objective_weights=_rows(inputs.objective_weights, items),
            values=ABSENT if values is None else values,
            embeddings=_rows(inputs.embeddings, items),
            task_outputs=ABSENT if outputs.task is None else outputs.task,
            task_labels=_rows(inputs.task_labels, items),
            tokens=ABSENT if tokens is None else tokens,
            step=step,
        )

    def _tokens(self, items: np.ndarray, outputs: Outputs) -> Tokens:
        logps = outputs.logps
        places, inside = self.encoded.positions(items)
        padding = (0, logps.shape[-1] - places.shape[-1])
        mask = functional.pad(torch.from_numpy(inside).to(logps.device), padding)

        def laid_out(flat: Tensor | None) -> Any:
            return ABSENT if flat is None else functional.pad(flat[torch.from_numpy(places)], padding) * mask

        inputs = self.inputs
        return Tokens(
            logps, mask, laid_out(inputs.token_reference), laid_out(inputs.token_behaviour),
            ABSENT if outputs.values is None else outputs.values,
            ABSENT if outputs.collision is None else outputs.collision,
        )  # fmt: skip

    def _metrics(self, batch: MethodBatch, loss: Loss) -> dict[str, Tensor]:
        """The method's metrics and the log-probabilities behind them, detached."""
        shown = {
            f"logps/{name}": column for name, column in zip(self.encoded.columns, batch.logps.detach().T, strict=True)
        }
        if self.inputs.references is not None and batch.logps.shape[1] > 1:
            shown["delta"] = batch.delta.detach()
        return {name: value.detach() for name, value in loss.metrics.items()} | shown


def _rows(tensor: Tensor | None, items: np.ndarray) -> Any:
    """Rows of a table; `ABSENT` where there is no table."""
    return ABSENT if tensor is None else tensor[items]


def _weighted(parts: Sequence[tuple[int, dict[str, Tensor]]]) -> dict[str, Tensor]:
    """Means over the optimizer batch of the micro-batches' metrics."""
    if len(parts) == 1:
        return parts[0][1]
    total = sum(size for size, _ in parts)
    first = parts[0][1]
    return {
        name: torch.stack([size / total * metrics[name].float().mean() for size, metrics in parts]).sum()
        for name in first
    }

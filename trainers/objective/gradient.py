"""The gradient of a method's loss over one optimizer batch, however it is split into micro-batches."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from trainers.config import TrainConfig
from trainers.data.encoded import Encoded
from trainers.methods.interface import Loss, MethodBatch, Tokens
from trainers.methods.registry import Method
from trainers.model.logprobs import by_response, hidden_states, score
from trainers.model.packing import Layout, example_sizes, plan
from trainers.model.precision import precision
from trainers.model.rows import lay_out
from trainers.objective.degree_head import DegreeHead
from trainers.objective.value_head import ValueHead
from trainers.optim.loop import Step


@dataclass(frozen=True)
class MethodInputs:
    """What is known of every example before training; tensors on the training device.

    Parameters
    ----------
    desirable : Tensor of bool, shape (N, K)
    references : Tensor, shape (M, N, K) or None
    rewards : Tensor, shape (N, K) or None
    mismatched : Encoded or None
        Every prompt with a response of another example, K = 1.
    mismatched_reference : Tensor, shape (N,) or None
    embeddings : Tensor, shape (N, D) or None
    ablated : Encoded or None
        The responses with part of their keywords removed.
    degrees : Tensor of int64, shape (N, K) or None
        How much of them.
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
    ablated: Encoded | None = None
    degrees: Tensor | None = None
    token_reference: Tensor | None = None
    token_behaviour: Tensor | None = None


@dataclass
class Objective:
    """A method on a policy and a data set; `backward` is what the loop calls."""

    method: Method
    policy: nn.Module
    head: ValueHead | None
    encoded: Encoded
    given: MethodInputs
    layout: Layout
    config: TrainConfig
    degree_head: DegreeHead | None = None
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
        micro_batches = self._plan(batch)
        keep = self.head.keep(len(batch), self.config.seed, step) if self.head else None
        mismatched = self._mismatched(batch) if self.given.mismatched is not None else None
        if self._must_collect(micro_batches):
            return self._cached(batch, micro_batches, keep, mismatched, step)
        losses = torch.empty(len(batch), device=self.config.device)
        metrics: list[tuple[int, dict[str, Tensor]]] = []
        tokens = 0
        for members, rows in micro_batches:
            logps, values, degree_logits, fed = self._forward(batch, members, rows, keep)
            tokens += fed
            scores = self._scores(batch[members], logps, values, degree_logits, _rows(mismatched, members), step)
            loss = self.method.loss(scores)
            (loss.per_example.sum() / len(batch)).backward()
            losses[members] = loss.per_example.detach()
            metrics.append((len(members), self._metrics(scores, loss)))
        return Step(losses, _weighted(metrics), tokens)

    def _cached(self, batch: np.ndarray, micro_batches: list, keep, mismatched, step: int) -> Step:
        outputs = self._collect(batch, micro_batches, keep)
        leaves = [leaf.requires_grad_() for leaf in outputs if leaf is not None]
        scores = self._scores(batch, *outputs, mismatched, step)
        loss = self.method.loss(scores)
        cotangents = torch.autograd.grad(loss.per_example.mean(), leaves, allow_unused=True)
        tokens = 0
        for members, rows in micro_batches:
            outputs = [out for out in self._forward(batch, members, rows, keep)[:3] if out is not None]
            shares = [(o, c[members]) for o, c in zip(outputs, cotangents, strict=True) if c is not None]
            torch.autograd.backward([o for o, _ in shares], [c for _, c in shares])
            tokens += sum(int(self.sizes[batch[m]]) for m in members)
        return Step(loss.per_example.detach(), self._metrics(scores, loss), tokens)

    def _must_collect(self, micro_batches: list) -> bool:
        """Whether examples depend on each other that no micro-batch holds together."""
        return self.method.needs.couples_examples and len(micro_batches) > 1

    def _collect(self, batch: np.ndarray, micro_batches: list, keep: Tensor | None) -> list[Tensor | None]:
        """Log-probabilities, values and degree logits in the order of the batch, without gradients."""
        with torch.no_grad():
            parts = [(members, self._forward(batch, members, rows, keep)[:3]) for members, rows in micro_batches]
        collected: list[Tensor | None] = []
        for number in range(3):
            first = parts[0][1][number]
            whole = None if first is None else first.new_zeros(len(batch), *first.shape[1:])
            for members, outputs in parts if whole is not None else ():
                whole[members] = outputs[number]
            collected.append(whole)
        return collected

    def _plan(self, batch: np.ndarray) -> list[tuple[np.ndarray, list[list[int]]]]:
        """Micro-batches as (their positions in the batch, ascending; rows of such positions)."""
        height = 1 if self.layout.shared else self.lengths.shape[1]
        return [(np.sort(np.concatenate(rows)), rows) for rows in plan(self.sizes[batch], self.layout, height)]

    def _forward(self, batch: np.ndarray, members: np.ndarray, rows: list[list[int]], keep: Tensor | None):
        """Log-probabilities, values and degree logits in the order of the batch, and the number of tokens fed in.

        The first two are per token, padded to the longest response of the whole batch, where the method wants them so.
        """
        laid = lay_out(self.encoded, [batch[row] for row in rows], self.layout).to(self.config.device)
        with precision(self.config):
            scored = score(self.policy, laid)
        fed_order = np.concatenate(rows)
        order, k = np.argsort(fed_order), self.lengths.shape[1]
        degree_logits, fed = None, laid.n_tokens
        if self.degree_head is not None:
            ablated = lay_out(self.given.ablated, [batch[row] for row in rows], self.layout).to(self.config.device)
            with precision(self.config):
                states = hidden_states(self.policy, ablated)[ablated.sources]
            degree_logits = self.degree_head(states, ablated).view(len(members), k, -1)[order]
            fed += ablated.n_tokens
        if self.method.needs.token_level:
            padding = (0, int(self.lengths[batch].max()) - scored.token_logps.shape[1])

            def padded(table: Tensor) -> Tensor:
                return functional.pad(table.view(len(members), k, -1)[order], padding)

            values = None
            if self.head:
                owners = fed_order[(laid.slots // scored.token_logps.shape[1] // k).cpu().numpy()]
                values = padded(by_response(self.head(scored.token_hidden, keep[owners]), laid))
            return padded(scored.token_logps), values, degree_logits, fed
        values = self.head(scored.prompt_hidden[order], keep[members]) if self.head else None
        return scored.logps.view(len(members), -1)[order], values, degree_logits, fed

    def _mismatched(self, batch: np.ndarray) -> Tensor:
        from trainers.model.response_logprobs import score_all

        logps = score_all(self.policy, self.given.mismatched.take(batch), self.layout, self.config)
        return torch.from_numpy(logps[:, 0]).to(self.config.device)

    def _scores(self, items: np.ndarray, logps: Tensor, values, degree_logits, mismatched, step: int) -> MethodBatch:
        given = self.given
        references = _rows(given.references, (slice(None), items))
        tokens = None
        if self.method.needs.token_level:
            tokens = self._tokens(items, logps, values)
            # The value before the first token is that of the prompt.
            logps, values = logps.sum(-1), None if values is None else values[:, 0, 0]
        return MethodBatch(
            logps=logps,
            lengths=self.lengths[items],
            desirable=given.desirable[items],
            reference=None if references is None else references[0],
            references=references,
            mismatched=mismatched,
            mismatched_reference=None if mismatched is None else given.mismatched_reference[items],
            rewards=_rows(given.rewards, items),
            values=values,
            embeddings=_rows(given.embeddings, items),
            degree_logits=degree_logits,
            degrees=_rows(given.degrees, items),
            tokens=tokens,
            step=step,
        )

    def _tokens(self, items: np.ndarray, logps: Tensor, values: Tensor | None) -> Tokens:
        places, inside = self.encoded.positions(items)
        padding = (0, logps.shape[-1] - places.shape[-1])
        mask = functional.pad(torch.from_numpy(inside).to(logps.device), padding)

        def laid_out(given: Tensor | None) -> Tensor | None:
            return None if given is None else functional.pad(given[torch.from_numpy(places)], padding) * mask

        given = self.given
        return Tokens(logps, mask, laid_out(given.token_reference), laid_out(given.token_behaviour), values)

    def _metrics(self, scores: MethodBatch, loss: Loss) -> dict[str, Tensor]:
        """The method's metrics and the log-probabilities behind them, detached."""
        shown = {
            f"logps/{name}": column for name, column in zip(self.encoded.columns, scores.logps.detach().T, strict=True)
        }
        if scores.reference is not None and scores.logps.shape[1] > 1:
            shown["delta"] = scores.delta.detach()
        return {name: value.detach() for name, value in loss.metrics.items()} | shown


def _rows(tensor: Tensor | None, index) -> Tensor | None:
    return None if tensor is None else tensor[index]


def _weighted(parts: list[tuple[int, dict[str, Tensor]]]) -> dict[str, Tensor]:
    """Means over the optimizer batch of the micro-batches' metrics."""
    if len(parts) == 1:
        return parts[0][1]
    total = sum(size for size, _ in parts)
    return {name: sum(size / total * metrics[name].float().mean() for size, metrics in parts) for name in parts[0][1]}

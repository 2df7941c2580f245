"""The value head over a run: fitted before the first step, judged on held-out prompts at the start and at the end."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor, nn

from trainers.config import TrainConfig
from trainers.data.encoded import Encoded
from trainers.methods.interface import Needs, ValueFit
from trainers.model.logprobs import by_response, score
from trainers.model.packing import Layout, example_sizes, plan
from trainers.model.precision import precision
from trainers.model.rows import lay_out
from trainers.objective.prompt_states import Prompts, last_states, read_prompt_states
from trainers.objective.value_fit import Condition, Points, condition, fit_value, held_out
from trainers.objective.value_head import ValueHead
from trainers.processes import is_shared


@dataclass(frozen=True)
class ValueCourse:
    """States and rewards from which V learns and on which it is judged.

    Parameters
    ----------
    fit : ValueFit
    per_token : bool
        Whether V is read at response tokens: then each response stands for itself by one of them, drawn evenly.
    encoded : Encoded
    layout : Layout
    prompts : Prompts
    rewards : Tensor, shape (N, K)
    learned, kept_out : Points or None
        Under the base; None where V is not fitted beforehand.
    """

    fit: ValueFit
    per_token: bool
    encoded: Encoded
    layout: Layout
    prompts: Prompts
    rewards: Tensor
    learned: Points | None = None
    kept_out: Points | None = None

    @classmethod
    def begin(
        cls,
        needs: Needs,
        policy: nn.Module,
        encoded: Encoded,
        layout: Layout,
        rewards: Tensor | None,
        config: TrainConfig,
        stored: tuple[str | Path, str | None] | None = None,
    ) -> ValueCourse | None:
        """The course of a method's value head; None where it does not learn the rewards.

        Parameters
        ----------
        policy : Module
            Still untouched.
        stored : pair of path and str or None
            File of `trainers.objective.prompt_states.write_prompt_states`, and the hash of the base's weights that
            it must have; None to compute the states here.
        """
        if needs.value_fit is None or rewards is None:
            return None
        course = cls(needs.value_fit, needs.token_level, encoded, layout, Prompts.of(encoded), rewards)
        if not needs.value_fit.before:
            return course
        states = None
        if stored is not None and not needs.token_level:
            states = read_prompt_states(stored[0], course.prompts, stored[1], config)
        learned, kept_out = (course._points(policy, config, aside, states) for aside in (False, True))
        return cls(course.fit, course.per_token, encoded, layout, course.prompts, rewards, learned, kept_out)

    def held_out_examples(self) -> Tensor:
        """Examples whose prompts V does not learn from, shape (N,)."""
        aside = np.isin(self.prompts.of_example, held_out(len(self.prompts.tokens)))
        return torch.from_numpy(aside).to(self.rewards.device)

    def start(self, head: ValueHead, policy: nn.Module, config: TrainConfig) -> dict[str, float]:
        """Fit the head, if it is fitted beforehand; its condition on held-out prompts."""
        if self.learned is None or self.kept_out is None:
            return {}
        fit_value(head, self.learned, self.kept_out, self.fit.expectile, config.seed)
        if is_shared():  # kernels may round differently on each process
            for parameter in head.parameters():
                dist.broadcast(parameter.data, 0)
        return self._figures(head, policy, config, self.kept_out, "before the first step", "_start")

    def end(self, head: ValueHead, policy: nn.Module, config: TrainConfig) -> dict[str, float]:
        """The head's condition on held-out prompts under the trained policy; none where V follows the policy."""
        if self.fit.follows_policy:
            return {}
        return self._figures(head, policy, config, None, "at the end", "")

    def _figures(
        self, head: ValueHead, policy: nn.Module, config: TrainConfig, points: Points | None, when: str, suffix: str
    ) -> dict[str, float]:
        """The head's condition on the held-out prompts; `points` are theirs, where they are known already."""
        examples = np.flatnonzero(self.held_out_examples().cpu().numpy())
        if not len(examples):
            return {}
        if self.per_token:
            values = response_values(policy, head, self.encoded.take(examples), self.layout, config).flatten()
        else:
            points = points or self._points(policy, config, True, None)
            with torch.no_grad():
                values = head(points.states, None)[points.owners]
        rewards = self.rewards[torch.from_numpy(examples)].flatten().float()
        judged: Condition = condition(values, rewards, self.fit.expectile)
        judged.warn(when)
        figures = {"residual": judged.residual, "explained": judged.explained, "sound": float(judged.is_sound())}
        return {f"value_{name}{suffix}": figure for name, figure in figures.items()}

    def _points(self, policy: nn.Module, config: TrainConfig, aside: bool, states: np.ndarray | None) -> Points:
        """Points of the held-out prompts, or of the others."""
        out = held_out(len(self.prompts.tokens))
        chosen = out if aside else np.setdiff1d(np.arange(len(self.prompts.tokens)), out)
        examples = np.flatnonzero(np.isin(self.prompts.of_example, chosen))
        rewards = self.rewards[torch.from_numpy(examples)].flatten().float()
        columns = self.rewards.shape[1]
        if not len(examples):
            nothing = torch.zeros((0, 1), device=self.rewards.device)
            return Points(nothing, rewards, np.zeros(0, np.int64))
        if self.per_token:
            drawn = response_states(policy, self.encoded.take(examples), self.layout, config)
            return Points(drawn, rewards, np.arange(len(rewards)))
        if states is None:
            part = last_states(policy, [self.prompts.tokens[number] for number in chosen], config)
        else:
            part = states[chosen]
        owners = np.repeat(np.searchsorted(chosen, self.prompts.of_example[examples]), columns)
        return Points(torch.from_numpy(part).to(self.rewards.device), rewards, owners)


def response_values(model: nn.Module, head: ValueHead, encoded: Encoded, layout: Layout, config: TrainConfig) -> Tensor:
    """Mean of V over the states that predict a response's tokens, shape (N, K), float32."""
    n, k = encoded.lengths.shape
    values = torch.empty((n, k), device=config.device)
    for rows in plan(example_sizes(encoded, layout), layout, 1 if layout.shared else k):
        members = np.concatenate(rows)
        laid = lay_out(encoded, [list(row) for row in rows], layout).to(config.device)
        with torch.no_grad(), precision(config):
            hidden = score(model, laid).token_hidden
            table = by_response(head(hidden, None), laid)
        values[torch.from_numpy(members)] = (table.sum(1) / laid.lengths).view(len(members), k)
    return values


def response_states(model: nn.Module, encoded: Encoded, layout: Layout, config: TrainConfig) -> Tensor:
    """The state that predicts one token of every response, drawn evenly, shape (N·K, H), float32."""
    n, k = encoded.lengths.shape
    drawn = (np.random.default_rng(0).random((n, k)) * encoded.lengths).astype(np.int64)
    parts: list[tuple[np.ndarray, Tensor]] = []
    for rows in plan(example_sizes(encoded, layout), layout, 1 if layout.shared else k):
        members = np.concatenate(rows)
        laid = lay_out(encoded, [list(row) for row in rows], layout).to(config.device)
        with torch.no_grad(), precision(config):
            hidden = score(model, laid).token_hidden.float()
        lengths = encoded.lengths[members].reshape(-1)
        places = np.cumsum(lengths) - lengths + drawn[members].reshape(-1)
        parts.append((members, hidden[torch.from_numpy(places).to(hidden.device)].view(len(members), k, -1)))
    table = torch.empty((n, k, parts[0][1].shape[-1]), device=config.device)
    for members, states in parts:
        table[torch.from_numpy(members)] = states
    return table.view(n * k, -1)

"""On-policy alignment: training on samples of the policy itself and their rewards."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, runtime_checkable

import numpy as np
import torch
from torch import Tensor, nn

from trainers.config import OnProgress, TrainConfig, TrainResult, describe
from trainers.data.encoded import Encoded, Parts
from trainers.data.encoding import Limits, encode_pairs
from trainers.data.records import Pair, read_pairs
from trainers.data.tokenizer import load_tokenizer
from trainers.files import refuse_existing
from trainers.finish import finish
from trainers.methods.registry import Method, OnPolicyMethod
from trainers.model.loading import context_length, hidden_size, layout_for, load, prepare, weights_hash
from trainers.model.origin import origin_of
from trainers.model.packing import Layout
from trainers.model.precision import precision
from trainers.model.response_logprobs import score_all, score_tokens
from trainers.model.sampling import sample
from trainers.objective.base_cache import WATCHED, weight_bits
from trainers.objective.displacement import displacement
from trainers.objective.gradient import MethodInputs, Objective
from trainers.objective.value_head import ValueHead
from trainers.optim.checkpoint import state_file
from trainers.optim.loop import Step, fit
from trainers.optim.optimizer import Group
from trainers.tokens.dialogue import Text
from trainers.tokens.template import end_tokens, read_response

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast


class Reward(Protocol):
    """A function from prompts and the texts of responses to a finite number for each."""

    def __call__(self, prompts: Sequence[Text], responses: Sequence[str], /) -> np.ndarray: ...


@runtime_checkable
class ObjectiveReward(Protocol):
    """A reward that is a weighted sum over objectives, for methods that take these one by one."""

    @property
    def objective_weights(self) -> Sequence[float]:
        """A weight for each objective."""

    def by_objective(self, prompts: Sequence[Text], responses: Sequence[str]) -> np.ndarray:
        """Finite rewards by objective, unweighted, shape (n, M); the users' comes first."""


@dataclass(frozen=True)
class Round:
    """The policy's samples for one batch of prompts, their rewards and log-probabilities."""

    encoded: Encoded
    inputs: MethodInputs
    metrics: dict[str, torch.Tensor]


@dataclass(frozen=True)
class Sampler:
    """Draws a `Round` of samples for a batch of prompts.

    Parameters
    ----------
    prompts : Encoded
        Examples whose prompts are answered.
    asked : list of str or of messages
        The same prompts as the records have them.
    limit : int
        Longest response, tokens.
    context : int
        Longest prompt and response together, tokens.
    """

    method: OnPolicyMethod
    policy: nn.Module
    reference: nn.Module | None
    tokenizer: PreTrainedTokenizerFast
    prompts: Encoded
    asked: list[Text]
    reward: Reward
    limit: int
    context: int
    layout: Layout
    config: TrainConfig

    def draw(self, batch: np.ndarray, step: int) -> Round:
        """Sample, judge and score; everything random is a function of seed and step."""
        encoded = self._sample(batch, step)
        lengths = encoded.lengths
        rewards = self._judge(batch, encoded)
        device = self.config.device

        def tensor(array: np.ndarray) -> Tensor:
            return torch.from_numpy(array).to(device)

        inputs = MethodInputs(torch.zeros(lengths.shape, dtype=torch.bool, device=device))
        if isinstance(self.reward, ObjectiveReward) and self.method.needs.objective_rewards:
            weights = np.tile(np.asarray(self.reward.objective_weights, np.float32), (len(batch), 1))
            inputs = replace(inputs, objective_rewards=tensor(rewards), objective_weights=tensor(weights))
            rewards = (rewards * weights[:, None]).sum(-1)
        inputs = replace(inputs, rewards=tensor(rewards))
        if self.reference is not None:
            sums, tokens = score_tokens(self.reference, encoded, self.layout, self.config)
            inputs = replace(inputs, references=tensor(sums)[None], token_reference=tensor(tokens))
        if self.method.updates > 1:
            behaviour = score_tokens(self.policy, encoded, self.layout, self.config)[1]
            inputs = replace(inputs, token_behaviour=tensor(behaviour))
        metrics = {
            "response_tokens": tensor(lengths).float().mean(),
            "truncated_share": 1 - tensor(encoded.complete).float().mean(),
        }
        return Round(encoded, inputs, metrics)

    def _sample(self, batch: np.ndarray, step: int) -> Encoded:
        starts, sizes = self.prompts.prompts[batch].T
        prompts = [
            self.prompts.tokens[start : start + size].tolist() for start, size in zip(starts, sizes, strict=True)
        ]
        shape = (len(batch), self.method.samples, self.limit)
        uniforms = np.random.default_rng([self.config.seed, step]).random(shape)
        with precision(self.config):
            drawn = sample(self.policy, self.tokenizer, prompts, uniforms, self.context, self.config.micro_batch_tokens)
        ends = end_tokens(self.tokenizer)
        parts = Parts(tuple(f"sample_{k}" for k in range(self.method.samples)))
        for row, (item, prompt) in enumerate(zip(batch, prompts, strict=True)):
            ended = [response[-1] in ends for response in drawn[row]]
            parts.add(self.prompts.ids[item], int(item), prompt, drawn[row], ended)
        return parts.encoded()

    def _judge(self, batch: np.ndarray, encoded: Encoded) -> np.ndarray:
        """Rewards, shape (N, K), or by objective, shape (N, K, M)."""
        ids = [encoded.tokens[start : start + size].tolist() for start, size in encoded.responses.reshape(-1, 2)]
        prompts = [self.asked[item] for item in batch for _ in encoded.columns]
        responses = [read_response(self.tokenizer, *sample) for sample in zip(prompts, ids, strict=True)]
        if isinstance(self.reward, ObjectiveReward) and self.method.needs.objective_rewards:
            rewards = np.asarray(self.reward.by_objective(prompts, responses), np.float32)
        else:
            rewards = np.asarray(self.reward(prompts, responses), np.float32)
        rewards = rewards.reshape(*encoded.lengths.shape, *rewards.shape[1:])
        if not np.isfinite(rewards).all():
            place = tuple(np.argwhere(~np.isfinite(rewards))[0])
            raise ValueError(f"the reward of a sample for {encoded.ids[place[0]]} is {rewards[place]}")
        return rewards


@dataclass
class OnPolicy:
    """A method on samples of the policy itself; the loop calls `backward`."""

    sampler: Sampler
    value_head: ValueHead | None = None
    round: Round | None = field(default=None, init=False)

    def backward(self, batch: np.ndarray, step: int) -> Step:
        """Add the gradient of the mean loss over the samples for `batch`; new samples are drawn every `updates` steps."""
        sampler = self.sampler
        fresh = self.round is None or step % sampler.method.updates == 0
        now = sampler.draw(batch, step) if self.round is None or fresh else self.round
        self.round = now
        objective = Objective(
            sampler.method, sampler.policy, self.value_head, now.encoded, now.inputs, sampler.layout, sampler.config
        )  # fmt: skip
        taken = objective.backward(np.arange(len(now.encoded)), step)
        # A later update is about the prompts of its round's first step, not about those of `batch`.
        losses = taken.losses if fresh else taken.losses.mean().expand(len(batch))
        shown = {name: value for name, value in taken.metrics.items() if not name.startswith("logps/")}
        shown.pop("delta", None)
        sampled = int(now.encoded.lengths.sum()) if fresh else 0
        return Step(losses, shown | now.metrics, taken.tokens + sampled)


def align_online(
    method: Method,
    base: str | Path,
    data: str | Path | Sequence[Pair],
    reward: Reward,
    config: TrainConfig,
    out: str | Path,
    *,
    max_new_tokens: int,
    progress: OnProgress | None = None,
) -> TrainResult:
    """Train a policy on its own samples.

    A batch is `batch_size` prompts with ``method.samples`` responses each; a pass asks the prompt of every pair, so
    that a run takes as many steps as one on the pairs themselves. With several updates a round's prompts are
    those of its first step.

    Parameters
    ----------
    method : Method
        One that needs samples of its own, such as ``grpo`` or ``rloo``.
    base : path or hub id
        Where the policy starts, and the reference.
    data : path, hub id or pairs
        Its prompts are sampled from; its responses only measure how the policy moved.
    reward : callable
        Judges samples: the prompt as its record has it, text or messages, and the text of the response. For a method that takes rewards by objective it is an `ObjectiveReward` too.
    config : TrainConfig
        `checkpoint_every` must be a multiple of ``method.updates``, as samples are not part of a state.
    out : path
        Folder for the finished checkpoint. An interrupted run is taken up again from the state beside it, with the
        samples that it would have drawn.
    max_new_tokens : int
        Longest response; a sample cut there has no end, and the reward sees what there is.
    progress : callable, optional

    Returns
    -------
    TrainResult
        Sampled tokens count among its ``tokens``, sampling and judging among its ``seconds``.

    Raises
    ------
    ValueError
        For a method that learns from given responses, a checkpoint interval that splits a round, or a reward that
        is not finite or gives no objectives where the method takes them one by one.
    TrainingDiverged
        If a loss or gradient is not finite; the last saved state stays.
    """
    out, name = Path(out), type(method).__name__
    refuse_existing(out)
    on_policy = _on_policy(method, config)
    if method.needs.objective_rewards and not isinstance(reward, ObjectiveReward):
        raise ValueError(f"{name} needs a reward by objective, and this one gives their sum alone")
    records = read_pairs(data) if isinstance(data, str | Path) else data
    policy, tokenizer = load(base, config.device, weight_bits(config)), load_tokenizer(base)
    origin = weights_hash(policy)
    policy = prepare(policy, config)
    reference = load(base, config.device, weight_bits(config)) if method.needs.references else None
    limits = Limits.of(config, context_length(policy))
    encoded = encode_pairs(records, tokenizer, limits)
    longest = max(encoded.longest(), min(int(encoded.prompts[:, 1].max()) + max_new_tokens, limits.max_tokens))
    layout = layout_for(policy, longest, config.micro_batch_tokens)
    watched = encoded.take(np.sort(np.random.default_rng(0).permutation(len(encoded))[:WATCHED]))
    start = score_all(policy, watched, layout, config)

    asked: list[Text] = [records[row].prompt for row in encoded.kept]
    sampler = Sampler(
        on_policy, policy, reference, tokenizer, encoded, asked, reward, max_new_tokens, limits.max_tokens, layout,
        config,
    )  # fmt: skip
    identity = {
        "kind": "align_online",
        "method": [name, asdict(method)],
        "base": origin,
        "config": describe(config),
        "data": encoded.fingerprints(),
        "max_new_tokens": max_new_tokens,
    }
    modules, groups, value_head = _trainables(method, policy, config)
    backward = OnPolicy(sampler, value_head).backward
    run = fit(modules, groups, backward, encoded.ids, config, state_file(out), identity, progress)

    health = displacement(watched, _chosen(watched), start, score_all(policy, watched, layout, config))
    facts = {
        "method": name,
        "method parameters": asdict(method),
        "base": f"{origin_of(base)} (weights sha256 {origin})",
        "data": f"the prompts of {len(encoded)} pairs, tokens sha256 {', '.join(encoded.fingerprints().values())}",
    }
    return finish(out, f"{name} policy", policy, tokenizer, config, run, facts, health)


def _trainables(
    method: Method, policy: nn.Module, config: TrainConfig
) -> tuple[dict[str, nn.Module], list[Group], ValueHead | None]:
    """The modules that a state holds, by name, the groups of the optimizer, and the value head if one is needed."""
    modules: dict[str, nn.Module] = {"policy": policy}
    groups = [Group.of("policy", policy, config.learning_rate, config.max_grad_norm)]
    value_head = None
    if method.needs.values:
        modules["value"] = value_head = ValueHead(hidden_size(policy), config.seed).to(config.device)
        rate = config.value_learning_rate or config.learning_rate
        groups.append(Group.of("value", value_head, rate, config.value_max_grad_norm))
    return modules, groups, value_head


def _chosen(pairs: Encoded) -> np.ndarray:
    """Mask of the chosen responses, which are the first of each pair."""
    chosen = np.zeros(pairs.lengths.shape, dtype=bool)
    chosen[:, 0] = True
    return chosen


def _on_policy(method: Method, config: TrainConfig) -> OnPolicyMethod:
    """`method` as one that learns from its own samples."""
    if not (method.needs.on_policy and isinstance(method, OnPolicyMethod)):
        raise ValueError(f"{type(method).__name__} learns from given responses; train it with align")
    if config.checkpoint_every and config.checkpoint_every % method.updates:
        raise ValueError(
            f"checkpoint_every ({config.checkpoint_every}) must be a multiple of updates ({method.updates})"
        )
    return method

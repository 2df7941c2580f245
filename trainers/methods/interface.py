"""Interface of a method: the batch that its loss receives, the loss that it returns, and what it declares to need."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from torch import Tensor, nn

from trainers.data.records import Pair

ABSENT: Any = None
"""Default of a quantity that a batch holds only for methods that declare it; a loss is never called without it."""


@dataclass(frozen=True)
class Tokens:
    """The same responses token by token, padded behind the end of each to the longest, T tokens.

    Parameters
    ----------
    logps : Tensor, shape (N, K, T)
        log π_θ(y_t | x, y_<t), nats; their sum over T is `MethodBatch.logps`.
    mask : Tensor of bool, shape (N, K, T)
        True on response tokens.
    reference : Tensor, shape (N, K, T) or None
        The same under the frozen reference model.
    behaviour : Tensor, shape (N, K, T) or None
        The same under the policy that drew the responses; None where that is the policy itself.
    values : Tensor, shape (N, K, T) or None
        V(x, y_<t) from the value head where y_t is predicted; gradient reaches the head only.
    collision : Tensor, shape (N, K, T) or None
        log Σ_v π_θ(v | x, y_<t)² over the vocabulary, nats, without a gradient: the expected probability of a token that
        the policy itself draws there.

    Raises
    ------
    ValueError
        If `reference`, `behaviour` or `collision` carries a gradient.
    """

    logps: Tensor
    mask: Tensor
    reference: Tensor = ABSENT
    behaviour: Tensor | None = None
    values: Tensor = ABSENT
    collision: Tensor = ABSENT

    def __post_init__(self) -> None:
        _check_frozen(self, "reference", "behaviour", "collision")

    @property
    def log_ratios(self) -> Tensor:
        """log π_θ(y_t|x, y_<t) − log π_ref(y_t|x, y_<t), 0 beyond the end, shape (N, K, T)."""
        return (self.logps - self.reference) * self.mask


@dataclass(frozen=True)
class MethodBatch:
    """Per-response quantities of N examples with K responses each.

    For paired data K = 2 and column 0 is the chosen, column 1 the rejected response. For unpaired data
    K = 1 and `desirable` is the label. For K-wise data the columns carry `rewards`.

    Parameters
    ----------
    logps : Tensor, shape (N, K)
        SUM log-probability of each response under the policy, nats, fp32, EOS included.
    lengths : Tensor, shape (N, K)
        Number of response tokens, EOS included, at least 1.
    desirable : Tensor of bool, shape (N, K)
    reference : Tensor, shape (N, K) or None
        The same under the frozen reference model.
    references : Tensor, shape (M, N, K) or None
        The same under every reference model of a method that declares several.
    mismatched, mismatched_reference : Tensor, shape (N,) or None
        SUM log-probability of a response drawn from another example of the batch, for KTO's baseline.
        None in a batch of one, which has no other example.
    rewards : Tensor, shape (N, K) or None
        Designer reward R: the weighted sum of the experiment's designer objectives. On-policy it is the whole
        reward of each sample, the users' and the designer's.
    objective_rewards : Tensor, shape (N, K, M) or None
        The reward of each response by each of M objectives, unweighted: the designer objectives of the experiment, and
        on-policy the users' before them.
    objective_weights : Tensor, shape (N, M) or None
        Their weights, the same for every example.
    values : Tensor, shape (N,) or None
        V(x) from the value head at the last prompt token; gradient reaches the head only.
    embeddings : Tensor, shape (N, D) or None
        Prompt embeddings.
    task_outputs : Tensor, shape (N, K, ...) or None
        Outputs of the method's own head on the responses of its own task.
    task_labels : Tensor of int64, shape (N, K) or None
        Labels of these responses.
    tokens : Tokens or None
        Log-probs and values token by token, for methods that declare it.
    step : int
        Optimizer steps already taken.

    Raises
    ------
    ValueError
        If a frozen quantity carries a gradient: a loss may reach `logps` and `values` only.
    """

    logps: Tensor
    lengths: Tensor
    desirable: Tensor
    reference: Tensor = ABSENT
    references: Tensor = ABSENT
    mismatched: Tensor | None = None
    mismatched_reference: Tensor | None = None
    rewards: Tensor = ABSENT
    objective_rewards: Tensor = ABSENT
    objective_weights: Tensor = ABSENT
    values: Tensor = ABSENT
    embeddings: Tensor = ABSENT
    task_outputs: Tensor = ABSENT
    task_labels: Tensor = ABSENT
    tokens: Tokens = ABSENT
    step: int = 0

    def __post_init__(self) -> None:
        _check_frozen(self, "reference", "references", "mismatched_reference", "rewards", "embeddings")

    @property
    def log_ratios(self) -> Tensor:
        """ρ = log π_θ(y|x) − log π_ref(y|x), shape (N, K)."""
        return self.logps - self.reference

    @property
    def delta(self) -> Tensor:
        """Δ = ρ(chosen) − ρ(rejected), shape (N,)."""
        return self.log_ratios[:, 0] - self.log_ratios[:, 1]

    @property
    def mean_logps(self) -> Tensor:
        """Log-probability per response token, shape (N, K)."""
        return self.logps / self.lengths


def _check_frozen(batch: Tokens | MethodBatch, *names: str) -> None:
    for name in names:
        frozen = getattr(batch, name)
        if frozen is not None and frozen.requires_grad:
            raise ValueError(f"scores: {name} is frozen and must not carry a gradient; detach it")


@dataclass(frozen=True)
class Loss:
    """A method's answer: one loss per example and detached figures for the log.

    The trainer averages `per_example` over the optimizer batch, so accumulation cannot change it.
    `metrics` are scalars or tensors (averaged for the log).
    """

    per_example: Tensor
    metrics: Mapping[str, Tensor]


@dataclass(frozen=True)
class ValueFit:
    """How V(x) learns the rewards of a prompt's responses.

    Parameters
    ----------
    expectile : float, in (0, 1)
        Expectile of the rewards that V is taught; 0.5 is the mean.
    before : bool
        Fit V on the base's prompt states before the first step; in any case it learns beside the policy.
    follows_policy : bool
        The value that V is taught moves with the policy, so that rewards alone judge V at the start only.
    """

    expectile: float
    before: bool
    follows_policy: bool = False


class Task(Protocol):
    """A task of a method's own: further responses with labels, and a head that is trained on them beside the policy.

    A frozen data class in the method's file. The responses take a second forward pass through the policy; the head
    reads the hidden states that predict their tokens, and its gradient reaches the policy.
    """

    @property
    def name(self) -> str:
        """Name of the head in states, curves and messages."""

    def head(self, hidden: int, seed: int) -> nn.Module:
        """The head.

        Called with the states at ``rows.sources``, shape (S, H), and the micro-batch's
        `trainers.model.rows.Rows` of M responses, it returns outputs of shape (M, ...), float32.
        """

    def responses(self, pairs: Sequence[Pair]) -> tuple[list[Pair], np.ndarray]:
        """For each pair one with the task's two responses, and their labels, shape (N, 2), int64."""


@dataclass(frozen=True)
class ReferenceUpdate:
    """Movement of the reference towards the policy: θ_ref ← α·θ + (1 − α)·θ_ref at every τ-th step.

    Parameters
    ----------
    mix : float, in (0, 1]
        α; 1 copies the policy.
    interval : int, in [1, inf)
        τ, in optimizer steps.
    lagged : bool
        Move after the gradient of a step and before the policy's own movement, so that the reference is at least one
        step behind; otherwise before the gradient.
    """

    mix: float
    interval: int
    lagged: bool = False


@dataclass(frozen=True)
class Needs:
    """Inputs that a method declares to need; checked when the plan is made.

    Parameters
    ----------
    pairs : bool
        A chosen and a rejected response per prompt.
    references : int
        How many frozen reference models.
    rewards : bool
        Designer rewards of the dataset's responses.
    values : bool
        A value head V(x) on the policy's last prompt token.
    value_fit : ValueFit or None
        How that head learns the rewards; None where values belong to tokens or are fitted to something else.
    mismatched : bool
        A response of another example scored under this prompt (KTO's baseline).
    embeddings : bool
        Prompt embeddings.
    encoder : str or None
        The sentence-embedding model that gives them; None for the base's own mean hidden states.
    base_responses : bool
        A third response to each prompt, such as one of the base model, as an additional third column.
    task : Task or None
        A task of the method's own with a head of its own.
    groups : bool
        Any number of responses per prompt will do, as the rewards alone tell them apart.
    token_level : bool
        Log-probs token by token, and with `values` a value for every token.
    on_policy : bool
        Several responses to each prompt that the policy itself has drawn, with their whole reward.
    objective_rewards : bool
        With `on_policy` or `rewards`, the rewards by single objectives.
    collision : bool
        With `token_level`, the expected probability of a token drawn in each one's place.
    reference_update : ReferenceUpdate or None
        How the reference follows the policy; None for a frozen one.
    couples_examples : bool
        The loss of one example depends on others of the batch, so that accumulation must see the whole
        optimizer batch before it differentiates.
    """

    pairs: bool = True
    references: int = 0
    rewards: bool = False
    values: bool = False
    value_fit: ValueFit | None = None
    mismatched: bool = False
    embeddings: bool = False
    encoder: str | None = None
    base_responses: bool = False
    task: Task | None = None
    groups: bool = False
    token_level: bool = False
    on_policy: bool = False
    objective_rewards: bool = False
    collision: bool = False
    reference_update: ReferenceUpdate | None = None
    couples_examples: bool = False

    def missing(self, batch: MethodBatch) -> list[str]:
        """What a batch lacks, in words.

        Examples
        --------
        >>> import torch
        >>> unpaired = MethodBatch(torch.zeros(4, 1), torch.ones(4, 1), torch.ones(4, 1, dtype=torch.bool))
        >>> Needs(pairs=True, references=1).missing(unpaired)
        ['a chosen and a rejected response per prompt', 'a reference model']
        """
        examples, responses = batch.logps.shape
        several = self.references > 1

        def has(name: str) -> bool:
            return getattr(batch, name) is not None

        present = {
            "a chosen and a rejected response per prompt": not self.pairs or responses >= 2,
            "a third response as third column": not self.base_responses or responses == 3,
            "a reference model": self.references != 1 or has("reference"),
            f"{self.references} reference models": not several
            or (has("references") and len(batch.references) == self.references),
            "designer rewards": not self.rewards or has("rewards"),
            "a value head": not self.values or has("values"),
            "mismatched responses": not self.mismatched or has("mismatched") or examples == 1,
            "prompt embeddings": not self.embeddings or has("embeddings"),
            f"a {self.task.name if self.task else 'task'} head": self.task is None or has("task_outputs"),
            "several samples per prompt and their rewards": not self.on_policy or (responses >= 2 and has("rewards")),
            "rewards by objective": not self.objective_rewards or has("objective_rewards"),
            "log-probs per token": not self.token_level or has("tokens"),
            "collision probabilities": not self.collision or not has("tokens") or batch.tokens.collision is not None,
        }
        return [what for what, is_there in present.items() if not is_there]

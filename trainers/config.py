"""Settings of a training run: frozen, checked on construction, written into every model card."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass, field, fields
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

from trainers.checks import check_choices, check_counts, check_ranges, require_types

ARCHITECTURES = ("gpt2", "gpt_neox", "llama", "mistral", "qwen2")


ROTARY = ("llama", "mistral", "qwen2")
"""Architectures that rotate the halves of every head."""


def _optional(config: object, *names: str) -> dict[str, int]:
    """The fields of these names that are given, as counts from 1."""
    return {name: 1 for name in names if getattr(config, name) is not None}


@dataclass(frozen=True)
class LoraConfig:
    """Low-rank adapters on the linear layers, trained instead of the weights.

    Parameters
    ----------
    rank, alpha : int
    target_modules : str or tuple of str
    bits : {4, 8} or None
        Keep the frozen weights in so many bits (QLoRA, arXiv 2305.14314: NF4 with double quantisation at 4); needs
        bitsandbytes. None: in float32.

    Examples
    --------
    >>> LoraConfig(rank=8).alpha
    32
    """

    rank: int = 16
    alpha: int = 32
    target_modules: str | tuple[str, ...] = "all-linear"
    bits: int | None = None

    def __post_init__(self) -> None:
        check_counts(self, rank=1, alpha=1)
        if self.bits not in (None, 4, 8):
            raise ValueError(f"bits must be 4 or 8, not {self.bits!r}")
        if self.bits and find_spec("bitsandbytes") is None:
            raise ValueError("lora.bits needs the extra: pip install 'prefrontier[qlora]'")


@dataclass(frozen=True)
class ModelConfig:
    """A causal language model made from scratch; the vocabulary comes from the tokenizer.

    Examples
    --------
    >>> ModelConfig("llama", layers=2, hidden=64, heads=4, intermediate=256, context=128).architecture
    'llama'
    >>> ModelConfig(hidden=65)
    Traceback (most recent call last):
    ValueError: hidden (65) must be a multiple of heads (4)
    """

    architecture: str = "llama"
    layers: int = 2
    hidden: int = 64
    heads: int = 4
    intermediate: int = 256
    context: int = 256

    def __post_init__(self) -> None:
        check_choices(self, architecture=ARCHITECTURES)
        check_counts(self, layers=1, hidden=1, heads=1, intermediate=1, context=1)
        check_ranges(self, layers="[1, 1000]", hidden="[1, 65536]", intermediate="[1, 1048576]", context="[1, 1048576]")
        if self.hidden % self.heads:
            raise ValueError(f"hidden ({self.hidden}) must be a multiple of heads ({self.heads})")
        width = self.hidden // self.heads
        if self.architecture in ROTARY and width > 1 and width % 2:
            raise ValueError(
                f"hidden ({self.hidden}) per head ({self.heads}) is {width}; {self.architecture} needs it even"
            )


@dataclass(frozen=True)
class TrainConfig:
    """How a run optimises. The defaults are the UPO paper's where it states them.

    Parameters
    ----------
    learning_rate : float
        Peak rate of the policy, reached after `warmup_steps` of linear warm-up.
    batch_size : int
        Examples per optimizer step; how they are split into micro-batches changes no number.
    epochs, max_steps : int
        Passes over the data, cut short after `max_steps` if that is given. The last, smaller batch of
        a pass is kept.
    optimizer : {"rmsprop", "adamw"}
    schedule : {"constant", "linear", "cosine"}
        What follows the warm-up; the latter two fall to zero at the last step.
    max_grad_norm : float
        The gradient is scaled down to this norm; infinity switches that off.
    value_learning_rate, value_max_grad_norm : float
        The same for the value head; its rate defaults to the policy's.
    micro_batch_tokens : int
        Tokens per forward pass, padding included; a longer row goes alone.
    max_prompt_tokens : int or None
        Longer prompts lose their beginning. None: a prompt that leaves no room is an error.
    max_tokens : int or None
        Prompt and response together; defaults to the model's context. A response cut here gets no
        end-of-sequence token.
    on_boundary : {"error", "drop"}
        What to do when a prompt's tokens are not a prefix of the tokens of prompt and response.
    dtype : {"float32", "bfloat16"}
        The precision of matrix products; weights, log-softmax and optimizer state stay in float32.
    lora : LoraConfig, mapping of its fields, or None
    sharding : bool
        Spread the layers' weights, gradients and moments over the processes that torchrun started (docs/scaling.md).
    checkpoint_every : int or None
        Steps between resumable states.
    verify_checkpoint : bool
        Load the finished checkpoint as users do and compare its log-probabilities with those of the trained model.
    log_every : int
        Steps between entries of the curve; an entry is the mean over the steps since the last.

    Examples
    --------
    >>> TrainConfig(learning_rate=5e-7, batch_size=32).optimizer
    'rmsprop'
    >>> TrainConfig(optimizer="sgd")
    Traceback (most recent call last):
    ValueError: TrainConfig: optimizer must be one of 'adamw', 'rmsprop', not 'sgd'
    """

    learning_rate: float = 5e-7
    batch_size: int = 32
    epochs: int = 1
    max_steps: int | None = None
    optimizer: str = "rmsprop"
    schedule: str = "constant"
    warmup_steps: int = 150
    weight_decay: float = 0.0
    max_grad_norm: float = 10.0
    value_learning_rate: float | None = None
    value_max_grad_norm: float = 0.1
    micro_batch_tokens: int = 16384
    max_prompt_tokens: int | None = None
    max_tokens: int | None = None
    on_boundary: Literal["error", "drop"] = "error"
    dtype: Literal["float32", "bfloat16"] = "float32"
    gradient_checkpointing: bool = False
    seed: int = 0
    lora: LoraConfig | None = None
    sharding: bool = False
    checkpoint_every: int | None = None
    verify_checkpoint: bool = True
    log_every: int = 10
    device: str = "cpu"

    def __post_init__(self) -> None:
        lora: object = self.lora  # a mapping where the fields come from a file
        if isinstance(lora, dict):
            require_types(LoraConfig, lora)
            object.__setattr__(self, "lora", LoraConfig(**lora))
        check_choices(self, optimizer=("adamw", "rmsprop"), schedule=("constant", "cosine", "linear"))
        check_choices(self, dtype=("bfloat16", "float32"), on_boundary=("drop", "error"))
        check_counts(self, batch_size=1, epochs=1, micro_batch_tokens=1, log_every=1, warmup_steps=0, seed=0)
        check_counts(self, **_optional(self, "max_steps", "max_prompt_tokens", "max_tokens", "checkpoint_every"))
        if not re.fullmatch(r"(cpu|cuda|mps|xpu)(:\d{1,3})?", self.device):
            raise ValueError(f"device must be cpu, cuda, mps or xpu, or one of several as cuda:1, not {self.device!r}")
        check_ranges(self, learning_rate="(0, inf)", weight_decay="[0, inf)")
        rate = ("value_learning_rate",) if self.value_learning_rate is not None else ()
        norms = [name for name in ("max_grad_norm", "value_max_grad_norm") if getattr(self, name) != math.inf]
        check_ranges(self, **dict.fromkeys((*rate, *norms), "(0, inf)"))
        if self.max_prompt_tokens and self.max_tokens and self.max_prompt_tokens >= self.max_tokens:
            raise ValueError(
                f"max_prompt_tokens ({self.max_prompt_tokens}) leaves no room for a response "
                f"within max_tokens ({self.max_tokens})"
            )


@dataclass(frozen=True)
class Progress:
    """Where a run stands; what a progress callback gets."""

    step: int
    total_steps: int
    loss: float
    examples_per_second: float
    seconds_left: float


OnProgress = Callable[[Progress], None]


@dataclass(frozen=True)
class TrainResult:
    """What a finished run gives.

    Parameters
    ----------
    checkpoint : Path
        A plain Hugging Face folder.
    seconds : float
        Wall time of training, resumed parts included, loading and saving not.
    tokens : int
        Tokens that went through the model in training, padding not counted.
    steps : int
    curve : list of (step, metric, value)
    health : dict of float
        Figures about the trained policy and about the data it was given.
    """

    checkpoint: Path
    seconds: float
    tokens: int
    steps: int
    curve: list[tuple[int, str, float]] = field(default_factory=list)
    health: dict[str, float] = field(default_factory=dict)


def describe(config: Any) -> dict[str, Any]:
    """A config as plain, JSON-ready values.

    Examples
    --------
    >>> describe(LoraConfig())
    {'rank': 16, 'alpha': 32, 'target_modules': 'all-linear', 'bits': None}
    """
    plain = {}
    for item in fields(config):
        value = getattr(config, item.name)
        plain[item.name] = describe(value) if hasattr(value, "__dataclass_fields__") else value
    return plain

"""Settings of a training run: frozen, checked on construction, written into every model card."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, fields
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

ARCHITECTURES = ("gpt2", "gpt_neox", "llama", "mistral", "qwen2")


def _choice(what: str, value: str, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise ValueError(f"{what} must be one of {', '.join(choices)}, not {value!r}")


def _positive(config: object, *names: str) -> None:
    for name in names:
        value = getattr(config, name)
        if value is not None and not value > 0:
            raise ValueError(f"{name} must be positive, not {value!r}")


def _not_negative(config: object, *names: str) -> None:
    for name in names:
        if not getattr(config, name) >= 0:
            raise ValueError(f"{name} must not be negative, not {getattr(config, name)!r}")


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
        _positive(self, "rank", "alpha")
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
        _choice("architecture", self.architecture, ARCHITECTURES)
        _positive(self, "layers", "hidden", "heads", "intermediate", "context")
        if self.hidden % self.heads:
            raise ValueError(f"hidden ({self.hidden}) must be a multiple of heads ({self.heads})")


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
    ValueError: optimizer must be one of adamw, rmsprop, not 'sgd'
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
            object.__setattr__(self, "lora", LoraConfig(**lora))
        _choice("optimizer", self.optimizer, ("adamw", "rmsprop"))
        _choice("schedule", self.schedule, ("constant", "cosine", "linear"))
        _choice("dtype", self.dtype, ("bfloat16", "float32"))
        _choice("on_boundary", self.on_boundary, ("drop", "error"))
        _positive(self, "learning_rate", "batch_size", "epochs", "max_steps", "max_grad_norm", "log_every")
        _positive(self, "value_learning_rate", "value_max_grad_norm", "micro_batch_tokens", "checkpoint_every")
        _positive(self, "max_prompt_tokens", "max_tokens")
        _not_negative(self, "warmup_steps", "weight_decay", "seed")
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

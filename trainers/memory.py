"""How much memory training a policy takes at its peak, estimated from shapes alone; needs no torch."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from trainers.config import TrainConfig

HEAD_CHUNK = 1 << 24
"""Logits held at a time, as in `trainers.logprobs`, which this module must not import."""

MOMENTS = {"adamw": 2, "rmsprop": 1}
"""Tensors of the size of the trained parameters that an optimizer keeps."""

PASSED_ON, IN_MLP = 18, 4
"""Values a layer keeps for the backward pass, per token: times the hidden size, and times the intermediate size.

Norms, queries, keys and values before and after rotation, attention's output and the residual stream; in the MLP the
gate, its activation, the other branch and their product. Attention keeps no scores.
"""


@dataclass(frozen=True)
class Shape:
    """What decides a decoder's memory.

    Examples
    --------
    >>> Shape(layers=32, hidden=4096, intermediate=11008, vocabulary=32000).parameters
    6738149376
    """

    layers: int
    hidden: int
    intermediate: int
    vocabulary: int

    @property
    def parameters(self) -> int:
        """Weights of a gated decoder with as many key and value heads as query heads and an untied head."""
        layer = 4 * self.hidden**2 + 3 * self.hidden * self.intermediate
        return self.layers * layer + 2 * self.vocabulary * self.hidden

    @classmethod
    def of_size(cls, parameters: int) -> Shape:
        """A usual shape of that many parameters: 128 times as wide as deep.

        Examples
        --------
        >>> Shape.of_size(7_000_000_000)
        Shape(layers=33, hidden=4211, intermediate=11230, vocabulary=50000)
        """
        hidden = round((parameters * 128 / 12) ** (1 / 3))
        return cls(max(1, round(hidden / 128)), hidden, round(8 / 3 * hidden), 50_000)

    @classmethod
    def of_checkpoint(cls, folder: Path) -> Shape | None:
        """The shape of a Hugging Face folder, or None where its config names its sizes otherwise."""
        file = folder / "config.json"
        if not file.is_file():
            return None
        config = json.loads(file.read_text(encoding="utf-8"))
        hidden = config.get("hidden_size", config.get("n_embd"))
        layers = config.get("num_hidden_layers", config.get("n_layer"))
        if not (hidden and layers and "vocab_size" in config):
            return None
        intermediate = config.get("intermediate_size", config.get("n_inner")) or 4 * hidden
        return cls(layers, hidden, intermediate, config["vocab_size"])


@dataclass(frozen=True)
class Memory:
    """Bytes at the peak, by what they are for."""

    weights: int
    gradients: int
    optimizer: int
    activations: int
    head: int

    @property
    def total(self) -> int:
        return self.weights + self.gradients + self.optimizer + self.activations + self.head


def memory(shape: Shape, config: TrainConfig, tokens: int) -> Memory:
    """Peak bytes of `trainers.align.align` on one device.

    weights 4P (bfloat16 adds a copy, 2P) + gradients 4T + optimizer 4T for each moment + activations + a chunk of logits,
    for P parameters of which T are trained. Without checkpointing a layer keeps what `PASSED_ON` and `IN_MLP` say of
    every token; with it only its input, and one layer at a time the rest.

    Parameters
    ----------
    shape : Shape
    config : TrainConfig
    tokens : int
        Of the optimizer batch; a forward pass has at most ``config.micro_batch_tokens`` of them.

    Examples
    --------
    >>> seven = Shape(layers=32, hidden=4096, intermediate=11008, vocabulary=32000)
    >>> config = TrainConfig(optimizer="adamw", dtype="bfloat16", gradient_checkpointing=True, micro_batch_tokens=4096)
    >>> round(memory(seven, config, 32 * 512).total / 2**30)
    136
    """
    trained = shape.parameters
    if config.lora:
        trained = shape.layers * config.lora.rank * (8 * shape.hidden + 3 * (shape.hidden + shape.intermediate))
    element = 4 if config.dtype == "float32" else 2
    fed = min(tokens, config.micro_batch_tokens)
    layer = fed * element * (PASSED_ON * shape.hidden + IN_MLP * shape.intermediate)
    activations = shape.layers * layer
    if config.gradient_checkpointing:
        activations = shape.layers * fed * 4 * shape.hidden + layer
    copies = 0 if config.dtype == "float32" or (config.lora and config.lora.bits) else 2 * shape.parameters
    chunk = min(HEAD_CHUNK, fed * shape.vocabulary)
    weights = 4 * shape.parameters
    if config.lora:
        within = shape.parameters - 2 * shape.vocabulary * shape.hidden
        weights = round(within * (config.lora.bits or 32) / 8) + 4 * (shape.parameters - within) + 4 * trained
    return Memory(
        weights=weights + copies,
        gradients=4 * trained,
        optimizer=4 * MOMENTS[config.optimizer] * trained,
        activations=activations,
        head=2 * 4 * chunk,
    )

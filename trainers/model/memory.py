"""Peak memory of training a policy, estimated from shapes alone; needs no torch."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from trainers.config import TrainConfig

CHUNK_ELEMENTS = 1 << 24
"""Logits held at a time: 64 MiB in float32."""

MOMENTS = {"adamw": 2, "rmsprop": 1}
"""Tensors of the size of the trained parameters that an optimizer keeps."""

OF_HIDDEN, OF_INTERMEDIATE = 12.0, 3.5
"""Values a layer keeps for the backward pass, per token, in units of the hidden and of the intermediate size.

Norms, queries, keys and values before and after rotation, attention's output, the residual stream; in the MLP its two
branches, the activation and the product. Attention keeps no scores. Measured on a Llama (tests/trainers/model/test_memory.py).
"""

ELEMENT = {"float32": 4.0, "bfloat16": 8 / 3}
"""Bytes of such a value; under bfloat16 the norms and the residual stream stay in float32."""


@dataclass(frozen=True)
class Shape:
    """The sizes of a decoder that decide its memory.

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
        Shape(layers=33, hidden=4211, intermediate=11229, vocabulary=50000)
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
    """Bytes at the peak, by their use."""

    weights: int
    gradients: int
    optimizer: int
    activations: int
    transient: int

    @property
    def total(self) -> int:
        return self.weights + self.gradients + self.optimizer + self.activations + self.transient


def memory(shape: Shape, config: TrainConfig, tokens: int) -> Memory:
    """Peak bytes of `trainers.align.align` on one device.

    weights 4P (bfloat16 adds a copy, 2P) + gradients 4T + optimizer 4T for each moment + activations +
    a chunk of logits,
    for P parameters of which T are trained. Without checkpointing a layer keeps `OF_HIDDEN` times the hidden and
    `OF_INTERMEDIATE` times the intermediate size of every token; with it only its input, and one layer at a time the
    rest.

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
    116
    """
    trained = shape.parameters
    if config.lora:
        trained = shape.layers * config.lora.rank * (8 * shape.hidden + 3 * (shape.hidden + shape.intermediate))
    element = ELEMENT[config.dtype]
    fed = min(tokens, config.micro_batch_tokens)
    layer = fed * element * (OF_HIDDEN * shape.hidden + OF_INTERMEDIATE * shape.intermediate)
    activations = shape.layers * layer
    if config.gradient_checkpointing:
        activations = shape.layers * fed * 4 * shape.hidden + layer
    # The logits and the gradients inside an MLP are not there at the same time.
    logits, in_mlp = 5 * min(CHUNK_ELEMENTS, fed * shape.vocabulary), 3 * fed * element * shape.intermediate
    bits = config.lora.bits if config.lora else None
    copies = 2 * shape.parameters if config.dtype == "bfloat16" and not bits else 0
    weights = 4 * shape.parameters
    if config.lora:
        outside = 2 * shape.vocabulary * shape.hidden
        weights = (shape.parameters - outside) * (bits or 32) // 8 + 4 * outside + 4 * trained
    return Memory(
        weights=weights + copies,
        gradients=4 * trained,
        optimizer=4 * MOMENTS[config.optimizer] * trained,
        activations=round(activations),
        transient=round(max(logits, in_mlp)),
    )

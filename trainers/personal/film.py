r"""Feature-wise modulation of a decoder: :math:`h \leftarrow (1 + \Gamma_l z) \odot h + B_l z` after every layer l.

:math:`\Gamma` and B are linear without biases and start at 0, so that z = 0, and any z before training, leave the model as it is.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from torch import Tensor, nn
from torch.nn import functional
from transformers.modeling_layers import GradientCheckpointingLayer

from trainers.model.causal_lm import decoder_and_head
from trainers.model.loading import hidden_size
from trainers.model.rows import Rows


def decoder_layers(model: nn.Module) -> list[nn.Module]:
    """The layers of a causal language model's decoder, from the first one on.

    Raises
    ------
    ValueError
        For a model whose layers cannot be told apart from its other parts.
    """
    layers: list[nn.Module] = [
        part for part in decoder_and_head(model)[0].modules() if isinstance(part, GradientCheckpointingLayer)
    ]
    if not layers:
        raise ValueError(f"{type(model).__name__} has no decoder layers that can be modulated")
    return layers


class Modulation(nn.Module):
    """Γ and B of every layer."""

    def __init__(self, layers: int, hidden: int, width: int) -> None:
        super().__init__()
        self.gains = nn.ModuleList(nn.Linear(width, hidden, bias=False) for _ in range(layers))
        self.shifts = nn.ModuleList(nn.Linear(width, hidden, bias=False) for _ in range(layers))
        for layer in (*self.gains, *self.shifts):
            nn.init.zeros_(layer.weight)

    @classmethod
    def of(cls, model: nn.Module, width: int) -> Modulation:
        """For the layers of a model."""
        return cls(len(decoder_layers(model)), hidden_size(model), width)

    @contextmanager
    def on(self, model: nn.Module, z: Tensor) -> Iterator[None]:
        """The model modulated by z, shape (R, L, width) for rows of L tokens, within the block.

        z of shape (1, 1, width) is that of all tokens.
        """
        hooks = [
            layer.register_forward_hook(self._hook(number, z)) for number, layer in enumerate(decoder_layers(model))
        ]
        try:
            yield
        finally:
            for hook in hooks:
                hook.remove()

    def _hook(self, number: int, z: Tensor) -> Any:
        def modulated(layer: nn.Module, inputs: object, output: Any) -> Any:
            states = output[0] if isinstance(output, tuple) else output
            # Rows can be padded to a fixed width behind the last token.
            vectors = z if z.shape[1] == 1 else functional.pad(z, (0, 0, 0, states.shape[1] - z.shape[1]))
            states = (1.0 + self.gains[number](vectors)) * states + self.shifts[number](vectors)
            return (states, *output[1:]) if isinstance(output, tuple) else states

        return modulated


def by_token(z: Tensor, rows: Rows) -> Tensor:
    """Vectors of examples, shape (N, width), at every token of their rows, shape (R, L, width); padding has those of the first.

    Rows without shared prompts hold the K responses of an example one after the other.
    """
    if rows.example is not None:
        return z[rows.example.clamp(min=0).long()]
    responses = rows.input_ids.shape[0] // len(z)
    return z.repeat_interleave(responses, 0)[:, None].expand(-1, rows.input_ids.shape[1], -1)

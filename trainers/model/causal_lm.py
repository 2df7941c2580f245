"""Parts of a causal language model that training reads: decoder, head, embeddings and configuration."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from torch import Tensor, nn

if TYPE_CHECKING:
    from transformers import PreTrainedConfig


class Embeddings(Protocol):
    """A table with one row for every token."""

    num_embeddings: int
    weight: Tensor


class Head(Protocol):
    """The linear map from hidden states to logits."""

    weight: Tensor
    bias: Tensor | None


class CausalLM(Protocol):
    """A causal language model of transformers, as far as training reads it."""

    config: PreTrainedConfig
    name_or_path: str

    @property
    def base_model(self) -> nn.Module:
        """The decoder."""

    def get_input_embeddings(self) -> Embeddings:
        """The table at the decoder's input."""

    def get_output_embeddings(self) -> Head:
        """The language-model head."""

    def resize_token_embeddings(self, new_num_tokens: int, *, mean_resizing: bool) -> object:
        """Add rows to both tables, or take rows away."""

    def set_attn_implementation(self, attn_implementation: str) -> None:
        """Switch all layers to another attention, by its registered name."""

    def gradient_checkpointing_enable(self) -> None:
        """Recompute the layers' activations in the backward pass."""


def causal_lm(model: Any) -> CausalLM:
    """The language model itself, below its adapters if it has any.

    Parameters
    ----------
    model : PreTrainedModel or PeftModel
    """
    causal: CausalLM = model.get_base_model() if hasattr(model, "get_base_model") else model
    return causal


def decoder_and_head(model: nn.Module) -> tuple[nn.Module, Head]:
    """The decoder, adapters included, and the language-model head."""
    causal = causal_lm(model)
    return causal.base_model, causal.get_output_embeddings()

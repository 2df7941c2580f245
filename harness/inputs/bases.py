"""Pretrained bases as artifacts: a checkpoint that ends its turns as training does and says which weights it holds."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.store.checkpoints import describe_checkpoint
from harness.store.names import CHECKPOINT
from trainers.model.origin import write_origin
from trainers.tokens.template import end_tokens

if TYPE_CHECKING:
    from transformers import PreTrainedModel


def write_base(model: PreTrainedModel, tokenizer: Any, out: Path, plain: bool, origin: str) -> None:
    """Write the checkpoint of a base and what describes it.

    Parameters
    ----------
    out : Path
        Folder of the artifact.
    plain : bool
        Whether the chat template is taken away.
    origin : str
        Which weights these are, for model cards and reports.
    """
    if plain:
        tokenizer.chat_template = None
    if tokenizer.chat_template and model.generation_config is not None:
        # Whatever loads a policy that is trained from here ends its turns where training does.
        configured = model.generation_config.eos_token_id
        ends = {*(configured if isinstance(configured, list) else [configured]), *end_tokens(tokenizer)}
        model.generation_config.eos_token_id = sorted(token for token in ends if token is not None)
    model.save_pretrained(out / CHECKPOINT)
    tokenizer.save_pretrained(out / CHECKPOINT)
    write_origin(out / CHECKPOINT, origin)
    describe_checkpoint(out, weights=origin)

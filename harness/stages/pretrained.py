"""Stage ``pretrained``: a copy in the store of a local or hub model, so that its bytes are its identity."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from harness.store.checkpoints import describe_checkpoint
from harness.store.names import CHECKPOINT
from trainers.tokens.loading import load_tokenizer
from trainers.tokens.template import end_tokens

if TYPE_CHECKING:
    from harness.stages.interface import Inputs, Parameters, Progress


def run(parameters: Parameters, inputs: Inputs, out: Path, progress: Progress = None) -> None:
    from transformers import AutoModelForCausalLM

    source = inputs.get("model", parameters["model"])
    model, tokenizer = AutoModelForCausalLM.from_pretrained(source, dtype="auto"), load_tokenizer(source)
    if parameters.get("template") == "none":
        tokenizer.chat_template = None
    if tokenizer.chat_template and model.generation_config is not None:
        # Whatever loads a policy that is trained from here ends its turns where training does.
        configured = model.generation_config.eos_token_id
        ends = {*(configured if isinstance(configured, list) else [configured]), *end_tokens(tokenizer)}
        model.generation_config.eos_token_id = sorted(token for token in ends if token is not None)
    model.save_pretrained(out / CHECKPOINT)
    tokenizer.save_pretrained(out / CHECKPOINT)
    describe_checkpoint(out)

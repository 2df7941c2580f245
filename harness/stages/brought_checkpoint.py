"""Stage ``brought_checkpoint``: a copy in the store of a model that was trained elsewhere, adapters merged."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from harness.inputs.models import fetch, require_safetensors
from harness.store.checkpoints import describe_checkpoint, model_folder
from harness.store.names import CHECKPOINT
from trainers.tokens.loading import load_tokenizer

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from harness.stages.interface import Inputs, Parameters, Progress

ADAPTER = "adapter_config.json"


def run(parameters: Parameters, inputs: Inputs, out: Path, progress: Progress = None) -> None:
    model = _folder("model", parameters, inputs)
    base = _folder("base", parameters, inputs) if (model / ADAPTER).is_file() else model
    require_safetensors(model)
    require_safetensors(base)
    _merged(base, None if base is model else model).save_pretrained(out / CHECKPOINT)
    with_tokenizer = model if (model / "tokenizer_config.json").is_file() else base
    load_tokenizer(with_tokenizer).save_pretrained(out / CHECKPOINT)
    describe_checkpoint(out)


def _folder(role: str, parameters: Parameters, inputs: Inputs) -> Path:
    """The user's folder, the checkpoint of a GGUF file, or the folder of a model of the hub."""
    return model_folder(inputs[role]) if role in inputs else fetch(parameters[role], parameters[f"{role}_revision"])


def _merged(base: Path, adapter: Path | None) -> PreTrainedModel:
    from transformers import AutoModelForCausalLM

    model: PreTrainedModel = AutoModelForCausalLM.from_pretrained(base, dtype="auto", use_safetensors=True)
    if adapter is None:
        return model
    from peft import PeftModel

    try:
        merged: PreTrainedModel = PeftModel.from_pretrained(model, adapter, use_safetensors=True).merge_and_unload()
    except (RuntimeError, ValueError) as fault:
        first = str(fault).strip().splitlines()
        raise ValueError(f"the adapter does not fit {base.name}: {' '.join(first)[:200]}") from None
    return merged

"""Checkpoints: finished ones as plain Hugging Face folders, unfinished ones as one resumable file.

Everything random in a run is a function of (seed, step): the order of the data, the dropout masks of the
value head, the initial weights. A resumable state therefore needs no generator's state; the number of
steps taken is the position in all of them.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from trainers.files import replacing, write_folder
from trainers.model.causal_lm import causal_lm
from trainers.optim.sharding import spread
from trainers.processes import is_shared

if TYPE_CHECKING:
    from peft import PeftModel
    from transformers import PreTrainedTokenizerFast


def state_file(out: Path) -> Path:
    """Where the unfinished run that will become `out` keeps its state."""
    return out.parent / f"{out.name}.state.pt"


def save_state(file: Path, state: dict[str, Any]) -> None:
    """Write a state so that a kill at any moment leaves the old or the new one whole."""
    with replacing(file) as temporary, open(temporary, "wb") as handle:
        torch.save(state, handle)


def load_state(file: Path, identity: dict[str, Any]) -> dict[str, Any] | None:
    """The state in `file` if there is one and it belongs to this very run.

    Raises
    ------
    ValueError
        Naming what differs, if it belongs to another run.
    """
    if not file.is_file():
        return None
    state = torch.load(file, map_location="cpu", weights_only=True, mmap=is_shared())
    # Through JSON, as tuples and lists are the same thing there.
    theirs, ours = json.loads(state["identity"]), json.loads(json.dumps(identity))
    differing = sorted(key for key in theirs.keys() | ours.keys() if theirs.get(key) != ours.get(key))
    if differing:
        raise ValueError(f"{file} is the state of another run (its {', '.join(differing)} differs); remove it")
    return dict(state)


def trained_tensors(parts: dict[str, nn.Module]) -> dict[str, torch.Tensor]:
    """Every trained parameter of some modules by name; frozen ones can be had from where they came."""
    return {
        f"{part}.{name}": parameter.detach()
        for part, module in parts.items()
        for name, parameter in module.named_parameters()
        if parameter.requires_grad
    }


def restore_tensors(parts: dict[str, nn.Module], saved: dict[str, torch.Tensor]) -> None:
    """Put saved parameters back; names must agree exactly."""
    ours = trained_tensors(parts)
    if ours.keys() != saved.keys():
        raise ValueError(f"the state holds other parameters than the model: {sorted(ours.keys() ^ saved.keys())[:3]}")
    for name, tensor in ours.items():
        tensor.copy_(spread(saved[name], tensor))


def save_model(
    out: Path,
    model: nn.Module,
    tokenizer: PreTrainedTokenizerFast,
    card: str,
    weights: dict[str, torch.Tensor] | None = None,
    check: Callable[[Path], None] | None = None,
) -> Path:
    """A finished checkpoint: weights, tokenizer and model card; for LoRA the merged weights and the adapter.

    The merged weights are what every other tool loads. The adapter, in ``adapter/``, is small and can be
    put on the base again. `weights` are those to write if the model does not hold them all. `check` sees the folder before
    it is moved to `out`; if it raises, nothing is left there.
    """

    def fill(folder: Path) -> None:
        merged: Any = model
        if hasattr(merged, "merge_and_unload"):
            merged.save_pretrained(folder / "adapter")
            full = _is_quantised(merged)
            merged = _on_full_weights(merged, folder / "adapter") if full else merged.merge_and_unload()
        merged.save_pretrained(folder, state_dict=weights)
        tokenizer.save_pretrained(folder)
        (folder / "README.md").write_text(card, encoding="utf-8")
        if check is not None:
            check(folder)

    return write_folder(out, fill)


def _is_quantised(model: PeftModel) -> bool:
    return getattr(model.get_base_model(), "is_quantized", False)


def _on_full_weights(model: PeftModel, adapter: Path) -> nn.Module:
    """The adapter merged into the unquantised base, which every tool can load."""
    import peft
    from transformers import AutoModelForCausalLM

    base = AutoModelForCausalLM.from_pretrained(causal_lm(model).name_or_path, dtype=torch.float32)
    merged: nn.Module = peft.PeftModel.from_pretrained(base, adapter).merge_and_unload()
    return merged


def model_card(title: str, facts: dict[str, Any]) -> str:
    """A model card: what was made from what, how, and with which versions.

    Examples
    --------
    >>> print(model_card("DPO", {"base": "pythia", "steps": 10}).splitlines()[-1])
    | steps | 10 |
    """
    from importlib.metadata import version

    versions = ", ".join(f"{name} {version(name)}" for name in ("torch", "transformers", "peft"))
    rows = {"libraries": versions, **facts}
    table = "\n".join(f"| {key} | {_cell(value)} |" for key, value in rows.items())
    header = "---\nlibrary_name: transformers\npipeline_tag: text-generation\ntags: [prefrontier]\n---\n"
    return f"{header}# {title}\n\n| | |\n|---|---|\n{table}\n"


def _cell(value: Any) -> str:
    if isinstance(value, dict):
        value = ", ".join(f"{key}={inner}" for key, inner in value.items())
    return str(value).replace("|", "\\|").replace("\n", " ")

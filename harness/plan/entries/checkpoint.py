"""Plans of checkpoints that were trained elsewhere: folders, GGUF files, models of the hub and adapters."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from harness.errors import UsageError
from harness.inputs.models import COMMIT, ModelError, require_safetensors, require_vocabulary
from harness.plan.entries.cell import EntryCell, entry_cells, generate_stage, size_of
from harness.plan.shared_stages import SharedStages, as_conversations, gguf_stage, is_gguf, is_plain, sees_conversations
from harness.plan.stage import Model, Source, Stage
from harness.spec.entries import Checkpoint
from harness.spec.experiment import Experiment

ADAPTER = "adapter_config.json"
TOKENIZERS = ("tokenizer.json", "tokenizer_config.json", "vocab.json", "tokenizer.model", "vocab.txt")


@entry_cells.register
def _(entry: Checkpoint, name: str, experiment: Experiment, shared: SharedStages) -> list[EntryCell]:
    section = f"methods.{name}"
    parameters: dict[str, Any] = {}
    inputs: dict[str, Source] = {}
    _add("model", entry.checkpoint, entry.revision, f"{section}.checkpoint", parameters, inputs)
    model = inputs.get("model")
    if entry.base is not None:
        _add("base", entry.base, entry.base_revision, f"{section}.base", parameters, inputs)
    elif isinstance(model, Model) and (model.path / ADAPTER).is_file():
        base, revision = _base_of(model.path, section)
        _add("base", base, entry.base_revision or revision, f"{section}.base", parameters, inputs)
    size = size_of(section, entry.size, experiment)
    policy = _policy(name, entry, experiment, parameters, inputs)
    prompts = as_conversations(experiment, shared, policy).prompts
    return [
        EntryCell(
            entry=name,
            size=size,
            seed=seed,
            settings={key: value for key, value in parameters.items() if value is not None},
            policy=policy,
            generate=generate_stage(experiment, f"{name} {size} seed {seed}", policy, prompts, seed),
        )
        for seed in experiment.seeds
    ]


def _policy(
    name: str, entry: Checkpoint, experiment: Experiment, parameters: dict[str, Any], inputs: dict[str, Source]
) -> Stage:
    """The stage with the checkpoint; a GGUF file's own one where there is nothing to merge into it."""
    if is_gguf(entry.checkpoint):
        template = "none" if is_plain(experiment) else None
        return gguf_stage(
            f"methods.{name}.checkpoint", Path(entry.checkpoint), sees_conversations(experiment), template
        )
    return Stage("brought_checkpoint", f"checkpoint {name}", parameters, inputs)


def _add(
    role: str, named: str, revision: str | None, key: str, parameters: dict[str, Any], inputs: dict[str, Source]
) -> None:
    """A folder or the checkpoint of a GGUF file as an input, or a model of the hub as parameters."""
    path = Path(named)
    if is_gguf(named):
        parameters[role] = path.name
        inputs[role] = gguf_stage(key, path)
        return
    if path.is_dir():
        _require_model(path, key)
        parameters[role] = path.name
        inputs[role] = Model.folder(path)
        return
    if path.exists() or named.startswith(("/", ".", "~")) or named.count("/") != 1:
        raise UsageError(f"{key}: {named}: no such folder (a hub id is written OWNER/NAME)")
    if revision is None or not COMMIT.fullmatch(revision):
        pin = "base_revision" if role == "base" else "revision"
        raise UsageError(
            f"{key}: {named}: a model of the hub needs its commit, as in {pin}: {'0123abcd' * 5} (40 hexadecimal digits)"
        )
    parameters |= {role: named, f"{role}_revision": revision}


def _require_model(folder: Path, key: str) -> None:
    if not (folder / "config.json").is_file() and not (folder / ADAPTER).is_file():
        raise UsageError(f"{key}: {folder} is no model folder: it has neither config.json nor {ADAPTER}")
    try:
        require_safetensors(folder)
    except ModelError as fault:
        raise UsageError(f"{key}: {fault}") from None
    if (folder / ADAPTER).is_file():
        return
    if not any((folder / file).is_file() for file in TOKENIZERS):
        raise UsageError(f"{key}: {folder} has no tokenizer; save the one that it was trained with beside it")
    require_vocabulary(key, folder)


def _base_of(adapter: Path, section: str) -> tuple[str, str | None]:
    """The base that an adapter names, and its commit."""
    try:
        config = json.loads((adapter / ADAPTER).read_text(encoding="utf-8"))
    except ValueError as fault:
        raise UsageError(f"{section}.checkpoint: {adapter / ADAPTER} is not JSON ({fault})") from None
    base = config.get("base_model_name_or_path") if isinstance(config, dict) else None
    if not isinstance(base, str) or not base:
        raise UsageError(
            f"{section}.base: {adapter / ADAPTER} names no base; name the model that the adapter belongs to"
        )
    return base, config.get("revision")

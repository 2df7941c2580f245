"""Stage ``dequantised``: the model of a GGUF file as an ordinary checkpoint in float32."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from harness.inputs.bases import write_base
from harness.inputs.gguf import dequantised, read_header
from harness.store.names import CHECKPOINT
from harness.store.store import sha256
from trainers.optim.checkpoint import model_card

if TYPE_CHECKING:
    from harness.stages.interface import Inputs, Parameters, Progress


def run(parameters: Parameters, inputs: Inputs, out: Path, progress: Progress = None) -> None:
    file, name, header = inputs["file"], parameters["file"], read_header(inputs["file"])
    digest = sha256(file)
    origin = f"{name} ({', '.join(filter(None, (header.name, header.quantisation)))}; file sha256 {digest})"
    write_base(*dequantised(file), out, parameters.get("template") == "none", origin)
    facts = {
        "name": header.name,
        "file": name,
        "file sha256": digest,
        "quantisation": ", ".join(f"{kind} ({count:,} weights)" for kind, count in header.weights.items()),
        "licence": header.fields.get("general.license", "not stated"),
        "precision": "float32, dequantised",
    }
    (out / CHECKPOINT / "README.md").write_text(model_card(header.name or name, facts), encoding="utf-8")

"""Stage ``train_latent_pair``: the soft prompts of all seen users, from which those of unseen users start."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from safetensors.torch import save_file

from harness.inputs.steering.kinds.latent_pair import LatentPair
from harness.inputs.steering.soft_prompts import FILE, fit_centres
from harness.store.names import CHECKPOINT

if TYPE_CHECKING:
    from harness.stages.interface import Inputs, Parameters, Progress


def run(parameters: Parameters, inputs: Inputs, out: Path, progress: Progress = None) -> None:
    settings = LatentPair(**parameters["settings"])
    base, seed, device = inputs["base"] / CHECKPOINT, parameters["seed"], parameters["device"]
    centres = fit_centres(base, inputs["data"], settings.losses, settings.fit, seed, device)
    save_file({name: z.contiguous() for name, z in centres.items()}, out / FILE)

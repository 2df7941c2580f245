"""Stage ``train_lore``: basis rewards fitted to the pairs of the seen users."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from harness.inputs.steering.features import features_of_pairs
from harness.inputs.steering.kinds.lore import LoRe, save_lore
from harness.inputs.steering.pairs import seen_pairs
from harness.store.names import CHECKPOINT
from trainers.personal.features import Standardisation
from trainers.personal.lore import fit_lore

if TYPE_CHECKING:
    from harness.stages.interface import Inputs, Parameters, Progress


def run(parameters: Parameters, inputs: Inputs, out: Path, progress: Progress = None) -> None:
    settings = LoRe(**parameters["settings"])
    pairs, owners = seen_pairs(inputs["data"])
    base = inputs["base"] / CHECKPOINT
    features = features_of_pairs(settings.features, inputs["data"], base, pairs, parameters["device"])
    standard = Standardisation.of(features)
    differences = standard(features[:, 0]) - standard(features[:, 1])
    lore = fit_lore(differences, owners, settings.rank, settings.ridge, parameters["seed"])
    save_lore(out, lore, standard)

"""Stage ``train_np_btl``: a reward conditioned on contexts, fitted to the pairs of the seen users."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from harness.inputs.steering.features import features_of_pairs
from harness.inputs.steering.kinds.np_btl import NPBTL
from harness.inputs.steering.pairs import seen_pairs
from harness.store.names import CHECKPOINT
from trainers.personal.features import Standardisation
from trainers.personal.np_btl import fit_neural_reward, save_neural_reward

if TYPE_CHECKING:
    from harness.stages.interface import Inputs, Parameters, Progress


def run(parameters: Parameters, inputs: Inputs, out: Path, progress: Progress = None) -> None:
    settings = NPBTL(**parameters["settings"])
    pairs, owners = seen_pairs(inputs["data"])
    base = inputs["base"] / CHECKPOINT
    features = features_of_pairs(settings.features, inputs["data"], base, pairs, parameters["device"])
    standard = Standardisation.of(features)
    reward = fit_neural_reward(standard(features), owners, settings.fit, parameters["seed"])
    save_neural_reward(out, reward, standard)

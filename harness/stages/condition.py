"""Stage ``condition``: text that ends every evaluation prompt of a conditioned policy."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, cast

from harness.store.conditions import write_condition
from trainers.data_steps import create
from trainers.data_steps.step import Conditioning

if TYPE_CHECKING:
    from harness.stages.interface import Inputs, Parameters, Progress


def run(parameters: Parameters, inputs: Inputs, out: Path, progress: Progress = None) -> None:
    step = cast(Conditioning, create(parameters["step"], **parameters["parameters"]))
    facts = json.loads((inputs["data"] / "prepared.json").read_text())
    write_condition(out, step.condition(facts))

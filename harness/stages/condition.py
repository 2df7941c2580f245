"""The condition under which a policy is asked: text at the end of its prompts."""

from __future__ import annotations

import json

from harness.store.conditions import write_condition
from trainers.data_steps import create


def run(parameters, inputs, out, progress=None) -> None:
    step = create(parameters["step"], **parameters["parameters"])
    facts = json.loads((inputs["data"] / "prepared.json").read_text())
    write_condition(out, step.condition(facts))

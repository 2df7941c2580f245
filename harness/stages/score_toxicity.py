"""Toxicity of the generations, through Detoxify."""

from __future__ import annotations

from harness.files import read_generations, write_scores
from suites.toxicity import ToxicityScorer, toxicity


def run(parameters, inputs, out, progress=None) -> None:
    scorer = ToxicityScorer(inputs.get("toxicity") or parameters["toxicity_model"])
    write_scores(out, toxicity(read_generations(inputs["generations"]), scorer))

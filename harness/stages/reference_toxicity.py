"""Stage ``reference_toxicity``: toxicity of the evaluation prompts and of their reference responses."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from harness.store.jsonl import read_jsonl
from suites.toxicity.scorer import ToxicityScorer

if TYPE_CHECKING:
    from harness.stages.interface import Inputs, Parameters, Progress


def run(parameters: Parameters, inputs: Inputs, out: Path, progress: Progress = None) -> None:
    source = inputs.get("toxicity") or parameters["toxicity_model"]
    scorer = ToxicityScorer(source, device=parameters["device"])
    rows = read_jsonl(inputs["data"] / "prompts.jsonl")
    prompts = scorer.score([_text(row["prompt"]) for row in rows])
    references = scorer.score([row.get("reference") or "" for row in rows])
    table = {
        row["id"]: {
            "prompt": prompt.maximum,
            "reference": reference.categories if row.get("reference") else None,
        }
        for row, prompt, reference in zip(rows, prompts, references, strict=True)
    }
    (out / "baselines.json").write_text(json.dumps(table))


def _text(prompt: str | list[dict[str, str]]) -> str:
    """A prompt as text; the contents of a conversation's messages, one to a line."""
    return prompt if isinstance(prompt, str) else "\n".join(turn["content"] for turn in prompt)

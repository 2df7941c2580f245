"""Toxicity of the evaluation prompts and of their reference responses, once for all policies."""

from __future__ import annotations

import json

from harness.store.jsonl import read_jsonl
from suites.toxicity.scorer import ToxicityScorer


def run(parameters, inputs, out, progress=None) -> None:
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


def _text(prompt: str | list[dict]) -> str:
    """A conversation as what was said in it."""
    return prompt if isinstance(prompt, str) else "\n".join(turn["content"] for turn in prompt)

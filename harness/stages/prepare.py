"""Stage ``prepare``: training data that a data step makes of the pairs, with its rewards."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import pandas as pd

from harness.store.jsonl import write_jsonl
from harness.store.preferences import PREFERENCES, response_table
from trainers.data.records import Example, Pair, ResponseGroup, read_pairs
from trainers.data_steps import Responses, Source, create
from trainers.data_steps.step import DataStep, Online, Prepared, is_online

if TYPE_CHECKING:
    from harness.stages.interface import Inputs, Parameters, Progress

Record = Pair | Example | ResponseGroup

FILES = dict(zip((Pair, Example, ResponseGroup), PREFERENCES, strict=True))


def run(parameters: Parameters, inputs: Inputs, out: Path, progress: Progress = None) -> None:
    step = create(parameters["step"], **parameters["parameters"])
    source = Source(
        read_pairs(inputs["data"] / "pairs.jsonl"),
        _responses(inputs["data"], inputs, "", parameters["weights"]),
        _responses(inputs["samples"], inputs, "sample_", parameters["weights"]) if "samples" in inputs else None,
    )
    rng = np.random.default_rng(0)
    made = step.prepare(source, rng) if source.samples is None or not is_online(step) else _online(step, source, rng)
    if not made.records:
        raise ValueError(f"{parameters['step']}: nothing was left of {len(source.pairs)} pairs ({dict(made.facts)})")
    write_jsonl(
        out / FILES[type(made.records[0])],
        ({k: v for k, v in asdict(r).items() if v is not None} for r in made.records),
    )
    if made.rewards is not None:
        pd.DataFrame(_reward_rows(made.records, made.rewards)).to_parquet(out / "rewards.parquet", index=False)
    (out / "prepared.json").write_text(json.dumps(dict(made.facts), indent=1))


def _online(step: DataStep, source: Source, rng: np.random.Generator) -> Prepared:
    return cast(Online, step).prepare_online(source, rng)


def _responses(folder: Path, inputs: Mapping[str, Path], prefix: str, weights: Mapping[str, float]) -> Responses:
    """The responses of a folder, equally many for each prompt, with their rewards from other artifacts."""
    table = response_table(folder)
    k = table.response.nunique()
    texts = [text if isinstance(text, str | list) else None for text in table.text]

    def grid(kind: str, columns: Mapping[str, float]) -> np.ndarray | None:
        if f"{prefix}{kind}" not in inputs:
            return None
        rewards = pd.read_parquet(inputs[f"{prefix}{kind}"] / "rewards.parquet").set_index(["id", "response"])
        ordered = rewards.loc[pd.MultiIndex.from_frame(table[["id", "response"]])]
        total = np.zeros(len(ordered))
        for name, weight in columns.items():
            total += weight * ordered[name].to_numpy(float)
        return total.reshape(-1, k)

    return Responses(
        [texts[start : start + k] for start in range(0, len(texts), k)],
        designer=grid("rewards", weights),
        user=grid("user_rewards", {"reward": 1.0}),
    )


def _reward_rows(records: Sequence[Record], rewards: np.ndarray) -> Iterator[dict[str, Any]]:
    for record, of_responses in zip(records, rewards, strict=True):
        for name, reward in zip(_columns(record), of_responses, strict=True):
            yield {"id": record.id, "response": name, "reward": reward}


def _columns(record: Record) -> list[str]:
    """Names of a record's responses in the trainer's tables."""
    if isinstance(record, Example):
        return ["response"]
    if isinstance(record, ResponseGroup):
        return [f"response_{k}" for k in range(len(record.responses))]
    return ["chosen", "rejected", *(["base_response"] if record.base_response is not None else [])]

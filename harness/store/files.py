"""Small readers and writers of the files that pass between stages."""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from pathlib import Path

from harness.store.store import RESUME

CHECKPOINT = "checkpoint"
"""The sub-folder of a training artifact that holds the Hugging Face checkpoint."""

PREFERENCES = ("pairs.jsonl", "examples.jsonl", "groups.jsonl")
"""What a folder of training data may call its records, by their kind."""

CONDITION = "condition.json"


def preferences(folder: Path) -> Path:
    """The training records of a data folder."""
    return next(folder / name for name in PREFERENCES if (folder / name).exists())


def condition_of(inputs: Mapping[str, Path]) -> str:
    """The text that a stage's policy is to be asked with, empty where it is asked plainly."""
    return json.loads((inputs["condition"] / CONDITION).read_text())["condition"] if "condition" in inputs else ""


def response_table(folder: Path):
    """The responses of a folder's pairs, or of its samples: ``id, response, prompt, text``, prompt by prompt.

    `text` is None where a policy gave no complete response.
    """
    import pandas as pd

    if (folder / "samples.jsonl").exists():
        rows = [
            (row["id"], f"sample_{k}", row["prompt"], text)
            for row in read_jsonl(folder / "samples.jsonl")
            for k, text in enumerate(row["responses"])
        ]
    else:
        rows = [
            (row["id"], side, row["prompt"], row[side])
            for row in read_jsonl(folder / "pairs.jsonl")
            for side in ("chosen", "rejected")
        ]
    return pd.DataFrame(rows, columns=["id", "response", "prompt", "text"], dtype=object)


def write_jsonl(path: Path, rows: Iterable[dict]) -> None:
    """One JSON object per line, UTF-8."""
    with path.open("w", encoding="utf-8") as file:
        file.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


def read_jsonl(path: Path) -> list[dict]:
    with path.open(encoding="utf-8") as file:
        return [json.loads(line) for line in file]


def write_scores(out: Path, items: Iterable = (), measures: Iterable = ()) -> None:
    """A suite's rows as the two tables every score artifact has."""
    from harness.records import ItemScore, Measure, to_frame

    to_frame(list(items), ItemScore).to_parquet(out / "items.parquet", index=False)
    to_frame(list(measures), Measure).to_parquet(out / "measures.parquet", index=False)


def read_generations(folder: Path) -> list:
    """The rows of ``generations.parquet`` as `harness.records.Generation`."""
    import pandas as pd

    from harness.records import Generation, Status

    rows = pd.read_parquet(folder / "generations.parquet").to_dict("records")
    return [Generation(**{**row, "status": Status(row["status"])}) for row in rows]


def checkpoint_folder(out: Path) -> Path:
    """Where a training stage writes its checkpoint: what lies beside it survives a kill, so that it can resume."""
    folder = out / RESUME / CHECKPOINT
    shutil.rmtree(folder, ignore_errors=True)
    folder.parent.mkdir(parents=True, exist_ok=True)
    return folder


def write_result(out: Path, result) -> None:
    """Move a finished checkpoint into the artifact, and put beside it what training reported."""
    result.checkpoint.replace(out / CHECKPOINT)
    row = {name: value for name, value in asdict(result).items() if name != "checkpoint"}
    describe_checkpoint(out, **row)


def describe_checkpoint(out: Path, **reported) -> None:
    """Write what is known of the artifact's checkpoint: its size, and what training reported if it was trained here."""
    (out / "result.json").write_text(json.dumps({**reported, "n_parameters": count_parameters(out / CHECKPOINT)}))


def count_parameters(checkpoint: Path) -> int:
    """Number of weights stored in a folder of safetensors; tied ones are stored once."""
    from safetensors import safe_open

    total = 0
    for file in checkpoint.glob("*.safetensors"):
        with safe_open(file, framework="np") as tensors:
            names = tensors.keys()
            total += sum(math.prod(tensors.get_slice(name).get_shape()) for name in names)
    return total


def world_of(folder: Path):
    """The oracle world whose data sets lie in `folder`; None where they are of another source."""
    return oracle_world(folder) if (folder / "world.json").exists() else None


def oracle_world(folder: Path):
    """The oracle world whose data sets lie in `folder`."""
    from suites.oracle.world import World, WorldSpec

    return World.build(WorldSpec(**json.loads((folder / "world.json").read_text())))


def save_problem(path: Path, problem) -> None:
    """An enumerated oracle problem (`suites.oracle.truth.Problem`) as arrays and objective names."""
    import numpy as np

    np.savez_compressed(path, mu=problem.mu, raw=problem.raw, objectives=[o.name for o in problem.objectives])


def load_problem(path: Path):
    """The problem that `save_problem` wrote."""
    import numpy as np

    from suites.objectives import OBJECTIVES
    from suites.oracle.frontier import Problem

    with np.load(path) as stored:
        return Problem(stored["mu"], tuple(OBJECTIVES[name] for name in stored["objectives"]), stored["raw"])

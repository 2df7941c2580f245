"""The world's facts as a benchmark: lm-eval task files that need no network."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from suites.oracle import grammar
from suites.oracle.draws import Split
from suites.oracle.grammar import ANSWER, FIXES, OPENING
from suites.oracle.world import World

TASK = "oracle_fixes"
PLAIN = 1
"""The opening that a question ends with, before the fix."""


def questions(world: World, split: Split = "test") -> list[dict[str, Any]]:
    """``question, choices, answer``: which of all fixes helps, for every prompt of a split.

    The question ends where a plain answer of the corpus names the fix, so that a model that has seen
    only the corpus can answer. All 8 fixes are offered: chance is 1 in 8.

    Examples
    --------
    >>> questions(World.build())[0]["question"]
    'my printer is slow ... . what should i do ? okay . you should just'
    """
    prompts = [world.prompts[row] for row in world.indices(split)]
    return [
        {
            "question": f"{prompt.text} {grammar.OPENINGS[PLAIN]} {grammar.LEADS[0]}",
            "choices": [f"{fix} it ." for fix in FIXES],
            "answer": int(world.right[prompt.device, prompt.problem]),
        }
        for prompt in prompts
    ]


def expected_accuracy(policy: np.ndarray) -> float:
    """Accuracy of a policy (P, 256) on the grammar in the benchmark, a tie counting as half.

    A question counts as answered where the right fix is likelier than the wrong one after its words.

    Examples
    --------
    >>> import numpy as np
    >>> expected_accuracy(np.full((3, 256), 1 / 256))
    0.5
    """
    right, wrong = (policy[:, (OPENING == PLAIN) & (answer == ANSWER)].sum(axis=1) for answer in (0, 2))
    margin = np.where(np.isclose(right, wrong, rtol=1e-9, atol=0.0), 0.0, right - wrong)
    return float((0.5 + 0.5 * np.sign(margin)).mean())


def write_tasks(world: World, folder: Path, split: Split = "test") -> list[str]:
    """Write the task's YAML and JSONL into a folder; returns the task names.

    ``data_files`` in the YAML is relative, so that the folder can be moved; lm-eval alone reads it against
    the working directory.
    """
    folder.mkdir(parents=True, exist_ok=True)
    lines = "".join(json.dumps(question) + "\n" for question in questions(world, split))
    (folder / f"{TASK}.jsonl").write_text(lines, encoding="utf-8")
    task = {
        "task": TASK,
        "dataset_path": "json",
        "dataset_kwargs": {"data_files": {"test": f"{TASK}.jsonl"}},
        "test_split": "test",
        "output_type": "multiple_choice",
        "doc_to_text": "question",
        "doc_to_choice": "choices",
        "doc_to_target": "answer",
        "target_delimiter": " ",
        "num_fewshot": 0,
        "metric_list": [{"metric": "acc", "aggregation": "mean", "higher_is_better": True}],
        "metadata": {"version": 1.0, "world_seed": world.spec.seed},
    }
    (folder / f"{TASK}.yaml").write_text(yaml.safe_dump(task, sort_keys=False), encoding="utf-8")
    return [TASK]

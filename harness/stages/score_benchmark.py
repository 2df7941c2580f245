"""Stage ``score_benchmark``: accuracy on question-answering tasks, through lm-eval.

A conditioned policy answers the world's own questions under its condition. Published benchmarks are run without it,
as elsewhere.
"""

from __future__ import annotations

import tempfile
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from harness.inputs.world import oracle_world
from harness.records import ItemScore
from harness.store.conditions import condition_of
from harness.store.names import CHECKPOINT
from harness.store.tables import write_scores
from suites.benchmarks.runner import benchmark
from suites.benchmarks.tasks import Part, write_tasks
from suites.oracle.world import World

if TYPE_CHECKING:
    from harness.stages.interface import Inputs, Parameters, Progress


def run(parameters: Parameters, inputs: Inputs, out: Path, progress: Progress = None) -> None:
    write_scores(out, _published(parameters, inputs) if "tasks" in parameters else _of_the_world(parameters, inputs))


def _of_the_world(parameters: Parameters, inputs: Inputs) -> list[ItemScore]:
    folder = inputs["data"] / "tasks"
    tasks = sorted(path.stem for path in folder.glob("*.yaml"))
    condition = condition_of(inputs)
    asking = _asking(oracle_world(inputs["data"]), condition) if condition else None
    return benchmark(inputs["policy"] / CHECKPOINT, folder, tasks, asking=asking, device=parameters["device"])


def _asking(world: World, condition: str) -> Callable[[str], str]:
    """A function that inserts the condition between a question.s prompt and the words before its answer."""
    prompts = [prompt.text for prompt in world.prompts]

    def ask(context: str) -> str:
        prompt = next(text for text in prompts if context.startswith(text))
        return prompt + condition + context.removeprefix(prompt)

    return ask


def _published(parameters: Parameters, inputs: Inputs) -> list[ItemScore]:
    files: dict[str, dict[Part, Path]] = defaultdict(dict)
    for name, path in inputs.items():
        if "/" in name:
            owner, _, part = name.partition("/")
            files[owner]["items" if part == "items" else "examples"] = path
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        tasks = write_tasks(parameters["tasks"], files, folder, parameters["fewshot"])
        names = ("limit", "batch_size", "allow_code_execution", "device")
        settings = {name: parameters[name] for name in names}
        return benchmark(inputs["policy"] / CHECKPOINT, folder, tasks, **settings)

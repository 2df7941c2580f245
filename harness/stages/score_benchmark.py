"""Accuracy on question-answering tasks, through lm-eval.

A policy that answers under a condition is asked the world's own questions under it, and published benchmarks plainly,
as everyone else runs them.
"""

from __future__ import annotations

import tempfile
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

from harness.inputs.world import oracle_world
from harness.records import ItemScore
from harness.store.conditions import condition_of
from harness.store.names import CHECKPOINT
from harness.store.tables import write_scores
from suites.benchmarks.runner import benchmark
from suites.benchmarks.tasks import write_tasks
from suites.oracle.world import World
from trainers.data_steps.conditioning import conditioned


def run(parameters, inputs, out, progress=None) -> None:
    write_scores(out, _published(parameters, inputs) if "tasks" in parameters else _of_the_world(parameters, inputs))


def _of_the_world(parameters, inputs) -> list[ItemScore]:
    folder = inputs["data"] / "tasks"
    tasks = sorted(path.stem for path in folder.glob("*.yaml"))
    condition = condition_of(inputs)
    asking = _asking(oracle_world(inputs["data"]), condition) if condition else None
    return benchmark(inputs["policy"] / CHECKPOINT, folder, tasks, asking=asking, device=parameters["device"])


def _asking(world: World, condition: str) -> Callable[[str], str]:
    """Puts the condition behind the prompt that a question begins with, before the words that lead up to the answer."""
    prompts = [prompt.text for prompt in world.prompts]

    def ask(context: str) -> str:
        prompt = next(text for text in prompts if context.startswith(text))
        return conditioned(prompt, condition) + context.removeprefix(prompt)

    return ask


def _published(parameters, inputs) -> list[ItemScore]:
    files = defaultdict(dict)
    for name, path in inputs.items():
        if "/" in name:
            owner, part = name.split("/")
            files[owner][part] = path
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        tasks = write_tasks(parameters["tasks"], files, folder, parameters["fewshot"])
        given = ("limit", "batch_size", "allow_code_execution", "device")
        settings = {name: parameters[name] for name in given}
        return benchmark(inputs["policy"] / CHECKPOINT, folder, tasks, **settings)

"""Benchmark accuracy of the policy, through lm-eval."""

from __future__ import annotations

from collections.abc import Callable

from harness.files import CHECKPOINT, condition_of, oracle_world, write_scores
from suites.benchmark import benchmark
from suites.oracle.world import World
from trainers.conditioning import conditioned


def run(parameters, inputs, out, progress=None) -> None:
    folder = inputs["data"] / "tasks"
    tasks = sorted(path.stem for path in folder.glob("*.yaml"))
    condition = condition_of(inputs)
    asking = _asking(oracle_world(inputs["data"]), condition) if condition else None
    write_scores(out, benchmark(inputs["policy"] / CHECKPOINT, folder, tasks, asking=asking))


def _asking(world: World, condition: str) -> Callable[[str], str]:
    """Puts the condition behind the prompt that a question begins with, before the words that lead up to the answer."""
    prompts = [prompt.text for prompt in world.prompts]

    def ask(context: str) -> str:
        prompt = next(text for text in prompts if context.startswith(text))
        return conditioned(prompt, condition) + context.removeprefix(prompt)

    return ask

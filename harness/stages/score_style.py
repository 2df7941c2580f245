"""Lexical style of the generations."""

from __future__ import annotations

from harness.inputs.designer_rewards import fail_off_grammar
from harness.store.files import read_generations, world_of, write_scores
from suites.style.lexical import style


def run(parameters, inputs, out, progress=None) -> None:
    generations = read_generations(inputs["generations"])
    items, measures = style(generations)
    if world := world_of(inputs["data"]):
        items = fail_off_grammar(items, generations, world)
    write_scores(out, items, measures)

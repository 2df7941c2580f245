"""A stage that takes a moment and counts how often it ran."""

from __future__ import annotations

import time


def run(parameters, inputs, out, progress=None):
    with (out.parents[1] / "computed").open("a", encoding="utf-8") as file:
        file.write("once\n")
    time.sleep(0.5)
    (out / "answer.txt").write_text("42")

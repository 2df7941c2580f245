"""The suite ``benchmark``: accuracy on question-answering tasks, and the alignment tax on them."""

from __future__ import annotations

from harness.records import Objective
from suites.benchmarks.tasks import BENCHMARKS
from suites.registry import Suite, register

UNIT = (0.0, 1.0)
ACCURACY = Objective("accuracy", "Benchmark accuracy", "maximize", "probability", UNIT, "benchmark")
ALIGNMENT_TAX = Objective(
    "alignment_tax", "Alignment tax (lost against the base)", "minimize", "difference", (-1.0, 1.0), "benchmark"
)
"""Of each question: the base's score minus the policy's."""

register(
    Suite(
        "benchmark",
        objectives=(
            ACCURACY,
            *(
                Objective(benchmark.name, benchmark.label, "maximize", "probability", UNIT, "benchmark")
                for benchmark in BENCHMARKS.values()
            ),
            ALIGNMENT_TAX,
        ),
        needs=("policy", "benchmarks", "device"),
    )
)

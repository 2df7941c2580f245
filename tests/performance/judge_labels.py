"""Coverage of win rates that labels correct: `python -m tests.performance.judge_labels [REPLICATIONS]`.

Binary labels of prompts with one to four items, and a judge that is biased and noisy. The share of intervals that hold the true mean
should lie between 94 and 96 %.
"""

from __future__ import annotations

import typer

from tests.reports.statistics.judges.test_debiased import covered

WORLDS = ((30, 300), (100, 300), (100, 1000), (300, 300))
"""Numbers of labelled and of other prompts."""


def main(replications: int = 2000) -> None:
    """Print the coverage of every world."""
    print("labelled  others  coverage")
    for seed, (labelled, others) in enumerate(WORLDS):
        share = covered(replications, labelled, others, seed)
        error = (share * (1 - share) / replications) ** 0.5
        print(f"{labelled:8}  {others:6}  {100 * share:.1f} ± {100 * error:.1f} %")


if __name__ == "__main__":
    typer.run(main)

"""Analysis of runs in which a part of the usual records is absent."""

from __future__ import annotations

from dataclasses import replace

from reports.analysis import analyse
from tests.reports import synthetic
from tests.reports.synthetic import METHODS


def test_without_an_objective_of_the_frontier_there_are_estimates_and_no_frontier():
    records = synthetic.make(METHODS[:2], ("tiny",), prompts=20, with_generations=False)
    analysis = analyse(replace(records, objectives=records.objectives.assign(role="descriptive")), 20)
    assert all(set(result.checkpoints) >= {"win_rate", "toxicity"} for result in analysis.points.values())
    assert len(analysis.points) == 2 and analysis.objectives == analysis.hypervolumes == analysis.panels == ()

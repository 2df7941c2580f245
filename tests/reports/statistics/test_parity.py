"""Reported figures recomputed with statsmodels and scipy from the items themselves."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats
from statsmodels.regression.linear_model import OLS
from statsmodels.stats.proportion import proportion_confint

from harness.records import Records
from reports.analysis import analyse
from tests.reports import synthetic
from tests.reports.synthetic import METHODS


@pytest.fixture(scope="module")
def run() -> tuple[Records, object]:
    """Three methods of one setting, one seed, several samples of a prompt."""
    records = synthetic.make(METHODS[1:4], ("tiny",), (0,), prompts=80, trials=3, with_generations=False)
    # one setting each: SFT is left out and UPO has four, of which one is kept
    cells = records.cells[records.cells.sweep_value.isna() | (records.cells.sweep_value == 1.0)]
    items = records.items[records.items.cell.isin(cells.cell)]
    chosen = Records(**{**vars(records), "cells": cells, "items": items})
    return chosen, analyse(chosen, 4000)


def values(records: Records, method: str, objective: str) -> tuple[np.ndarray, np.ndarray]:
    rows = records.items[records.items.cell.str.startswith(method) & (records.items.objective == objective)]
    rows = rows.sort_values("item")
    return rows.value.to_numpy(float), rows.cluster.to_numpy()


def test_a_win_rate_is_a_regression_on_a_constant_with_clustered_errors(run):
    records, analysis = run
    wins, clusters = values(records, "dpo", "win_rate")
    codes = np.unique(clusters, return_inverse=True)[1]
    fitted = OLS(wins, np.ones(len(wins))).fit(cov_type="cluster", cov_kwds={"groups": codes, "use_correction": False})
    reported = analysis.points["dpo-tiny"].checkpoints["win_rate"]
    prompts = len(np.unique(codes))
    assert reported.value == pytest.approx(fitted.params[0], abs=1e-12)
    # statsmodels divides by K, the report by K − 1
    assert reported.se == pytest.approx(fitted.bse[0] * np.sqrt(prompts / (prompts - 1)), rel=1e-9)


def test_a_win_rate_interval_is_wilsons_with_the_effective_sample_size(run):
    records, analysis = run
    reported = analysis.points["kto-tiny"].checkpoints["win_rate"]
    prompts = 80
    # Wilson's interval of statsmodels takes the normal quantile: an interval at Student's is one at another level
    t = stats.t.ppf(0.975, prompts - 1)
    effective = reported.value * (1 - reported.value) / reported.se**2
    low, high = proportion_confint(reported.value * effective, effective, alpha=2 * stats.norm.sf(t), method="wilson")
    assert (reported.low, reported.high) == pytest.approx((low, high), rel=1e-9)


def test_a_paired_difference_is_scipys_paired_t_test_of_the_prompts_means(run):
    records, analysis = run
    reported = next(
        c for c in analysis.comparisons if {c.first, c.second} == {"dpo-tiny", "kto-tiny"} and c.objective == "toxicity"
    )
    means = []
    for method in (reported.first, reported.second):
        each, clusters = values(records, method.removesuffix("-tiny") + "-", "toxicity")
        means.append(np.array([each[clusters == name].mean() for name in np.unique(clusters)]))
    expected = stats.ttest_rel(*means)
    assert reported.difference.value == pytest.approx((means[0] - means[1]).mean(), abs=1e-12)
    low, high = expected.confidence_interval()
    assert (reported.checkpoints.low, reported.checkpoints.high) == pytest.approx((low, high), rel=1e-9)
    # the decided interval holds for three methods on three objectives: Tukey's range at 0.05/3
    half = stats.studentized_range.isf(0.05 / 3, 3, 79) / np.sqrt(2) * reported.difference.se
    assert reported.difference.high - reported.difference.value == pytest.approx(half, rel=2e-3)


def test_a_hypervolume_interval_is_that_of_scipys_bootstrap(run):
    """One point: the box from the reference point, its prompts drawn again. The linearised error agrees to a few per cent."""
    records, analysis = run
    names = ("win_rate", "toxicity")
    reported = next(result for result in analysis.methods if result.method == "dpo").hypervolume["toxicity", "win_rate"]
    prompts = []
    for name in names:
        each, clusters = values(records, "dpo-", name)
        prompts.append(np.array([each[clusters == cluster].mean() for cluster in np.unique(clusters)]))
    box = lambda wins, toxicity, axis=-1: wins.mean(axis) * (1 - toxicity.mean(axis))  # noqa: E731
    drawn = stats.bootstrap(prompts, box, paired=True, vectorized=True, n_resamples=5000, rng=np.random.default_rng(0))
    assert reported.value == pytest.approx(box(*prompts), abs=1e-12)
    assert reported.se == pytest.approx(drawn.standard_error * np.sqrt(80 / 79), rel=0.06)
    interval = drawn.confidence_interval
    assert (reported.low, reported.high) == pytest.approx((interval.low, interval.high), abs=0.012)

"""Means corrected by labels: the published formula at one item a prompt, clusters, limits and coverage."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from reports.statistics.judges.debiased import Sums, debiased


def published(y: np.ndarray, f: np.ndarray, g: np.ndarray) -> tuple[float, float, float]:
    """λ, estimate and standard error of the power-tuned mean as PPI++ (arXiv:2311.01453, section 6) and ppi_py state it.

    λ = Cov_n(y, f) / ((1 + n/N) Var_{n+N}(f)), with the covariance over n and the variance over n + N − 1.
    """
    n, others = len(y), len(g)
    covariance = np.mean((y - y.mean()) * (f - f.mean()))
    weight = float(np.clip(covariance / ((1 + n / others) * np.var(np.append(f, g), ddof=1)), 0, 1))
    value = (weight * g).mean() + (y - weight * f).mean()
    return weight, value, np.sqrt((weight * g).std() ** 2 / others + (y - weight * f).std() ** 2 / n)


def drawn(seed: int, n: int = 80, others: int = 400, noise: float = 0.3):
    random = np.random.default_rng(seed)
    truth = random.random(n + others)
    y, f = truth + random.normal(0, 0.2, n + others), truth + 0.15 + random.normal(0, noise, n + others)
    return y[:n], f[:n], f[n:]


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("noise", [0.01, 0.3, 3.0])
def test_one_item_a_prompt_gives_the_published_figures(seed, noise):
    y, f, g = drawn(seed, noise=noise)
    made = debiased(Sums(f, np.ones(len(f)), y), Sums(g, np.ones(len(g))))
    weight, value, error = published(y, f, g)
    assert (made.weight, made.estimate.value, made.estimate.se) == pytest.approx((weight, value, error), rel=1e-12)
    half = stats.t.ppf(0.975, len(y) - 2) * error * (len(y) / (len(y) - 2)) ** 0.5
    assert (made.estimate.low, made.estimate.high) == pytest.approx((value - half, value + half))
    assert made.gain == pytest.approx((y.std() ** 2 / len(y)) / error**2)


def test_items_of_a_prompt_that_are_copies_add_nothing():
    """Every prompt three times gives the figures of every prompt once."""
    y, f, g = drawn(1)
    once = debiased(Sums(f, np.ones(len(f)), y), Sums(g, np.ones(len(g))))
    thrice = debiased(Sums(3 * f, np.full(len(f), 3.0), 3 * y), Sums(3 * g, np.full(len(g), 3.0)))
    for name in ("value", "se", "low", "high"):
        assert getattr(thrice.estimate, name) == pytest.approx(getattr(once.estimate, name))
    assert thrice.weight == pytest.approx(once.weight) and thrice.estimate.n == 3 * once.estimate.n


def test_a_perfect_judge_is_worth_all_prompts_and_a_blind_one_nothing():
    y, _, _ = drawn(2, others=800)
    g = drawn(3, n=800)[0]
    perfect = debiased(Sums(y, np.ones(len(y)), y), Sums(g, np.ones(len(g))))
    assert perfect.weight == pytest.approx(1 / (1 + len(y) / len(g)), rel=0.2) and perfect.gain > 6
    blind = debiased(Sums(np.ones(len(y)), np.ones(len(y)), y), Sums(np.ones(len(g)), np.ones(len(g))))
    assert (blind.weight, blind.gain) == (0.0, 1.0) and blind.estimate.value == blind.labels_alone.value


def test_a_judge_that_is_wrong_by_a_constant_is_corrected():
    y, _, g = drawn(4, others=4000, noise=0.0)
    made = debiased(Sums(y - 5, np.ones(len(y)), y), Sums(g - 5.15, np.ones(len(g))))
    assert made.estimate.value == pytest.approx(0.5, abs=0.05)


def test_without_other_prompts_the_labels_stand_alone_and_two_labels_are_too_few():
    y, f, _ = drawn(5)
    none = Sums(np.zeros(0), np.zeros(0))
    made = debiased(Sums(f, np.ones(len(f)), y), none)
    assert made.estimate.value == y.mean() and made.estimate.se == pytest.approx(y.std() / len(y) ** 0.5)
    assert debiased(Sums(f[:2], np.ones(2), y[:2]), Sums(f, np.ones(len(f)))) is None


def covered(replications: int, n: int, others: int, seed: int) -> float:
    """Share of intervals that hold the true mean: binary labels, a biased judge, one to four items a prompt."""
    random, held = np.random.default_rng(seed), 0
    for _ in range(replications):
        count = random.integers(1, 5, n + others)
        ease = np.repeat(random.beta(2, 2, n + others), count)
        labels = (random.random(len(ease)) < ease).astype(float)
        judged = np.clip(0.15 + 0.5 * ease + 0.3 * labels + random.normal(0, 0.1, len(ease)), 0, 1)
        starts = np.append(0, np.cumsum(count)[:-1])
        y, f = np.add.reduceat(labels, starts), np.add.reduceat(judged, starts)
        made = debiased(Sums(f[:n], count[:n], y[:n]), Sums(f[n:], count[n:]))
        held += made.estimate.low <= 0.5 <= made.estimate.high
    return held / replications


def test_intervals_hold_the_true_mean():
    """The full check of 2,000 replications is `python -m tests.performance.judge_labels`; three standard errors of 400."""
    assert abs(covered(400, 60, 300, 0) - 0.95) < 3 * (0.95 * 0.05 / 400) ** 0.5

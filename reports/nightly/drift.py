"""Steps in series of nights: the slow worsening that no single night shows."""

from __future__ import annotations

import numpy as np

ALARM = 0.01
"""Probability of an alarm on any series in a night on which nothing has changed."""
PERMUTATIONS = 1999
NIGHTS_NEEDED = 9
"""With fewer, even a perfect step has a p-value of 1/C(8, 4) = 0.014 or more."""


def find_steps(
    series: np.ndarray, random: np.random.Generator, permutations: int = PERMUTATIONS
) -> tuple[np.ndarray, np.ndarray]:
    r"""The most likely upward step of each series and the probability of one so large by chance.

    For series :math:`x_1..x_n` and a step before night k + 1, the statistic is the largest standardised CUSUM
    :math:`\max_k \sqrt{k(n-k)/n}\,(\bar x_{>k} - \bar x_{\le k})/s`, the likelihood ratio of one upward shift in normal noise
    (Hawkins 1977); a slow trend raises it as well. Nights are permuted, the same way in all series, and each
    series' statistic is compared with the largest of all series in each permutation (Westfall and Young 1993). So
    if the nights are exchangeable, the probability of any p-value ≤ α is at most α, whatever the number
    of series and the correlation between them.

    Parameters
    ----------
    series : ndarray, shape (nights, series)
        Larger is worse.
    random : numpy Generator

    Returns
    -------
    start : ndarray of int, shape (series,)
        The first night after the step.
    p : ndarray, shape (series,)

    Examples
    --------
    >>> flat, step = np.tile([0.0, 1.0], 8), np.repeat([0.0, 1.0], 8)
    >>> start, p = find_steps(np.stack([flat, step], axis=1), np.random.default_rng(0))
    >>> int(start[1]), bool(p[1] < 0.01), bool(p[0] > 0.5)
    (8, True, True)
    """
    nights = len(series)
    spread = series.std(axis=0)
    scaled = (series - series.mean(axis=0)) / np.where(spread > 0, spread, 1.0)
    cusum = _cusum(scaled)
    observed = cusum.max(axis=0)
    largest = np.array([_cusum(scaled[random.permutation(nights)]).max() for _ in range(permutations)])
    # The observed order is one of the permutations: p is never 0. Sums in another order differ in the last bits.
    p = (1 + (largest[:, None] >= observed - 1e-9).sum(axis=0)) / (permutations + 1)
    return cusum.argmax(axis=0) + 1, p


def _cusum(scaled: np.ndarray) -> np.ndarray:
    """Standardised difference after − before for each place of the step, shape (nights − 1, series)."""
    n = len(scaled)
    k = np.arange(1, n)[:, None]
    # The sum is 0, so after − before = −(sum of the first k)·n/(k(n − k)).
    return np.asarray(-np.cumsum(scaled, axis=0)[:-1] * np.sqrt(n / (k * (n - k))))

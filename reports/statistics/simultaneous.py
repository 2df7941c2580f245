"""Error rates of several comparisons together: the studentized range for all pairs of means, and Holm's procedure.

Sources: Tukey 1953, Kramer 1956, Games and Howell 1976 (studentized range); Holm 1979.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from scipy import optimize, special, stats

NODES = 300
"""Values that stand for the law of an estimated standard error."""
GRID = 400


@lru_cache(maxsize=64)
def _range_tail(k: int) -> tuple[np.ndarray, np.ndarray]:
    r"""Points r and P(R > r) for the range R of k independent standard normals.

    :math:`P(R \le r) = k \int \varphi(z) [\Phi(z) - \Phi(z - r)]^{k-1} dz`.
    """
    r = np.linspace(0.0, 12.0, GRID)
    z = np.linspace(-9.0, 9.0, 1201)
    inside = stats.norm.cdf(z) - stats.norm.cdf(z - r[:, None])
    density = k * stats.norm.pdf(z) * inside ** (k - 1)
    return r, np.clip(1.0 - np.trapezoid(density, z, axis=1), 0.0, 1.0)


@lru_cache(maxsize=4096)
def _scales(df: float) -> tuple[np.ndarray, np.ndarray]:
    r"""Values of :math:`\sqrt{\chi^2_\nu/\nu}` and their weights, which sum to 1."""
    low, high = stats.chi2.ppf([1e-12, 1 - 1e-12], df)
    squares = np.exp(np.linspace(np.log(low), np.log(high), NODES))
    weight = stats.chi2.pdf(squares, df) * squares
    return np.sqrt(squares / df), weight / weight.sum()


def _rounded(df: float) -> float:
    """Degrees of freedom to three digits, downwards, so that few laws are computed."""
    if not df < 1e4:
        return np.inf
    step = 10.0 ** (np.floor(np.log10(df)) - 2)
    return float(np.floor(df / step + 1e-9) * step)


def adjusted_p(t: float, k: int, df: float) -> float:
    r"""Probability that some pair of k equal means differs by `t` standard errors of a difference or more.

    :math:`P(Q_{k,\nu} \ge \sqrt2\,t)` with the studentized range Q. All pairs are covered at once, whichever of them is looked
    at, so that a pair may be chosen by the data. For unequal standard errors it is Kramer's approximation, which is on the safe
    side, and with degrees of freedom for each pair that of Games and Howell. For two means it is Student's t.

    Examples
    --------
    The tabulated quantile for 7 means and 12 degrees of freedom is 4.95.

    >>> round(adjusted_p(4.95 / np.sqrt(2), 7, 12), 3)
    0.05
    """
    if k <= 2:
        return float(2 * special.stdtr(df, -abs(t)))
    points, tail = _range_tail(k)
    q, df = np.sqrt(2) * abs(t), _rounded(df)
    if np.isinf(df):
        return float(np.interp(q, points, tail, right=0.0))
    scales, weight = _scales(df)
    return float(weight @ np.interp(q * scales, points, tail, right=0.0))


def critical(alpha: float, k: int, df: float) -> float:
    """Number of standard errors by which some pair of k equal means differs with probability `alpha`.

    Examples
    --------
    >>> round(critical(0.05, 2, 10), 3), round(critical(0.05, 7, 12) * 2**0.5, 2)
    (2.228, 4.95)
    """
    if k <= 2:
        return float(special.stdtrit(df, 1 - alpha / 2))
    return _critical(round(alpha, 12), k, _rounded(df))


@lru_cache(maxsize=4096)
def _critical(alpha: float, k: int, df: float) -> float:
    top = float(special.stdtrit(df, 1 - alpha / (k * (k - 1)))) + 1e-6
    return float(optimize.brentq(lambda t: adjusted_p(t, k, df) - alpha, 0.0, top, xtol=1e-6))


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's step-down adjustment.

    Examples
    --------
    >>> holm([0.01, 0.04, 0.03])
    [0.03, 0.06, 0.06]
    """
    order = np.argsort(p_values, kind="stable")
    adjusted, running = np.empty(len(p_values)), 0.0
    for rank, index in enumerate(order):
        running = max(running, min(1.0, (len(p_values) - rank) * p_values[index]))
        adjusted[index] = running
    return [float(p) for p in adjusted]

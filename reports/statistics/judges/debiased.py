r"""A mean of a judge's verdicts, corrected by the labels of people on some of the items (prediction-powered inference).

Sources: Angelopoulos et al., Science 382, 2023 (arXiv:2301.09633); with the weight λ tuned, PPI++ (arXiv:2311.01453).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import stats

from reports.statistics.estimates import LEVEL, Estimate

METHOD = "prediction-powered, t over prompts"
FEWEST = 3
"""Labelled prompts that an interval needs."""


@dataclass(frozen=True)
class Sums:
    """Sums over the items of each prompt, all of shape (prompts,).

    Parameters
    ----------
    judged : ndarray
        Of the judge's values.
    count : ndarray
        Number of items, at least 1.
    labels : ndarray, optional
        Of people's labels of the same items.
    """

    judged: np.ndarray
    count: np.ndarray
    labels: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.count)


@dataclass(frozen=True)
class Debiased:
    """A corrected mean.

    Parameters
    ----------
    estimate : Estimate
    labels_alone : Estimate
        The mean of the labels, without the judge.
    weight : float
        λ in [0, 1]: how much of the judge's verdicts is used.
    labelled, unlabelled : int
        Numbers of prompts.
    gain : float
        Variance of the labels alone over that of the estimate: by which factor the labels are worth more.
    """

    estimate: Estimate
    labels_alone: Estimate
    weight: float
    labelled: int
    unlabelled: int
    gain: float


def debiased(labelled: Sums, rest: Sums) -> Debiased | None:
    r"""The mean of the labels that all items would have.

    With means :math:`\bar y, \bar f` over the items of the n labelled prompts and :math:`\bar g` of the judge's values over those of
    the N other ones, :math:`\hat\theta = \bar y - \lambda \bar f + \lambda \bar g`. A mean is a ratio of sums, so prompt i moves it by
    :math:`u_i/n` with the influence :math:`u_i = (\text{sum}_i - \text{mean} \cdot \text{count}_i) / \overline{\text{count}}`, and

    .. math::
        \widehat{\mathrm{Var}} = \frac{1}{n^2} \sum_i (u^y_i - \lambda u^f_i)^2 + \frac{\lambda^2}{N^2} \sum_j (u^g_j)^2, \qquad
        \hat\lambda = \frac{\frac1n \sum_i u^y_i u^f_i}{(1 + n/N)\, V},

    with V the variance of the judge's influences over all n + N prompts, and λ clipped to [0, 1]. At one item a prompt, λ, the
    estimate and its error are those of ``ppi_py.ppi_mean_ci``. The interval allows for few labels: the mean and λ are two
    parameters, as in the regression estimator of survey sampling, so its half width is :math:`t_{n-2} \sqrt{n/(n-2)}` errors.

    Parameters
    ----------
    labelled : Sums
        Prompts with labels, drawn at random from all of them.
    rest : Sums
        The other prompts, without labels.

    Returns
    -------
    Debiased or None
        None with fewer than three labelled prompts.

    Examples
    --------
    A judge that is 0.2 too kind and right otherwise, whose verdicts on the other prompts are 0.1 higher.

    >>> labels, other = np.array([0.0, 0.5, 0.1, 0.6]), np.array([0.5, 0.6, 0.7, 0.8, 0.4, 0.6])
    >>> made = debiased(Sums(labels + 0.2, np.ones(4), labels), Sums(other, np.ones(6)))
    >>> round(made.weight, 3), round(made.estimate.value, 3), round(made.labels_alone.value, 3)
    (1.0, 0.4, 0.3)
    """
    n, others = len(labelled), len(rest)
    if labelled.labels is None or n < FEWEST:
        return None
    mean_y, of_y = _mean(labelled.labels, labelled.count)
    mean_f, of_f = _mean(labelled.judged, labelled.count)
    alone = float((of_y**2).sum()) / n**2
    weight, value, variance = 0.0, mean_y, alone
    if others > 1:
        mean_g, of_g = _mean(rest.judged, rest.count)
        weight = _weight(labelled, rest, of_y, of_f)
        value = mean_y - weight * mean_f + weight * mean_g
        variance = float(((of_y - weight * of_f) ** 2).sum()) / n**2
        variance += weight**2 * float((of_g**2).sum()) / others**2
    count = int(labelled.count.sum())
    return Debiased(
        _estimate(value, variance, n, 2, count, METHOD),
        _estimate(mean_y, alone, n, 1, count, "t over prompts"),
        weight,
        n,
        others,
        alone / variance if variance else 1.0,
    )


def _mean(sums: np.ndarray, count: np.ndarray) -> tuple[float, np.ndarray]:
    """A ratio of sums, and the influence of each prompt on it."""
    mean = float(sums.sum() / count.sum())
    return mean, (sums - mean * count) / count.mean()


def _weight(labelled: Sums, rest: Sums, of_y: np.ndarray, of_f: np.ndarray) -> float:
    """λ that makes the variance smallest, within [0, 1]."""
    _, pooled = _mean(np.append(labelled.judged, rest.judged), np.append(labelled.count, rest.count))
    variance = float((pooled**2).sum()) / (len(pooled) - 1)
    if not variance:
        return 0.0
    return float(np.clip((of_y * of_f).mean() / ((1 + len(labelled) / len(rest)) * variance), 0.0, 1.0))


def _estimate(value: float, variance: float, n: int, parameters: int, count: int, method: str) -> Estimate:
    """An interval by Student's t; `variance` divides by n, the interval by what the estimated parameters leave."""
    free = n - parameters
    half = float(stats.t.ppf(0.5 + LEVEL / 2, free)) * (variance * n / free) ** 0.5
    return Estimate(value, variance**0.5, value - half, value + half, LEVEL, count, 0, method)

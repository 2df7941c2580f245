r"""Ratings of entries from who is better on each prompt (Bradley and Terry, Biometrika 39, 1952), with errors over prompts.

The model is :math:`P(i \text{ beats } j) = \sigma(\theta_i - \theta_j)`. On every prompt each entry meets every other one: the
larger value wins, equal values are half a win for both.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import special, stats

from reports.statistics.estimates import LEVEL
from reports.statistics.simultaneous import critical

SCALE = 400 / np.log(10)
"""Points of a rating for one unit of θ: 400 points are odds of 10 to 1."""
PRIOR = 1.0
"""Games of each entry, half won, that are added so that an entry which always wins has a finite rating."""


@dataclass(frozen=True)
class Ratings:
    """Ratings of n entries.

    Parameters
    ----------
    theta : ndarray, shape (n,)
        Log-odds of beating the average entry; they sum to 0.
    covariance : ndarray, shape (n, n)
        Of `theta`, over the draw of prompts.
    prompts : int
        Number of prompts on which at least two entries have a value.
    """

    theta: np.ndarray
    covariance: np.ndarray
    prompts: int

    @property
    def points(self) -> np.ndarray:
        """Ratings on the scale of chess, 0 for the average entry."""
        return np.asarray(self.theta * SCALE)

    def intervals(self, level: float = LEVEL) -> np.ndarray:
        """Ends of each rating's interval by Student's t over prompts, shape (n, 2), on the scale of `points`."""
        half = stats.t.ppf(0.5 + level / 2, self.prompts - 1) * np.sqrt(np.diag(self.covariance)) * SCALE
        return np.stack([self.points - half, self.points + half], axis=1)

    def places(self, alpha: float = 1 - LEVEL) -> np.ndarray:
        """First and last place that each entry may have, shape (n, 2); they hold for all entries together.

        An entry stands behind those that are shown to be better and before those that are shown to be worse, by intervals for all
        pairs together (studentized range).
        """
        variance = np.diag(self.covariance)
        error = np.sqrt(np.maximum(variance[:, None] + variance - 2 * self.covariance, 0.0))
        ahead = self.theta[:, None] - self.theta > critical(alpha, len(self.theta), self.prompts - 1) * error
        np.fill_diagonal(ahead, False)
        return np.stack([1 + ahead.sum(0), len(self.theta) - ahead.sum(1)], axis=1)


def bradley_terry(values: np.ndarray) -> Ratings | None:
    r"""Ratings by maximum likelihood, with the sandwich covariance clustered by prompt.

    With the Hessian H of the log-likelihood and the score :math:`s_k` of all games on prompt k, the covariance is
    :math:`H^{-1} \frac{K}{K-1} \sum_k s_k s_k^\top H^{-1}`: games on one prompt share its outputs and are not independent.

    Parameters
    ----------
    values : ndarray, shape (entries, prompts)
        More is better; NaN where an entry has no value, and so no game.

    Returns
    -------
    Ratings or None
        None with fewer than two entries, or than two prompts on which entries meet.

    Examples
    --------
    The first entry is better on 3 of 4 prompts: with half a game won and half a game lost beside these, the odds are 3.5 to 1.5.

    >>> ratings = bradley_terry(np.array([[1.0, 1.0, 1.0, 0.0], [0.0, 0.0, 0.0, 1.0]]))
    >>> bool(np.isclose(ratings.theta[0] - ratings.theta[1], np.log(3.5 / 1.5)))
    True
    """
    import choix

    values = values[:, (~np.isnan(values)).sum(0) > 1]
    entries, prompts = values.shape
    if entries < 2 or prompts < 2:
        return None
    wins = np.stack([_wins(i, values).sum(1) for i in range(entries)])
    wins += PRIOR / 2 / (entries - 1) * (1 - np.eye(entries))
    theta = choix.ilsr_pairwise_dense(wins)
    theta = theta - theta.mean()
    expected = special.expit(theta[:, None] - theta)
    games = wins + wins.T
    information = games * expected * (1 - expected)
    hessian = np.diag(information.sum(1)) - information
    present = ~np.isnan(values)
    others = expected * (1 - np.eye(entries))
    scores = np.stack([_wins(i, values).sum(0) for i in range(entries)]) - present * (others @ present)
    inverse = np.linalg.pinv(hessian, hermitian=True)
    spread = scores @ scores.T * prompts / (prompts - 1)
    return Ratings(theta, inverse @ spread @ inverse, prompts)


def _wins(entry: int, values: np.ndarray) -> np.ndarray:
    """What an entry wins against each on each prompt, (entries, prompts); 0 against itself and without a value."""
    row = values[entry]
    with np.errstate(invalid="ignore"):
        won = (row > values) + 0.5 * (row == values)
    won[entry] = 0.0
    return np.asarray(won)

r"""Krippendorff's α: agreement of any number of raters, some of whose ratings may be missing.

Source: Krippendorff, *Computing Krippendorff's alpha-reliability*, 2011. :math:`\alpha = 1 - D_o / D_e`, with the observed
disagreement of ratings of one unit and that of all ratings, whichever unit they are of.
"""

from __future__ import annotations

import numpy as np


def nominal_alpha(ratings: np.ndarray) -> float | None:
    """α of categories: two ratings differ or they do not.

    Parameters
    ----------
    ratings : ndarray, shape (raters, units)
        Codes of categories; NaN where a rater has not rated a unit. Units with fewer than two ratings do not count.

    Returns
    -------
    float or None
        1 for perfect agreement, 0 for that of chance; None where nothing could disagree.

    Examples
    --------
    The example of Krippendorff 2011, with four raters.

    >>> none = np.nan
    >>> ratings = np.array([
    ...     [1, 2, 3, 3, 2, 1, 4, 1, 2, none, none, none],
    ...     [1, 2, 3, 3, 2, 2, 4, 1, 2, 5, none, 3],
    ...     [none, 3, 3, 3, 2, 3, 4, 2, 2, 5, 1, none],
    ...     [1, 2, 3, 3, 2, 4, 4, 1, 2, 5, 1, none],
    ... ])
    >>> round(nominal_alpha(ratings), 3)
    0.743
    """
    ratings = ratings[:, (~np.isnan(ratings)).sum(0) > 1]
    categories = np.unique(ratings[~np.isnan(ratings)])
    counts = (
        np.stack([(ratings == category).sum(0) for category in categories]) if len(categories) else np.zeros((0, 0))
    )
    if len(categories) < 2:
        return None
    of_unit, of_category, total = counts.sum(0), counts.sum(1), counts.sum()
    observed = ((of_unit**2 - (counts**2).sum(0)) / (of_unit - 1)).sum() / total
    by_chance = (total**2 - (of_category**2).sum()) / (total * (total - 1))
    return float(1 - observed / by_chance)

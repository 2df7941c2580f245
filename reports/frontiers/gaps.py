"""Methods ranked by their gap to the true frontier (oracle world): best setting, equal budget, over seeds.

The smallest gap of a sweep is biased downwards, by the number of settings and by a choice with the seeds that are reported.
The setting is therefore chosen by the *other* seeds, among equally many for all methods. The ranking uses the gap at a KL
budget that is the same for all methods, where it was measured, because a policy close to the behaviour policy has almost no gap
at its own KL.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from math import comb

import numpy as np

from reports.frontiers.selection import common_budget
from reports.grids import Point, Study
from reports.results import GapRank
from reports.statistics.estimates import (
    Estimate,
    SeedNoise,
    Spread,
    components,
    estimate,
    satterthwaite,
    seed_and_prompt_error,
)
from reports.statistics.resampling import generator
from reports.statistics.seed_noise import figure_noise
from reports.statistics.verdicts import simultaneous

MEASURES = ("gap_at_budget", "gap")
"""The first that was measured ranks."""
RANK_DRAWS = 2000
BOUNDS = (0.0, 1.0)
"""A gap is a share of the weighted value."""


def gap_values(study: Study) -> dict[str, float]:
    """The gap that ranks, by cell; empty where none was measured."""
    measures = study.records.measures
    exact = measures[measures.group == "exact"]
    name = next((name for name in MEASURES if (exact.name == name).any()), MEASURES[-1])
    return {str(cell): float(v) for cell, v in exact[exact.name == name].set_index("cell").value.items()}


def gap_tables(study: Study, size: str) -> dict[str, np.ndarray]:
    """Gaps of each method at one size, shape (settings, seeds); empty with fewer than two methods."""
    gaps = gap_values(study)
    tables = {name: _table(study.select(size, name), gaps) for name in study.methods}
    tables = {name: table for name, table in tables.items() if table.size}
    return tables if len(tables) > 1 else {}


def gap_ranks(study: Study, labels: Mapping[str, str], alphas: Mapping[str, float], seed: int = 0) -> list[GapRank]:
    """Methods of every size from the first, which has the smallest gap; empty where no gap was measured.

    Then come the methods that are not separable from the first, those that are worse, and those without a verdict, each by
    gap: a noisy method's gap may be larger than that of a method which is worse, and yet not be shown to be worse.

    Parameters
    ----------
    alphas : dict of str to float
        By size, the share of the primary family's error rate that goes to gaps.
    """
    ranks = []
    for size in study.sizes:
        if tables := gap_tables(study, size):
            fixed = [m for m in tables if all(point.shares_checkpoint for point in study.select(size, m))]
            ranks += _ranked(size, tables, fixed, labels, alphas[size], seed)
    return ranks


def _table(points: Sequence[Point], gaps: dict[str, float]) -> np.ndarray:
    """Gaps of a method's points (rows) for the seeds that all of them have (columns)."""
    each = [{run: gaps[c] for run, c in zip(p.seeds, p.cells, strict=True) if c in gaps} for p in points]
    each = [by_seed for by_seed in each if by_seed]
    runs = sorted(set.intersection(*map(set, each))) if each else []
    return np.array([[by_seed[run] for run in runs] for by_seed in each])


def best_of(table: np.ndarray, k: int) -> np.ndarray:
    r"""Gap of the best of k settings drawn at random, by seed, with the setting chosen by the other seeds.

    Of n settings, ranked by their mean over the other seeds, the best of k random ones is that of rank r with probability
    :math:`\binom{n-r}{k-1} / \binom{n}{k}`; their gaps on the seed itself are averaged with these. With one seed there are no
    others, and the seed itself chooses.

    Parameters
    ----------
    table : ndarray, shape (settings, seeds)

    Returns
    -------
    ndarray, shape (seeds,)

    Examples
    --------
    The first setting looks best on each seed's counterpart only by chance.

    >>> best_of(np.array([[0.1, 0.5], [0.4, 0.2]]), 2).tolist()
    [0.4, 0.5]
    >>> best_of(np.array([[0.1, 0.5], [0.4, 0.2]]), 1).round(2).tolist()
    [0.25, 0.35]
    """
    return np.asarray((_chances(table, k) * table).sum(0))


def _chances(table: np.ndarray, k: int) -> np.ndarray:
    """Probability that each setting is the best of k random ones by the seeds other than the column's, (settings, seeds)."""
    settings, seeds = table.shape
    k = min(k, settings)
    chance = np.array([comb(settings - rank, k - 1) for rank in range(1, settings + 1)]) / comb(settings, k)
    others = (table.sum(1, keepdims=True) - table) / (seeds - 1) if seeds > 1 else table
    order = np.argsort(others, axis=0, kind="stable")
    chances = np.empty(table.shape)
    np.put_along_axis(chances, order, np.broadcast_to(chance[:, None], table.shape), axis=0)
    return chances


def best_noise(tables: Mapping[str, np.ndarray], k: int, fixed: Collection[str]) -> dict[str, SeedNoise]:
    """Seed noise of `best_of`: that of the settings, weighted by how often each is the best.

    The seeds' values of `best_of` are no independent draws, since each seed is read where the others chose, and differ by less
    than the seeds do. The noise of single settings is not touched by the choice, and has more degrees of freedom.
    """
    names = {name: [f"{name} {i}" for i in range(len(table))] for name, table in tables.items()}
    each = {one: table[i] for name, table in tables.items() for i, one in enumerate(names[name])}
    parts = {one: components(gaps, np.zeros((len(gaps), 0))) for one, gaps in each.items()}
    methods = {one: name for name in names for one in names[name]}
    noise = figure_noise(parts, [one for name in fixed for one in names.get(name, [])], methods)
    best = {}
    for name, table in tables.items():
        settings = [noise[one] for one in names[name] if one in noise]
        if len(settings) == len(table):
            best[name] = _weighted(settings, _chances(table, k).mean(1))
    return best


def _weighted(settings: Sequence[SeedNoise], weight: np.ndarray) -> SeedNoise:
    """Noise of a setting drawn with these probabilities."""
    chosen = [(noise, share) for noise, share in zip(settings, weight, strict=True) if share > 0]
    pools = list(dict.fromkeys(noise.pool for noise, _ in chosen))
    if len(pools) == 1 and chosen[0][0].fixed:
        return chosen[0][0]
    variance = sum(noise.variance * share for noise, share in chosen)
    parts = [
        (
            sum(max(n.variance, 0.0) * share for n, share in chosen if n.pool == pool),
            min(n.df for n, _ in chosen if n.pool == pool),
        )
        for pool in pools
    ]
    return SeedNoise(variance, satterthwaite(parts), min(n.df_rest for n, _ in chosen), " and ".join(pools))


def _ranked(
    size: str,
    tables: dict[str, np.ndarray],
    fixed: Collection[str],
    labels: Mapping[str, str],
    alpha: float,
    seed: int,
) -> list[GapRank]:
    budget = common_budget(map(len, tables.values()))
    values = {name: best_of(table, budget) for name, table in tables.items()}
    parts = {name: components(each, np.zeros((len(each), 0))) for name, each in values.items()}
    noise = best_noise(tables, budget, fixed)
    spreads = {name: seed_and_prompt_error(part, noise.get(name)) for name, part in parts.items()}
    by_gap = sorted(tables, key=lambda name: (parts[name].value, name))
    behind = {name: _behind(by_gap[0], name, values, noise, len(tables), alpha) for name in by_gap}
    tied = {name: None if lag is None else lag.low is None or lag.low <= 0 for name, lag in behind.items()}
    order = sorted(by_gap, key=lambda name: (True, False, None).index(tied[name]))
    has_spreads = all(spreads[name] or name in fixed for name in order) and any(spreads.values())
    places = _places(size, order, {name: part.value for name, part in parts.items()}, spreads, seed)
    return [
        GapRank(
            size=size,
            method=name,
            label=labels.get(name, name),
            settings=len(tables[name]),
            budget=budget,
            gap=estimate(
                parts[name].value, spreads[name], BOUNDS, n=len(values[name]), n_clusters=0, what=" over seeds"
            ),
            rank=rank,
            ranks=_range(places[rank - 1], rank) if has_spreads else None,
            tied=tied[name],
            behind=behind[name] if rank > 1 else None,
            by_seed=tuple(float(v) for v in values[name]),
            note=noise[name].reason if name in noise else "",
        )
        for rank, name in enumerate(order, 1)
    ]


def _range(places: np.ndarray, rank: int) -> tuple[int, int]:
    """The middle 95 % of the places, and the rank itself."""
    low, high = np.quantile(places, [0.025, 0.975], method="nearest")
    return min(int(low), rank), max(int(high), rank)


def _places(
    size: str, order: Sequence[str], values: Mapping[str, float], spreads: Mapping[str, Spread | None], seed: int
) -> np.ndarray:
    """Place of each method in draws of the seeds, shape (methods, draws)."""
    draws = []
    for name in order:
        spread, value = spreads[name], np.full(RANK_DRAWS, values[name])
        if spread:
            value = value + spread.se * generator(seed, "gap rank", size, name).standard_t(spread.df, RANK_DRAWS)
        draws.append(value)
    table = np.stack(draws)
    return np.asarray(1 + (table[None] < table[:, None]).sum(1))


def _behind(
    first: str,
    name: str,
    values: Mapping[str, np.ndarray],
    noise: Mapping[str, SeedNoise],
    methods: int,
    alpha: float,
) -> Estimate | None:
    """A method's gap less the first's, with the interval that holds for all pairs; None where seeds cannot tell.

    All pairs are covered because the data chose the first.
    """
    if first == name:
        return estimate(0.0, None) if first in noise and noise[first].estimable else None
    if len(values[first]) != len(values[name]) or first not in noise or name not in noise:
        return None
    part = components(values[name] - values[first], np.zeros((len(values[first]), 0)))
    spread = seed_and_prompt_error(part, noise[first] + noise[name])
    if spread is None:
        return None
    return simultaneous(estimate(part.value, spread, n=part.n_seeds), spread, methods, alpha, (-1.0, 1.0))

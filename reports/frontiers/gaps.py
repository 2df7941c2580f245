"""Methods ranked by their gap to the true frontier (oracle world): best setting, equal budget, over seeds.

A method's smallest gap is flattered by choice: more settings, and choosing by the seeds that are reported, make it
smaller for that alone. So the setting is chosen by the *other* seeds, and all methods choose among equally many.
Ranked is the gap at a budget that all methods may spend, where it was measured: at its own KL a policy that hardly
moves has hardly a gap.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import combinations
from math import comb

import numpy as np

from reports.grids import Point, Study
from reports.results import GapRank
from reports.statistics.estimates import components, estimate, p_value, pool, seed_and_prompt_error
from reports.statistics.resampling import generator
from reports.statistics.verdicts import ALPHA, holm

MEASURES = ("gap_at_budget", "gap")
"""The first that was measured ranks."""
RANK_DRAWS = 2000


def gap_ranks(found: Study, labels: dict[str, str], seed: int = 0) -> list[GapRank]:
    """Methods of every size from the smallest gap to the largest; empty where no gap was measured."""
    measures = found.records.measures
    exact = measures[measures.group == "exact"]
    name = next((name for name in MEASURES if (exact.name == name).any()), MEASURES[-1])
    gaps = exact[exact.name == name].set_index("cell").value.to_dict()
    ranks = []
    for size in found.sizes:
        tables = {name: _table(found.select(size, name), gaps) for name in found.methods}
        tables = {name: table for name, table in tables.items() if table.size}
        if len(tables) > 1:
            ranks += _ranked(size, tables, labels, seed)
    return ranks


def _table(points: Sequence[Point], gaps: dict[str, float]) -> np.ndarray:
    """Gaps of a method's points (rows) for the seeds that all of them have (columns)."""
    each = [{run: gaps[c] for run, c in zip(p.seeds, p.cells, strict=True) if c in gaps} for p in points]
    each = [found for found in each if found]
    runs = sorted(set.intersection(*map(set, each))) if each else []
    return np.array([[found[run] for run in runs] for found in each])


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
    settings, seeds = table.shape
    k = min(k, settings)
    chance = np.array([comb(settings - rank, k - 1) for rank in range(1, settings + 1)]) / comb(settings, k)
    others = (table.sum(1, keepdims=True) - table) / (seeds - 1) if seeds > 1 else table
    order = np.argsort(others, axis=0, kind="stable")
    return chance @ np.take_along_axis(table, order, axis=0)


def _ranked(size: str, tables: dict[str, np.ndarray], labels: dict[str, str], seed: int) -> list[GapRank]:
    counts = Counter(len(table) for table in tables.values())
    budget = max(counts, key=lambda settings: (counts[settings], settings))
    values = {name: best_of(table, budget) for name, table in tables.items()}
    parts = {name: components(each, np.zeros((len(each), 0))) for name, each in values.items()}
    noise = pool(list(parts.values()), list(parts))
    spreads = {name: seed_and_prompt_error(part, noise.get(name)) for name, part in parts.items()}
    order = sorted(tables, key=lambda name: (parts[name].value, name))
    draws = {
        name: part.value
        + (
            spreads[name].se * generator(seed, "gap rank", size, name).standard_t(spreads[name].df, RANK_DRAWS)
            if spreads[name]
            else 0.0
        )
        for name, part in parts.items()
    }
    table = np.stack([np.broadcast_to(draws[name], RANK_DRAWS) for name in order])
    places = 1 + (table[None] < table[:, None]).sum(1)
    worse = _worse_than_best(order, values, noise)
    return [
        GapRank(
            size=size,
            method=name,
            label=labels.get(name, name),
            settings=len(tables[name]),
            budget=budget,
            gap=estimate(parts[name].value, spreads[name], (0.0, np.inf), n=len(values[name]), what=" over seeds"),
            rank=rank,
            ranks=tuple(int(place) for place in np.quantile(places[rank - 1], [0.025, 0.975], method="nearest"))
            if all(spreads.values())
            else None,
            tied=name not in worse if all(spreads.values()) else None,
        )
        for rank, name in enumerate(order, 1)
    ]


def _worse_than_best(order: list[str], values: dict[str, np.ndarray], noise) -> set[str]:
    """Methods whose gap is significantly larger than the smallest, adjusted over all pairs because the data chose it."""
    p, pairs = [], list(combinations(order, 2))
    for first, second in pairs:
        if len(values[first]) != len(values[second]) or first not in noise or second not in noise:
            p.append(1.0)
            continue
        part = components(values[second] - values[first], np.zeros((len(values[first]), 0)))
        known = p_value(part.value, seed_and_prompt_error(part, noise[first] + noise[second]))
        p.append(1.0 if known is None else known)
    adjusted = holm(p)
    return {second for (first, second), each in zip(pairs, adjusted, strict=True) if first == order[0] and each < ALPHA}

"""Report of an experiment in several oracle worlds: how stable the places of the methods and the order of each pair are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

import numpy as np
from scipy import stats

from harness.records import Records
from reports.frontiers.gaps import best_of, gap_tables
from reports.frontiers.selection import common_budget
from reports.grids import study
from reports.page.tables.table import Column, Row, Shown, Table
from reports.publication import WORLDS
from reports.statistics.estimates import Estimate
from reports.text import display_name, number


@dataclass(frozen=True)
class Places:
    """Gaps of the methods of one size in every world.

    Parameters
    ----------
    size : str
    worlds : tuple of int
        Seeds of the worlds.
    gaps : dict of str to ndarray, shape (worlds,)
        Gap at equal budget by method: the best of as many settings as most methods have (`common_budget`), chosen by the other seeds.
    """

    size: str
    worlds: tuple[int, ...]
    gaps: Mapping[str, np.ndarray]

    @property
    def places(self) -> dict[str, np.ndarray]:
        """Place of every method in every world, 1 for the smallest gap; equal gaps share the mean of their places."""
        ranks = stats.rankdata(np.stack(list(self.gaps.values())), axis=0)
        return dict(zip(self.gaps, ranks, strict=True))

    def before(self, first: str, second: str) -> int:
        """Number of worlds in which the first method has the smaller gap."""
        return int((self.gaps[first] < self.gaps[second]).sum())


def worlds_of(run_dir: Path) -> dict[int, Path]:
    """Run folders of the worlds by seed; empty for a run in one world."""
    folder = run_dir / WORLDS
    found = [path for path in folder.iterdir() if path.name.isdigit()] if folder.is_dir() else []
    return {int(path.name): path for path in sorted(found, key=lambda path: int(path.name))}


def read_places(run_dir: Path) -> list[Places]:
    """Gaps of a run in several worlds, one entry for each size; methods that some world lacks are left out."""
    measured = {seed: _gaps(Records.read(path / "records")) for seed, path in worlds_of(run_dir).items()}
    sizes = dict.fromkeys(size for by_size in measured.values() for size in by_size)
    places = []
    for size in sizes:
        each = {seed: by_size[size] for seed, by_size in measured.items() if size in by_size}
        shared = [method for method in next(iter(each.values())) if all(method in gaps for gaps in each.values())]
        gaps = {method: np.array([by_method[method] for by_method in each.values()]) for method in shared}
        places.append(Places(size, tuple(each), gaps))
    return places


def _gaps(records: Records) -> dict[str, dict[str, float]]:
    """Gap at equal budget by size and method."""
    world = study(records)
    found: dict[str, dict[str, float]] = {}
    for size in world.sizes:
        tables = gap_tables(world, size)
        budget = common_budget(map(len, tables.values()))
        found[size] = {method: float(best_of(table, budget).mean()) for method, table in tables.items()}
    return found


def stability(places: Sequence[Places]) -> Table:
    """Place of every method over the worlds, from the best mean place to the worst."""
    rows = []
    for each in places:
        ranks = each.places
        for method in sorted(ranks, key=lambda name: (ranks[name].mean(), name)):
            own = ranks[method]
            low, high = own.min(), own.max()
            rows.append(
                Row(
                    (
                        each.size, display_name(method), over_worlds(each.gaps[method]), float(own.mean()),
                        Shown(float(low), f"{low:g} to {high:g}"), Shown(float((own == 1).sum()), _of(own == 1)),
                        Shown(float(own.std(ddof=1)), number(float(own.std(ddof=1)))),
                    ),
                    each.size,
                    method,
                )
            )  # fmt: skip
    columns = (
        Column("Size", False), Column("Method", False), Column("Gap, mean over worlds"), Column("Mean place"),
        Column("Places"), Column("First in"), Column("SD of the place"),
    )  # fmt: skip
    note = (
        "Gap to the true frontier at equal budget, of the best setting chosen by the other seeds. Intervals: 95 %, t over worlds,"
        " for each method alone."
    )
    return Table("stability", "Places over worlds", columns, tuple(rows), note)


def orders(places: Sequence[Places]) -> Table:
    """Order of every pair of methods: in how many worlds it holds, and the mean difference of gaps."""
    rows = []
    for each in places:
        pairs = list(combinations(sorted(each.gaps, key=lambda name: float(each.gaps[name].mean())), 2))
        for first, second in pairs:
            difference = each.gaps[second] - each.gaps[first]
            holds = difference > 0
            simultaneous = over_worlds(difference, len(pairs))
            sure = simultaneous.low is not None and simultaneous.low > 0
            verdict = "in every world" if holds.all() else "holds on average" if sure else "not separable"
            turned = ", ".join(str(seed) for seed, kept in zip(each.worlds, holds, strict=True) if not kept)
            cells = (
                each.size, display_name(first), display_name(second), Shown(float(holds.sum()), _of(holds)), simultaneous,
                verdict, turned,
            )  # fmt: skip
            rows.append(Row(cells, each.size, first))
    columns = (
        Column("Size", False), Column("Before", False), Column("Behind", False), Column("Holds in"),
        Column("Behind by"), Column("Order", False), Column("Turned round in worlds", False),
    )  # fmt: skip
    note = (
        "The method with the smaller mean gap over worlds is named first. Intervals: t over worlds, for all pairs together"
        " (95 %, Bonferroni)."
    )
    return Table("orders", "Order of every pair over worlds", columns, tuple(rows), note)


def accidents(places: Sequence[Places]) -> list[str]:
    """Findings of single worlds that most of the others contradict, one line for each world that has any."""
    lines = []
    for each in places:
        total = len(each.worlds)
        for number_, seed in enumerate(each.worlds):
            odd = []
            for first, second in combinations(each.gaps, 2):
                for one, other in ((first, second), (second, first)):
                    here = each.gaps[one][number_] < each.gaps[other][number_]
                    if here and each.before(one, other) <= total / 4:
                        odd.append(
                            f"{display_name(one)} before {display_name(other)} ({each.before(one, other)} of {total})"
                        )
            if odd:
                lines.append(f"World {seed} alone, or with few others, puts {'; '.join(odd)} ({each.size}).")
    return lines


def over_worlds(values: np.ndarray, among: int = 1) -> Estimate:
    """Mean over worlds with the interval of t; for `among` means together by Bonferroni.

    Examples
    --------
    >>> interval = over_worlds(np.array([1.0, 2.0, 3.0]))
    >>> interval.value, round(interval.low, 3), round(interval.high, 3)
    (2.0, -0.484, 4.484)
    """
    n, mean = len(values), float(values.mean())
    if n < 2:
        return Estimate(mean, None, None, None, 0.95, n, 0, "none")
    error = float(values.std(ddof=1)) / n**0.5
    half = float(stats.t.ppf(1 - 0.025 / among, n - 1)) * error
    return Estimate(mean, error, mean - half, mean + half, 0.95, n, 0, "t, worlds")


def _of(flags: np.ndarray) -> str:
    return f"{int(flags.sum())} of {len(flags)}"

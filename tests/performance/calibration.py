"""Are the intervals as wide as they say? `python -m tests.performance.calibration [REPLICATIONS [FOLDER]]`.

Worlds with known truth are drawn again and again; counted is how often an interval contains the truth
(95 % are due), how often a true null is called a difference (5 % at most), and how often a true effect
is found. Writes `calibration.csv`, `calibration.pdf` and `calibration.png`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from harness.records import Objective
from reports.frontiers import frontier
from reports.grids import Grid, Point
from reports.nightly.gate import Verdict, judge
from reports.statistics.estimates import Spread, checkpoints, estimate, seed_and_prompt_error
from reports.statistics.length_control import refit
from reports.statistics.resampling import functional, replicate, weights
from reports.statistics.variance import seed_noise, variance_parts
from reports.statistics.verdicts import compare, decide
from reports.text import plural
from tests.reports import nights

OBJECTIVES = (
    Objective("win_rate", "Win rate", "maximize", "probability", (0.0, 1.0), "user", 0.0),
    Objective("toxicity", "Toxicity", "minimize", "probability", (0.0, 1.0), "designer", 1.0),
)
DRAWS = 300


@dataclass(frozen=True)
class World:
    """Methods × points of each × seeds × prompts, with known means and the noise of seeds and prompts.

    `means` has shape (methods, points, objectives); `along_sweep` is the correlation of the seeds' effects
    between the points of one method, and `unstable` how many times the last method's seeds vary more.
    """

    means: np.ndarray
    seeds: int = 3
    prompts: int = 120
    seed_sd: float = 0.02
    prompt_sd: float = 0.1
    along_sweep: float = 0.5
    unstable: float = 1.0

    def draw(self, random: np.random.Generator) -> tuple[list[Point], list[Grid]]:
        methods, count, _ = self.means.shape
        points, names = [], []
        for m in range(methods):
            for i in range(count):
                cells = tuple(f"m{m}p{i}s{s}" for s in range(self.seeds))
                points.append(
                    Point(
                        f"m{m}p{i}",
                        f"m{m}",
                        f"m{m}p{i}",
                        "tiny",
                        "w",
                        float(i),
                        {},
                        cells,
                        tuple(range(self.seeds)),
                        self.seeds,
                        "",
                    )
                )
                names += cells
        clusters = tuple(f"p{k}" for k in range(self.prompts))
        difficulty = random.normal(0, self.prompt_sd, self.prompts)
        grids = []
        for o, objective in enumerate(OBJECTIVES):
            shared, own = random.normal(size=(methods, 1, self.seeds)), random.normal(size=(methods, count, self.seeds))
            effect = np.sqrt(self.along_sweep) * shared + np.sqrt(1 - self.along_sweep) * own
            sd = self.seed_sd * np.where(np.arange(methods) == methods - 1, self.unstable, 1.0)
            moved = self.means[:, :, None, o] + sd[:, None, None] * effect
            sign = 1 if objective.direction == "maximize" else -1
            p = np.clip(moved.reshape(-1, 1) + sign * difficulty, 0.01, 0.99)
            values = (random.random(p.shape) < p).astype(float) if o == 0 else random.beta(4 * p, 4 * (1 - p))
            ones = np.ones_like(values)
            grids.append(Grid(objective, tuple(names), clusters, values, ones, 0 * ones, values.mean(1), {}))
        return points, grids


def parts_and_noise(points, grids):
    """Variance components and pooled seed noise, as the report computes them."""
    by_name = {grid.objective.name: grid for grid in grids}
    parts = variance_parts(points, by_name)
    return parts, seed_noise(points, ["tiny"], by_name, parts)


def spread_world(methods: int = 3, count: int = 3, **options) -> World:
    """A trade-off per method, each a little behind the one before."""
    steps = np.linspace(0, 1, count)
    means = [np.stack([0.75 - 0.2 * steps - 0.03 * m, 0.45 - 0.25 * steps + 0.03 * m], axis=1) for m in range(methods)]
    return World(np.array(means), **options)


def null_world(methods: int = 3, count: int = 1, **options) -> World:
    """All methods alike."""
    return World(np.tile([0.7, 0.3], (methods, count, 1)), **options)


def coverage(world: World, replications: int, seed: int = 0) -> dict[str, float]:
    """Share of intervals that contain the truth, per kind of estimate."""
    random = np.random.default_rng(seed)
    hits: dict[str, list[bool]] = {}
    for replication in range(replications):
        points, grids = world.draw(random)
        parts, noise = parts_and_noise(points, grids)
        for o, grid in enumerate(grids):
            name = grid.objective.name
            for point, mean in zip(points, world.means[:, :, o].ravel(), strict=True):
                part = parts[point.id, name]
                found = estimate(
                    part.value,
                    seed_and_prompt_error(part, noise.get(("tiny", point.method, name))) or checkpoints(part),
                    (0.0, 1.0),
                    n=world.prompts,
                )
                shaky = world.unstable > 1 and point.method == points[-1].method
                hits.setdefault(f"{name}, unstable method" if shaky else name, []).append(
                    found.low <= mean <= found.high
                )
            pair = [points[0], points[-1]]
            truth = float(world.means[0, 0, o] - world.means[-1, -1, o])
            spread = compare(*pair, grid, noise).difference
            hits.setdefault("paired difference", []).append(spread.low <= truth <= spread.high)
        draws = replicate(points, grids, parts, noise, DRAWS, seed=replication)
        own = [point.id for point in points if point.method == "m0"]
        other = [point.id for point in points if point.method == "m1"]
        names = draws.objectives
        volumes = [
            functional(draws.select(group, names), lambda values: frontier.hypervolumes(values, OBJECTIVES))
            for group in (own, other)
        ]
        truths = [frontier.hypervolume(world.means[m], OBJECTIVES) for m in (0, 1)]
        found = estimate(volumes[0].value, volumes[0].spread, (0.0, 1.0))
        hits.setdefault("hypervolume", []).append(found.low <= truths[0] <= found.high)
        difference = volumes[0] - volumes[1]
        found = estimate(difference.value, difference.spread)
        hits.setdefault("hypervolume difference", []).append(found.low <= truths[0] - truths[1] <= found.high)
    return {name: float(np.mean(found)) for name, found in hits.items()}


def false_alarms(world: World, replications: int, seed: int = 0) -> dict[str, float]:
    """Share of null worlds in which anything at all is called better or worse, or one point is said to dominate."""
    random = np.random.default_rng(seed)
    wrong, dominating = 0, 0
    for _ in range(replications):
        points, grids = world.draw(random)
        _, noise = parts_and_noise(points, grids)
        pairs = [(a, b) for i, a in enumerate(points) for b in points[i + 1 :]]
        compared = []
        for grid in grids:
            compared += [compare(a, b, grid, noise) for a, b in pairs]
        decided = decide(compared, {p.id: p for p in points}, {grid.objective.name: grid for grid in grids})
        wrong += any(comparison.verdict != "tied" for comparison in decided)
        by_pair: dict[tuple[str, str], set[str]] = {}
        for comparison in decided:
            by_pair.setdefault((comparison.first, comparison.second), set()).add(comparison.verdict)
        dominating += any(verdicts in ({"better"}, {"worse"}) for verdicts in by_pair.values())
    return {"any difference": wrong / replications, "dominates": dominating / replications}


def power(effects, replications: int, prompts: int = 120, seed: int = 0) -> dict[float, float]:
    """Share of worlds in which a true effect on the win rate is called better, two methods, three seeds."""
    found = {}
    for effect in effects:
        random = np.random.default_rng([seed, int(1000 * effect)])
        world = World(np.array([[[0.6 + effect, 0.3]], [[0.6, 0.3]]]), prompts=prompts)
        called = 0
        for _ in range(replications):
            points, grids = world.draw(random)
            _, noise = parts_and_noise(points, grids)
            decided = decide(
                [compare(*points, grids[0], noise)],
                {p.id: p for p in points},
                {"win_rate": grids[0]},
            )
            called += decided[0].verdict == "better"
        found[float(effect)] = called / replications
    return found


def length_control_coverage(replications: int, prompts: int = 200, seed: int = 0) -> float:
    """Share of length-controlled intervals that contain σ(θ), one seed, a judge that likes length."""
    random = np.random.default_rng(seed)
    theta, phi, hits = 0.4, 0.8, 0
    for replication in range(replications):
        difference = random.normal(8, 12, prompts)
        wins = (random.random(prompts) < 1 / (1 + np.exp(-(theta + phi * np.tanh(difference / 12))))).astype(float)
        share = weights("prompt", range(prompts), DRAWS, replication)
        value, draws, _ = refit(wins, difference, 12.0, share * prompts)
        se = float(draws.std(ddof=1) * np.sqrt((prompts + 1) / (prompts - 1)))
        found = estimate(value, Spread(se, prompts - 1), (0.0, 1.0))
        hits += found.low <= 1 / (1 + np.exp(-theta)) <= found.high
    return hits / replications


def gate_alarms(nights_per_world: int, seeds: int, seed_sd: float = nights.SEED_SD) -> dict[str, float]:
    """Share of nights without any change in which the gate fails, and of its p-values that are below 0.05."""
    failed, p = 0, []
    for seed in range(nights_per_world):
        random = np.random.default_rng([seeds, seed])
        prompts = nights.prompts(random)
        baseline, run = (nights.night(random, prompts, seeds=seeds, seed_sd=seed_sd) for _ in range(2))
        found = judge(nights.stored(run), nights.stored(baseline, "baseline"), resamples=100)
        failed += found.verdict is Verdict.REGRESSION
        p += [row.p for row in found.differences if row.p is not None]
    return {"failed nights": failed / nights_per_world, "p below 0.05": float(np.mean(np.array(p) < 0.05))}


EFFECTS = (0.0, 0.05, 0.1, 0.15, 0.2, 0.25)


def worlds() -> dict[str, World]:
    """The settings of the standard run, and some that break what the estimators assume."""
    standard = {
        f"{seeds} seeds, seed sd {sd:g}": spread_world(seeds=seeds, seed_sd=sd)
        for seeds in (2, 3, 5)
        for sd in (0.0, 0.02, 0.05)
    }
    return standard | {
        "sweep points independent": spread_world(seed_sd=0.05, along_sweep=0.0),
        "sweep points move as one": spread_world(seed_sd=0.05, along_sweep=1.0),
        "two methods, 2 seeds": spread_world(methods=2, count=1, seeds=2),
        "ten methods, 2 seeds": spread_world(methods=10, count=1, seeds=2),
        "last of 3 unstable": spread_world(seed_sd=0.02, unstable=5.0),
    }


def main(
    replications: Annotated[int, typer.Argument(help="Worlds drawn per setting.")] = 2000,
    folder: Annotated[str, typer.Argument(help="Where to write.")] = "calibration",
) -> None:
    """Count how often the reports' intervals contain the truth, and how often a null is called a difference."""
    import pandas as pd

    rows = []
    for label, world in worlds().items():
        rows += [("coverage", name, label, share) for name, share in coverage(world, replications, seed=1).items()]
        null = replace(world, means=np.broadcast_to([0.7, 0.3], world.means[:, :1].shape))
        rows += [
            ("false alarm", name, label, share) for name, share in false_alarms(null, replications, seed=2).items()
        ]
        print(label, {name: f"{share:.3f}" for _, name, where, share in rows if where == label}, flush=True)
    rows.append(("coverage", "length-controlled win rate", "1 seed", length_control_coverage(replications)))
    for seeds, sd in ((1, 0.0), (2, nights.SEED_SD), (5, nights.SEED_SD)):
        # a night takes ten times as long as a world
        found = gate_alarms(max(1, replications // 3), seeds, sd)
        rows += [("gate", name, plural(seeds, "seed"), share) for name, share in found.items()]
        print("gate,", plural(seeds, "seed"), {name: f"{share:.4f}" for name, share in found.items()}, flush=True)
    curves = {n: power(EFFECTS, max(1, replications // 4), n) for n in (60, 120, 240)}
    rows += [
        ("power", f"{n} prompts", f"effect {at:g}", share) for n, curve in curves.items() for at, share in curve.items()
    ]
    out = Path(folder)
    out.mkdir(parents=True, exist_ok=True)
    frame = pd.DataFrame(rows, columns=["what", "name", "world", "share"]).assign(replications=replications)
    frame.to_csv(out / "calibration.csv", index=False)
    draw(frame, curves, out / "calibration")
    covered = frame[(frame.what == "coverage") & ~frame.name.str.contains("unstable")]
    print(covered.groupby("name", sort=False).share.agg(["min", "max"]).round(3).to_string())
    print(f"wrote {out}/calibration.csv")


def draw(frame, curves: dict[int, dict[float, float]], stem: Path) -> None:
    """Coverage by kind of estimate beside power curves."""
    import matplotlib
    from matplotlib.figure import Figure

    from reports.page.figures import SETTINGS, save

    with matplotlib.rc_context(SETTINGS):
        figure = Figure(figsize=(7, 3), layout="constrained")
        left, right = figure.subplots(1, 2)
        covered = frame[frame.what == "coverage"]
        for row, (_, group) in enumerate(covered.groupby("name", sort=False)):
            left.plot(group.share, [row] * len(group), "o", ms=4, mfc="none")
        left.set_yticks(range(covered.name.nunique()), covered.name.unique())
        left.axvspan(0.93, 0.97, color="#009E73", alpha=0.12)
        left.axvline(0.95, color="#009E73", lw=0.8)
        left.set_xlabel("Share of 95 % intervals with the truth")
        for n, curve in curves.items():
            right.plot(list(curve), list(curve.values()), marker="o", ms=3, label=f"{n} prompts")
        right.set_xlabel("True difference in win rate")
        right.set_ylabel("Called better")
        right.legend()
        save(figure, stem, ("pdf", "png"))


if __name__ == "__main__":
    typer.run(main)

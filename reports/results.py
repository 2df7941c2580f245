"""Results of an analysis as plain records: the only input of tables, charts and pages."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from harness.records import Objective
from reports.grids import Point, Study
from reports.statistics.estimates import Estimate
from reports.statistics.judges.bradley_terry import Ratings
from reports.statistics.judges.debiased import Debiased
from reports.statistics.length_control import LengthControlled
from reports.statistics.verdicts import Comparison
from reports.text import file_name

COSTS = (
    "train_seconds",
    "evaluate_seconds",
    "trained_tokens",
    "generated_tokens",
    "judge_cost",
    "decode_tokens",
    "adaptation_seconds",
)


FEW = 12
"""Up to so many methods every pair is shown; from more, the pairs with the best one."""


@dataclass(frozen=True)
class PointResult:
    """A point with its estimates by objective: of these checkpoints, and of the method (None for one seed).

    `on_frontier` is None for a point that lacks an objective, `membership` also where the draws do not differ. `disagree` has
    the seeds' values of the objectives whose variance between seeds cannot be estimated because the seeds disagree.
    """

    point: Point
    checkpoints: dict[str, Estimate]
    method: dict[str, Estimate | None]
    if_missing: dict[str, tuple[float, float]]
    on_frontier: bool | None
    membership: float | None
    disagree: dict[str, tuple[float, ...]] = field(default_factory=dict)

    def best(self, objective: str) -> Estimate | None:
        """The estimate that answers the wider question that can be answered."""
        return self.method.get(objective) or self.checkpoints.get(objective)

    def shown(self, objective: str) -> Estimate:
        """The same of an objective that the point has."""
        return self.method.get(objective) or self.checkpoints[objective]


@dataclass(frozen=True)
class MethodResult:
    """What one method reached at one model size with all its sweep values together.

    `hypervolume` is keyed by the tuple of objective names, all of them together first. `equal_budget[k-1]` is the
    expected hypervolume of k of its configurations drawn at random. `at_budget` is that of `budget` of them, the number that
    most methods have (all that it has, where these are fewer). `gap` is the mean over its points of the closed-form gap to
    the true frontier, `epsilon` and `igd_plus` the distance of its set from the true set. `mean_inner_product`, `sparsity` and
    `spacing` are those of `indicators`; the last two need several points.
    """

    size: str
    method: str
    label: str
    points: tuple[str, ...]
    on_frontier: int
    hypervolume: dict[tuple[str, ...], Estimate]
    probability_largest: float | None
    equal_budget: tuple[float, ...]
    gap: Estimate | None
    smallest_gap: float | None
    epsilon: float | None = None
    igd_plus: float | None = None
    at_budget: Estimate | None = None
    budget: int = 0
    mean_inner_product: Estimate | None = None
    sparsity: Estimate | None = None
    spacing: Estimate | None = None


@dataclass(frozen=True)
class HypervolumeComparison:
    """Difference of two methods' hypervolumes (first − second) at one size, and P(first > second).

    Both are expected hypervolumes of `settings` configurations drawn at random, the number that both have. The interval of
    `difference` and `p` hold for all pairs of the size together, and the verdict is the interval's.
    """

    size: str
    first: str
    second: str
    difference: Estimate
    probability: float
    p: float | None
    verdict: str
    settings: int = 0
    note: str = ""


@dataclass(frozen=True)
class HeldOut:
    """The points of one method (or of all, with method None) that are non-dominated on the validation prompts.

    `validation` is their hypervolume there, `test` that of the same points on the test prompts. The seeds that chose are those
    that are measured, so that `test` is about these checkpoints and its interval over prompts alone. `optimism` is how much
    larger a set looks on the prompts that chose it (`selection.optimism`). `still` counts the chosen that are non-dominated
    on the test prompts too.
    """

    size: str
    method: str | None
    chosen: tuple[str, ...]
    of: int
    still: int
    validation: float
    test: Estimate
    optimism: float


@dataclass(frozen=True)
class GapRank:
    """A method's place by its gap to the true frontier at one size (`gaps.best_of`), first those that may be as good as the first.

    `settings` is how many it tried, `budget` among how many each method's best is taken. `ranks` is the 95 % range of its
    place. `behind` is its gap less the first's with the interval that holds for all pairs of the size together, and `tied`
    whether that interval leaves it open that the method is as good; both None where the seeds cannot tell. `by_seed` are the
    gaps of the single seeds.
    """

    size: str
    method: str
    label: str
    settings: int
    budget: int
    gap: Estimate
    rank: int
    ranks: tuple[int, int] | None
    tied: bool | None
    behind: Estimate | None = None
    by_seed: tuple[float, ...] = ()
    note: str = ""


@dataclass(frozen=True)
class JudgeAgreement:
    """Two judges of the same answers at one size: agreement on items, Kendall's τ over points, and both ranks of each point.

    `kappa` is Cohen's and `alpha` Krippendorff's, both of the winners that the judges call.
    """

    size: str
    first: Objective
    second: Objective
    items: int
    agree: float | None
    kappa: float | None
    alpha: float | None
    tau: float
    tau_interval: tuple[float, float] | None
    ranks: dict[str, tuple[int, int]]


@dataclass(frozen=True)
class Arena:
    """Ratings of the points of one size by one judge, or by another user objective."""

    size: str
    objective: Objective
    points: tuple[str, ...]
    ratings: Ratings


@dataclass(frozen=True)
class Corrected:
    """A point's rate by one judge as it stands (`judge`) and corrected by labels of people (`result`).

    `agree` is the share of the labelled outputs on which judge and people call the same winner, `alpha` Krippendorff's α of it.
    """

    size: str
    objective: Objective
    point: str
    judge: Estimate
    result: Debiased
    agree: float
    alpha: float | None


@dataclass(frozen=True)
class Panel:
    """One frontier picture: designer objective `x` against user objective `y` at one size."""

    size: str
    x: Objective
    y: Objective
    frontier: np.ndarray
    steps: dict[str, np.ndarray]
    attainment: dict[str, dict[int, np.ndarray]]
    truth: dict[float, np.ndarray]

    @property
    def file(self) -> str:
        """Name of the panel's files, without an ending."""
        return file_name("frontier", self.size, self.y.name, self.x.name)


@dataclass(frozen=True)
class Budget:
    """How much tuning a method was given: configurations, runs planned and failed, seconds and tokens."""

    method: str
    label: str
    configurations: int
    planned: int
    failed: int
    seconds: float
    tokens: int


@dataclass(frozen=True)
class Analysis:
    """All results of one run, in reading order."""

    study: Study
    objectives: tuple[Objective, ...]
    points: dict[str, PointResult]
    methods: tuple[MethodResult, ...]
    panels: tuple[Panel, ...]
    hypervolumes: tuple[HypervolumeComparison, ...]
    held_out: tuple[HeldOut, ...]
    gaps: tuple[GapRank, ...]
    judges: tuple[JudgeAgreement, ...]
    comparisons: tuple[Comparison, ...]
    best: dict[tuple[str, str], frozenset[str]]
    length_controlled: tuple[LengthControlled, ...]
    budgets: tuple[Budget, ...]
    costs: dict[str, dict[str, float]]
    resamples: int
    seed: int
    arenas: tuple[Arena, ...] = ()
    corrected: tuple[Corrected, ...] = ()

    @property
    def split(self) -> bool:
        """Whether points were chosen on the validation prompts and compared on the test prompts."""
        return bool(self.held_out)

    @property
    def many(self) -> bool:
        """Whether there are too many methods to show every pair."""
        return max((len(self.of(size)) for size in self.study.sizes), default=0) > FEW

    def largest(self, size: str) -> str | None:
        """The method with the largest hypervolume at the number of settings that most methods have."""
        ranked = self.ranked(size)
        return ranked[0].method if ranked else None

    def ranked(self, size: str) -> list[MethodResult]:
        """Methods from the largest hypervolume at equal numbers of settings to the smallest."""
        volumes = [(result.at_budget.value, result) for result in self.of(size) if result.at_budget]
        return [result for _, result in sorted(volumes, key=lambda pair: -pair[0])]

    @property
    def reference_stated(self) -> bool:
        return all(objective.reference_point is not None for objective in self.objectives)

    def of(self, size: str) -> list[MethodResult]:
        return [result for result in self.methods if result.size == size]

    def label(self, method: str) -> str:
        return next((result.label for result in self.methods if result.method == method), method)

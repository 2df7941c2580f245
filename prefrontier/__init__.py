"""Python interface: train a method on preference pairs, score texts, compare methods on a Pareto frontier.

Importing this package loads neither torch nor pandas; each function loads what it needs. `docs/python.md` shows every
function at work.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from prefrontier.packages import use

if TYPE_CHECKING:
    import pandas as pd

    from harness.records import Objective
    from prefrontier.comparison import Comparison
    from trainers.config import Progress, TrainResult

__version__ = "0.1.0"
__all__ = ["Objective", "__version__", "frontier", "score", "train"]


def train(
    method: str,
    data: str | Path | pd.DataFrame | Iterable[Mapping[str, Any]],
    base: str | Path,
    out: str | Path,
    *,
    parameters: Mapping[str, Any] | None = None,
    training: Mapping[str, Any] | None = None,
    references: Sequence[str | Path] = (),
    rewards: str | Path | pd.DataFrame | None = None,
    objective_weights: Mapping[str, float] | None = None,
    progress: Callable[[Progress], None] | None = None,
) -> TrainResult:
    """Train a policy with a preference-optimization method.

    Parameters
    ----------
    method : str
        Identifier of the method, e.g. ``"dpo"``; ``docs/methods.md`` lists all.
    data : path, hub id, DataFrame or iterable of mappings
        Pairs with ``prompt``, ``chosen`` and ``rejected``; for methods that need no pairs also examples with
        ``prompt``, ``response`` and ``label``, or groups with ``prompt`` and ``responses``. A path ends in ``.jsonl``,
        ``.jsonl.gz`` or ``.parquet``.
    base : path or hub id
        Causal language model from which training starts. It is also the reference model unless `references` names
        another one.
    out : path
        Folder of the finished checkpoint, in Hugging Face's format. It must not exist yet. An interrupted run resumes
        from the state stored beside it.
    parameters : mapping, optional
        Hyperparameters of the method, e.g. ``{"beta": 0.1}``.
    training : mapping, optional
        Fields of `trainers.config.TrainConfig`, e.g. ``{"learning_rate": 1e-6, "batch_size": 32}``.
    references : sequence of paths or hub ids
        Reference models.
    rewards : path or DataFrame, optional
        Designer rewards of the responses: columns ``id`` (of the pair), ``response`` (``"chosen"`` or ``"rejected"``)
        and one column per objective.
    objective_weights : mapping of str to float, optional
        Weights of the objectives in the designer reward R.
    progress : callable, optional
        Called with a `trainers.config.Progress` every ``log_every`` steps.

    Returns
    -------
    trainers.config.TrainResult
        Checkpoint folder, seconds, tokens, steps, curve and health of the run.

    Raises
    ------
    ValueError
        For an unknown method, hyperparameter or training field (with the nearest known name), for unusable rows
        (with their line), and for references or rewards that the method needs and that are missing.
    ImportError
        If another package named ``trainers`` is already imported.
    """
    use("trainers", "harness")
    from prefrontier.training import run

    return run(
        method, data, base, out, parameters or {}, training or {}, references, rewards, objective_weights, progress
    )


def score(
    texts: Mapping[str, str] | Iterable[str], *, toxicity: str | Path | None = None, device: str = "cpu"
) -> pd.DataFrame:
    """Score texts by style and, with a classifier, by toxicity.

    Parameters
    ----------
    texts : iterable of str, or mapping of str to str
        Texts, or texts by item id. Without ids, items are numbered from 0 in the order given.
    toxicity : str or path, optional
        Detoxify's model by name (``"unbiased"``, downloaded from its hub) or a folder with a checkpoint in Detoxify's
        format.
    device : str
        Device of the toxicity classifier.

    Returns
    -------
    DataFrame
        One row per text and objective: ``objective``, ``item``, ``value`` and ``status``. The objectives are
        ``readability`` (in [0, 1], larger is better), ``grade_fk`` (Flesch-Kincaid reading grade), ``length`` (words)
        and, with a classifier, ``toxicity`` (largest category, in [0, 1]). A text without a value (code, another
        language, fewer than five words) has NaN and the status ``unparsable``; an empty one has the worst value and
        the status ``empty``.

    Raises
    ------
    TypeError
        If a text is not a string.
    ImportError
        If another package named ``suites`` or ``harness`` is already imported.

    Examples
    --------
    >>> table = score({"a": "The cat sat on the mat today.", "b": ""})
    >>> table[table.objective == "length"][["item", "value", "status"]].to_numpy().tolist()
    [['a', 7.0, 'ok'], ['b', 0.0, 'empty']]
    """
    use("trainers", "suites", "harness")
    from prefrontier.texts import score_texts

    return score_texts(texts, toxicity, device)


def frontier(
    scores: pd.DataFrame, objectives: Sequence[Objective], *, resamples: int = 2000, seed: int = 0
) -> Comparison:
    """Compare methods on the Pareto frontier of their item scores, with intervals and verdicts.

    Parameters
    ----------
    scores : DataFrame
        One row per method, objective and item. Required columns: ``method``, ``objective``, ``item``, ``value``.
        Optional columns: ``setting`` (several settings of one method, e.g. values of beta, are several points), ``seed``
        (training seed, 0 by default), ``size`` (model size; sizes are compared separately), ``cluster`` (items of one
        prompt, e.g. several samples, share a cluster; the item itself by default) and ``status`` (of
        `harness.records.Status`, ``"ok"`` by default). A missing value is NaN with the status ``"error"``,
        ``"unparsable"`` or ``"skipped"``.
    objectives : sequence of Objective
        Direction, bounds and role of every objective in the table. Figures show an objective of role ``"user"`` against
        one of role ``"designer"`` or ``"cost"``; hypervolumes need a ``reference_point`` for every objective.
    resamples : int
        Joint draws of seeds and clusters.
    seed : int
        Root of all random streams.

    Returns
    -------
    prefrontier.comparison.Comparison
        With ``table``, ``verdicts``, ``findings``, ``caveats``, ``figure(path)`` and ``report(folder)``.

    Raises
    ------
    ValueError
        In one line that names the row or column: for a missing or unknown column, an objective without a declaration, a
        duplicate, a value that is not a finite number within the bounds, and for policies measured on different items.
    ImportError
        If another package named ``reports`` or ``harness`` is already imported.

    Examples
    --------
    >>> import pandas as pd
    >>> from prefrontier import Objective
    >>> rows = [("A", "wins", item, item % 2) for item in range(20)] + [("B", "wins", item, 1) for item in range(20)]
    >>> scores = pd.DataFrame(rows, columns=["method", "objective", "item", "value"])
    >>> result = frontier(scores, [Objective("wins", "Wins", "maximize", "probability", (0, 1), "user")])
    >>> result.table[["method", "value", "n"]].to_numpy().tolist()
    [['A', 0.5, 20], ['B', 1.0, 20]]
    """
    use("reports", "harness")
    from prefrontier.comparison import compare

    return compare(scores, objectives, resamples, seed)


def __getattr__(name: str) -> Any:
    """`Objective`, the record type of `harness.records`, loaded on first use."""
    if name == "Objective":
        use("harness")
        from harness.records import Objective

        return Objective
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

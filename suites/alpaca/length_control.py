"""alpaca-eval's length-controlled win rates, fitted by the library on features supplied here.

Left to itself the library downloads ``df_gamed.csv`` at every fit, looks an instruction's difficulty up by the position
of its row among the annotations, drops rows without a verdict from one figure and not from the other, writes
the weights beside its own code, switches scikit-learn's metadata routing on for the whole process, and
reports the spread of fitted probabilities as the standard error of the rate. Here it reads a local file, is
told the instruction of every row, gets rows with a verdict only, writes into a temporary folder, and leaves no
setting behind; the standard error is that of refits on redrawn instructions.
"""

from __future__ import annotations

import contextlib
import math
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

from suites.alpaca.annotator import contained
from suites.isolation import replaced

if TYPE_CHECKING:
    import pandas as pd

MIN_ITEMS = 20
"""Fewer comparisons than this leave folds of the GLM's 5-fold cross-validation with 3 or fewer items."""

COLUMNS = ("model", "index", "std_delta_len", "instruction_difficulty", "not_gamed_baseline", "preference")
_TERMS = {"length": "np.tanh(std_delta_len)", "model": "not_gamed_baseline.astype(float)"}
_DIFFICULTY = "instruction_difficulty"


@dataclass(frozen=True)
class LengthControlled:
    """A fitted length-controlled win rate.

    Parameters
    ----------
    win_rate : float
        In percent, over the rows with a verdict.
    weights : dict of str to float
        The GLM's coefficients under alpaca-eval's names.
    n : int
        Rows with a verdict: those that were fitted and averaged.
    """

    win_rate: float
    weights: dict[str, float]
    n: int


@dataclass(frozen=True)
class Difficulties:
    """AlpacaEval's per-instruction difficulty and the judged rows of its two gamed baselines.

    Parameters
    ----------
    gamed : DataFrame
        Rows of ``df_gamed.csv`` (columns `COLUMNS`), a whole model after the other in the order of the
        instructions, because the library takes difficulties by row number from the first.
    """

    gamed: pd.DataFrame

    @classmethod
    def read(cls, file: Path) -> Difficulties:
        """Read ``df_gamed.csv`` (of the hub data set ``tatsu-lab/alpaca_eval``) or a file of the same form.

        Raises
        ------
        ValueError
            Naming the file, for a missing column or a model that does not have every instruction once.
        """
        import pandas as pd

        gamed = pd.read_csv(file)
        if missing := [column for column in COLUMNS if column not in gamed]:
            raise ValueError(f"{file}: no column {', '.join(missing)}; the columns are {', '.join(gamed)}")
        gamed = gamed.sort_values(["model", "index"], kind="stable", ignore_index=True)
        for model, rows in gamed.groupby("model"):
            if rows["index"].tolist() != list(range(gamed["index"].max() + 1)):
                raise ValueError(
                    f"{file}: {model} does not have every instruction from 0 to {gamed['index'].max()} once"
                )
        return cls(gamed)

    def __len__(self) -> int:
        return int(self.gamed["index"].max()) + 1

    def of(self, instructions: Sequence[int]) -> list[float]:
        """The difficulties of instructions, by their number."""
        difficulties: list[float] = self.gamed[_DIFFICULTY].to_numpy()[list(instructions)].tolist()
        return difficulties


def minimal(preferences: Sequence[float | None], reference: Sequence[str], policy: Sequence[str]) -> float | None:
    """The length-controlled win rate on any prompt set, in percent; None where there is nothing to control.

    The GLM is the library's ``length_controlled_minimal``, logit P(win) = a + b tanh(Δlength / sd(Δlength)),
    evaluated at no length difference. It reads neither difficulties nor gamed rows, but the library loads
    their file all the same, so it is handed a stand-in of zeros.

    Parameters
    ----------
    preferences : sequence of float or None
        alpaca-eval's, in [1, 2]; None or NaN where there is no verdict.
    reference, policy : sequence of str
        The two responses of every comparison.
    """
    import pandas as pd

    table = _table(preferences, reference, policy, range(len(preferences)))
    difference = table["output_1"].str.len() - table["output_2"].str.len()
    if len(table) < MIN_ITEMS or difference.nunique() < 2:
        return None
    if table["preference"].nunique() == 1:  # length explains nothing, and a clean sweep has no finite fit
        return 100 * float(table["preference"].iloc[0] - 1)
    nothing = {"model": "none", "std_delta_len": 0.0, _DIFFICULTY: 0.0, "not_gamed_baseline": False, "preference": 0.5}
    return _fit(
        table, pd.DataFrame({"index": range(len(preferences)), **nothing}), "length_controlled_minimal"
    ).win_rate


def length_controlled(
    preferences: Sequence[float | None],
    reference: Sequence[str],
    policy: Sequence[str],
    instructions: Sequence[int],
    difficulties: Difficulties,
) -> LengthControlled:
    r"""AlpacaEval 2's length-controlled win rate (``length_controlled_v1``), refitted.

    :math:`\operatorname{logit} P(\text{win}) = \phi\tanh(\Delta/s) + \psi d + \theta` with d the instruction's
    difficulty (Dubois et al. 2024, arXiv:2404.04475), fitted on the model's rows and, with weight 0.1 each,
    those of the gamed baselines; the rate is the mean over the model's rows at :math:`\Delta = 0`.

    Parameters
    ----------
    preferences : sequence of float or None
        alpaca-eval's, in [1, 2]; None or NaN where there is no verdict: such rows are neither fitted nor averaged.
    reference, policy : sequence of str
    instructions : sequence of int
        Each row's number among AlpacaEval's instructions; any subset in any order.
    difficulties : Difficulties

    Raises
    ------
    ValueError
        For sequences of unequal lengths, an instruction out of range, or fewer than 20 rows with a verdict.
    """
    outside = [i for i in instructions if not 0 <= i < len(difficulties)]
    if outside:
        raise ValueError(f"instruction {outside[0]} has no difficulty; they are numbered 0 to {len(difficulties) - 1}")
    table = _table(preferences, reference, policy, instructions)
    if len(table) < MIN_ITEMS:
        raise ValueError(f"{len(table)} comparisons with a verdict are too few for the GLM; it needs {MIN_ITEMS}")
    return _fit(table, difficulties.gamed, "length_controlled_v1")


def standard_error(
    preferences: Sequence[float | None],
    reference: Sequence[str],
    policy: Sequence[str],
    instructions: Sequence[int],
    difficulties: Difficulties,
    draws: int = 200,
    seed: int = 0,
) -> float:
    """Standard error of `length_controlled`'s rate, in percent: its spread over refits on redrawn instructions.

    The library's own ``lc_standard_error`` is the standard error of the mean of the fitted probabilities, which
    holds the fit itself for exact.
    """
    import numpy as np

    judged = _judged(preferences)
    random = np.random.default_rng(seed)

    def rate() -> float:
        drawn = random.choice(judged, size=len(judged))
        return length_controlled(
            [preferences[i] for i in drawn],
            [reference[i] for i in drawn],
            [policy[i] for i in drawn],
            [instructions[i] for i in drawn],
            difficulties,
        ).win_rate

    return float(np.std([rate() for _ in range(draws)], ddof=1))


def predicted(weights: Mapping[str, float], difficulties: Sequence[float]) -> float:
    """The length-controlled win rate that published GLM weights give, in percent, by alpaca-eval's `predict_winrate`.

    Parameters
    ----------
    weights : mapping of str to float
        A row of alpaca-eval's weight tables.
    difficulties : sequence of float
        Of the instructions that were judged.

    Examples
    --------
    >>> round(predicted({"instruction_difficulty": 1.0, "not_gamed_baseline.astype(float)": 0.0}, [-1.0, 1.0]), 6)
    50.0
    """
    import pandas as pd

    names = (_TERMS["length"], _DIFFICULTY, _TERMS["model"])
    table = pd.DataFrame({"model": {n: weights.get(n, 0.0) for n in names}, "reference": dict.fromkeys(names, 0.0)}).T
    with _library({"instruction_difficulty.csv": pd.Series(difficulties, name=_DIFFICULTY)}) as (glm_winrate, _):
        return 100 * float(glm_winrate.predict_winrate("model", "reference", weights=table))


def _judged(preferences: Sequence[float | None]) -> list[int]:
    """The positions that have a verdict."""
    return [i for i, preference in enumerate(preferences) if preference is not None and not math.isnan(preference)]


def _table(
    preferences: Sequence[float | None], reference: Sequence[str], policy: Sequence[str], instructions: Sequence[int]
) -> pd.DataFrame:
    """The library's annotations, without the rows that have no verdict and with each row's instruction."""
    import pandas as pd

    lengths = {len(preferences), len(reference), len(policy), len(instructions)}
    if len(lengths) > 1:
        raise ValueError(f"preferences, responses and instructions must be equally many, not {sorted(lengths)}")
    judged = _judged(preferences)
    values = [float(preferences[i] or 0.0) for i in judged]
    if invalid := [value for value in values if not 1 <= value <= 2]:
        raise ValueError(f"a preference is between 1 (the reference) and 2 (the policy), not {invalid[0]}")
    return pd.DataFrame(
        {
            "preference": values,
            "output_1": [reference[i] for i in judged],
            "output_2": [policy[i] for i in judged],
            "index": [instructions[i] for i in judged],
            "generator_1": "reference",
            "generator_2": "policy",
            "annotator": "judge",
        }
    )


def _fit(table: pd.DataFrame, gamed: pd.DataFrame, name: str) -> LengthControlled:
    import pandas as pd

    with _library({"df_gamed.csv": gamed}) as (glm_winrate, folder):
        figures = glm_winrate.get_length_controlled_winrate(
            table, glm_name=name, save_weights_dir=folder, is_warn_extreme_changes=False
        )
        weights = pd.read_csv(folder / name / "baseline_reference.csv", index_col=0).loc["policy"]
    return LengthControlled(float(figures["length_controlled_winrate"]), weights.to_dict(), len(table))


@contextlib.contextmanager
def _library(files: Mapping[str, pd.DataFrame | pd.Series]) -> Iterator[tuple[ModuleType, Path]]:
    """The library's GLM module, with what it would download lying in a folder, and that folder."""
    with contained(), tempfile.TemporaryDirectory() as place:
        import sklearn
        from alpaca_eval.metrics import glm_winrate

        folder = Path(place)
        for name, content in files.items():
            content.to_csv(folder / name, index=name != "df_gamed.csv")

        def local(filename: str, **_: object) -> Path:
            return folder / filename

        with sklearn.config_context(), replaced(glm_winrate, "hf_hub_download", local):
            yield glm_winrate, folder

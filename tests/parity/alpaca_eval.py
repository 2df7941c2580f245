"""AlpacaEval 2 from its per-prompt preferences, published beside reproduced: `python -m tests.parity.alpaca_eval FOLDER`.

FOLDER holds ``ae2_preferences.csv.gz`` (model, instruction, the judge's preference, lengths of both outputs),
``published_ae2_leaderboard.csv``, ``published_lc_glm_weights.csv`` and ``gamed_rows_surrogate.csv.gz``, a stand-in for
``df_gamed.csv`` with the published difficulties and lengths of the two gamed baselines and with
preferences as the published weights predict them. ``--draws N`` adds the standard error of the refitted rate.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import pandas as pd

from suites.alpaca import length_control
from suites.alpaca.annotator import raw_win_rate
from suites.alpaca.length_control import Difficulties

TOLERANCES = {"raw": 1e-6, "weights": 1e-4, "refit": 0.3}
RAW = ("win_rate", "standard_error", "n_wins", "n_wins_base", "n_draws", "n_total", "discrete_win_rate")


@dataclass(frozen=True)
class Published:
    """What the folder holds."""

    folder: Path

    @cached_property
    def preferences(self) -> dict[str, pd.DataFrame]:
        rows = pd.read_csv(self.folder / "ae2_preferences.csv.gz")
        return {model: group.reset_index(drop=True) for model, group in rows.groupby("model")}

    @cached_property
    def leaderboard(self) -> pd.DataFrame:
        return pd.read_csv(self.folder / "published_ae2_leaderboard.csv", index_col=0)

    @cached_property
    def weights(self) -> pd.DataFrame:
        return pd.read_csv(self.folder / "published_lc_glm_weights.csv", index_col=0)

    @cached_property
    def difficulties(self) -> Difficulties:
        return Difficulties.read(self.folder / "gamed_rows_surrogate.csv.gz")

    def arguments(self, model: str, by: str = "row") -> tuple:
        """What the GLM takes: only lengths of outputs are published, so texts of these lengths stand for them."""
        rows = self.preferences[model]
        texts = [["x" * n for n in rows[f"chars_output_{i}"]] for i in (1, 2)]
        return rows["preference"].tolist(), *texts, rows[by].tolist(), self.difficulties

    def raw(self, model: str) -> dict[str, float]:
        return raw_win_rate(self.preferences[model]["preference"].tolist())

    def from_weights(self, model: str, by: str) -> float:
        """By the published weights; `by` is "row" (its own difficulty) or "position" (as the library looks it up)."""
        return length_control.predicted(self.weights.loc[model], self.difficulties.of(self.preferences[model][by]))

    def refitted(self, model: str, by: str = "row") -> float:
        return length_control.length_controlled(*self.arguments(model, by)).win_rate


def row(published: Published, model: str, draws: int) -> dict[str, object]:
    """One model's line of the table; a model that is not on the leaderboard has no published figure."""
    raw = published.raw(model)
    line = {
        "model": model,
        "n": int(raw["n_total"]),
        "win rate": raw["win_rate"],
        "standard error": raw["standard_error"],
        "wins/losses/draws": "/".join(f"{raw[name]:.0f}" for name in ("n_wins", "n_wins_base", "n_draws")),
        "LC refitted": published.refitted(model),
    }
    if model in published.leaderboard.index:
        printed = published.leaderboard.loc[model]
        line |= {
            "published": printed["win_rate"],
            "largest raw error": max(abs(raw[name] - printed[name]) for name in RAW),
            "LC published": printed["length_controlled_winrate"],
            "LC by weights": published.from_weights(model, "position"),
            "LC, own difficulty": published.from_weights(model, "row"),
            "LC refitted by position": published.refitted(model, "position"),
            "LC error published": printed["lc_standard_error"],
        }
    if draws:
        line["LC error refitted"] = length_control.standard_error(*published.arguments(model), draws=draws)
    return line


COLUMNS = {
    "model": "",
    "n": "d",
    "published": ".4f",
    "win rate": ".4f",
    "standard error": ".4f",
    "wins/losses/draws": "",
    "largest raw error": ".0e",
    "LC published": ".4f",
    "LC by weights": ".4f",
    "LC, own difficulty": ".4f",
    "LC refitted": ".4f",
    "LC refitted by position": ".4f",
    "LC error published": ".2f",
    "LC error refitted": ".2f",
}


def table(lines: list[dict]) -> str:
    """Markdown, without the columns that no line has."""
    columns = {name: form for name, form in COLUMNS.items() if any(name in line for line in lines)}
    cells = [
        [format(line[name], form) if pd.notna(line.get(name)) else "" for name, form in columns.items()]
        for line in lines
    ]
    return "\n".join("| " + " | ".join(row) + " |" for row in [list(columns), ["---"] * len(columns), *cells])


def worst(lines: list[dict]) -> dict[str, float]:
    """The largest difference from the published figures of each kind."""
    with_published = [line for line in lines if "published" in line]
    return {
        "raw": max(line["largest raw error"] for line in with_published),
        "weights": max(abs(line["LC by weights"] - line["LC published"]) for line in with_published),
        "refit": max(abs(line["LC refitted by position"] - line["LC published"]) for line in with_published),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--models", nargs="*", help="only these")
    parser.add_argument(
        "--draws", type=int, default=0, help="redraws of the instructions for the refitted rate's error"
    )
    options = parser.parse_args()
    published = Published(options.folder)
    lines = [row(published, model, options.draws) for model in options.models or published.preferences]
    lines.sort(key=lambda line: -line["win rate"])
    print(table(lines))
    differences = worst(lines)
    print()
    for name, tolerance in TOLERANCES.items():
        print(f"largest difference, {name}: {differences[name]:.3g} (wanted: {tolerance:g})")


if __name__ == "__main__":
    main()

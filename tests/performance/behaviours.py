"""Claims of the papers about their methods, checked on a finished run of `prefrontier run methods`.

    python -m tests.performance.behaviours runs/methods

Each claim is a direction: a quantity of one method is smaller or larger than of a rival. Cells of the same seed are
compared, at the same value of the sweep where both methods sweep the same scalar, and every setting with every setting
where they do not. A method that is its own rival is compared with its settings of a smaller sweep value. A claim *shows* where at least nine in ten of these comparisons go its way, is *contrary* where
at most one in ten does, and is *mixed* otherwise. Few seeds and four settings are no test of significance, and the
world is synthetic: a claim that does not show here may hold elsewhere.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import pandas as pd
import typer

from harness.records import Records

SHOWS, CONTRARY = 0.9, 0.1


@dataclass(frozen=True)
class Claim:
    """`quantity` of `method` is smaller or larger (`direction`) than of `rival`."""

    words: str
    method: str
    direction: str
    rival: str
    quantity: str


CHOSEN, OFF, LENGTH, ENTROPY = "health/chosen_logp_change", "exact/mass_off_grammar", "tokens", "exact/entropy"
TOXICITY, READABILITY, GAP = "exact/toxicity_conditional", "exact/readability_conditional", "exact/gap_at_budget"
DELTA, AGAINST, KL = "health/delta", "health/delta_contradicted", "exact/kl"
WIN = "exact/win_rate_conditional"

CLAIMS = [
    Claim("DPO lowers the chosen response's log-prob (displacement)", "dpo", "<", "base", CHOSEN),
    Claim("Minor DPO displaces the chosen response less than DPO", "minor_dpo", ">", "dpo", CHOSEN),
    Claim("BAPO keeps the chosen response likelier than DPO", "bapo", ">", "dpo", CHOSEN),
    Claim("BAPO keeps more probability on the base's responses", "bapo", "<", "dpo", OFF),
    Claim("NCA, unlike DPO, does not lower the chosen log-prob", "nca", ">", "dpo", CHOSEN),
    Claim("IPO (sum) bounds the margin that DPO lets grow", "ipo_sum", "<", "dpo", DELTA),
    Claim("cDPO is less confident than DPO", "cdpo", "<", "dpo", DELTA),
    Claim("EXO is sharper (lower entropy) than DPO", "exo", "<", "dpo", ENTROPY),
    Claim("SimPO writes shorter than DPO", "simpo", "<", "dpo", LENGTH),
    Claim("α-DPO writes shorter than DPO", "alpha_dpo", "<", "dpo", LENGTH),
    Claim("CPO's likelihood term holds the grammar better than SimPO", "cpo", "<", "simpo", OFF),
    Claim("ORPO's likelihood term holds the grammar better than DPO", "orpo", "<", "dpo", OFF),
    Claim("KTO with likelihood holds the grammar better than KTO", "kto_sft", "<", "kto", OFF),
    Claim("UPO's rewards lower toxicity, beyond its likelihood term", "upo", "<", "kto_sft", TOXICITY),
    Claim("UPO's rewards raise readability, beyond its likelihood term", "upo", ">", "kto_sft", READABILITY),
    Claim("DRO-V lowers toxicity by rewards without pairs", "dro_v", "<", "base", TOXICITY),
    Claim("DRO-V raises readability by rewards without pairs", "dro_v", ">", "base", READABILITY),
    Claim("A-LoL lowers toxicity by rewards without pairs", "a_lol", "<", "base", TOXICITY),
    Claim("aoPPO uses the designer reward that oPPO lacks: less toxic", "aoppo", "<", "oppo", TOXICITY),
    Claim("MODPO does not turn a pair round whose label the reward contradicts", "modpo", ">", "base", AGAINST),
    Claim("UPO does: rejected but rewarded responses become the likelier", "upo", "<", "base", AGAINST),
    Claim("MODPO is nearer the true frontier than DPO", "modpo", "<", "dpo", GAP),
    Claim("UPO is nearer the true frontier than KTO", "upo", "<", "kto", GAP),
    Claim("UPO is nearer the true frontier than MODPO", "upo", "<", "modpo", GAP),
    Claim("GRPO, on-policy, is nearer the true frontier than UPO", "grpo", "<", "upo", GAP),
    Claim("RSO's own samples beat the given pairs (nearer than DPO)", "rso", "<", "dpo", GAP),
    Claim("APO moves further in equal rounds, the more it extrapolates", "apo", ">", "apo", KL),
    Claim("CSFT, asked for good responses, wins more than its base", "csft", ">", "base", WIN),
    Claim("Rewarded Soups trace a frontier: less toxic with the designer's share", "soup", "<", "soup", TOXICITY),
    Claim("and win less often", "soup", "<", "soup", WIN),
    Claim("RiC traces a frontier from one model: less toxic with the share asked", "ric", "<", "ric", TOXICITY),
    Claim("and wins less often", "ric", "<", "ric", WIN),
    Claim("GRPO trades wins for cleanliness with the weight of the reward", "grpo", "<", "grpo", TOXICITY),
]  # fmt: skip


def quantities(records: Records) -> pd.DataFrame:
    """One row per measured cell: its method, seed and sweep, and every quantity a claim may name."""
    cells = records.cells[records.cells.status == "ok"].set_index("cell")
    measures = records.measures[records.measures.cell.isin(cells.index)]
    wide = measures.assign(name=measures.group + "/" + measures.name).pivot_table("value", "cell", "name")
    wide["tokens"] = records.generations.groupby("cell").n_tokens.mean()
    wide = wide.join(cells[["method", "seed", "sweep", "sweep_value"]])
    wide.loc[wide.method == "base", [CHOSEN, AGAINST]] = 0.0
    return wide


def pairs(table: pd.DataFrame, claim: Claim) -> Iterator[tuple[float, float]]:
    """The comparisons that a claim is judged by."""
    ours, theirs = (table[table.method == name].dropna(subset=[claim.quantity]) for name in (claim.method, claim.rival))
    same_scalar = set(ours.sweep) == set(theirs.sweep) and set(ours.sweep_value) & set(theirs.sweep_value)
    for _, cell in ours.iterrows():
        rivals = theirs[theirs.seed == cell.seed]
        if claim.method == claim.rival:
            rivals = rivals[rivals.sweep_value < cell.sweep_value]
        elif same_scalar:
            rivals = rivals[rivals.sweep_value == cell.sweep_value]
        for rival in rivals[claim.quantity]:
            yield cell[claim.quantity], rival


def verdict(share: float) -> str:
    """
    Examples
    --------
    >>> verdict(1.0), verdict(0.5), verdict(0.0)
    ('shows', 'mixed', 'contrary')
    """
    return "shows" if share >= SHOWS else "contrary" if share <= CONTRARY else "mixed"


def report(records: Records) -> str:
    """The Markdown table; a claim about a method that the run lacks says so."""
    table = quantities(records)
    lines = ["| claim | quantity | method | rival | its way | verdict |", "|---|---|---|---|---|---|"]
    for claim in CLAIMS:
        name = claim.quantity.split("/")[-1]
        compared = list(pairs(table, claim)) if claim.quantity in table else []
        if not compared:
            lines.append(f"| {claim.words} | {name} | | | | not in this run |")
            continue
        agree = sum((a < b) if claim.direction == "<" else (a > b) for a, b in compared)
        ours, theirs = (sum(values) / len(compared) for values in zip(*compared, strict=True))
        count = f"{agree} of {len(compared)}"
        lines.append(
            f"| {claim.words} | {name} | {ours:.3f} | {theirs:.3f} | {count} | {verdict(agree / len(compared))} |"
        )
    return "\n".join(lines)


def main(run_dir: Annotated[Path, typer.Argument(help="A run's output folder.")] = Path("runs/methods")) -> None:
    """Hold the papers' claims about their methods against a finished run."""
    print(report(Records.read(run_dir / "records")))


if __name__ == "__main__":
    typer.run(main)

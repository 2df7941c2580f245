"""Claims of the paper on records whose differences are known."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tests.performance.paper_claims import CLAIMS, held
from tests.reports import synthetic

RECORDS = synthetic.make(prompts=12)


def shifted(shift: dict[str, float]):
    """The records with a constant added to the win rates of some methods; without noise between methods."""
    items = RECORDS.items.copy()
    method = items.cell.map(RECORDS.cells.set_index("cell").method)
    wins = items.objective == "win_rate"
    own = np.random.default_rng(0).normal(0, 1e-3, len(items))
    items.loc[wins, "value"] = 0.5 + method[wins].map(shift).fillna(0.0) + own[wins]
    return replace(RECORDS, items=items)


def verdicts(records):
    return {row[0]: row[-1] for row in held(records)[1:]}


@pytest.mark.parametrize(("gap", "verdict"), [(0.1, "shown"), (-0.1, "not shown")])
def test_a_claim_is_shown_where_every_pair_of_settings_shows_it(gap, verdict):
    told = verdicts(shifted({"upo": gap}))
    assert told["UPO wins more often than DPO"] == told["UPO wins more often than MODPO"] == verdict


def test_a_claim_that_some_settings_show_is_mixed():
    records = shifted({})
    one = records.cells[records.cells.method == "modpo"].point.iloc[0]
    cells = set(records.cells.cell[records.cells.point == one])
    items = records.items.copy()
    lower = items.cell.isin(cells) & (items.objective == "win_rate")
    items.loc[lower, "value"] = items.value[lower] - 0.2
    assert verdicts(replace(records, items=items))["UPO wins more often than MODPO"] == "mixed"


def test_what_was_not_measured_is_said():
    told = verdicts(RECORDS)
    assert set(told) == {claim.words for claim in CLAIMS}
    assert told["UPO violates less than DPO in the most unsafe 10 %"] == "not measured"

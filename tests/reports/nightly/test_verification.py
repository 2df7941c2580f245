"""Agreement of a run with stored figures: equal, reseeded, shifted and incomplete runs."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from reports.nightly.verification import figures, read_figures, verify, write_figures
from reports.run_folder import Refused
from tests.reports import synthetic
from tests.reports.synthetic import METHODS


def made(**options):
    options = {"methods": METHODS[1:4], "sizes": ["tiny"], "seeds": range(5), "prompts": 20} | options
    return synthetic.make(with_generations=False, **options)


def drawn(shift: float, seed: int, settings: int = 40, seeds: int = 5) -> pd.DataFrame:
    """Figures of settings whose seeds scatter by 0.02."""
    random = np.random.default_rng(seed)
    rows = [
        (f"s{i}", "tiny", run, "kl", i + shift + random.normal(0, 0.02))
        for i in range(settings)
        for run in range(seeds)
    ]
    return pd.DataFrame(rows, columns=["setting", "size", "seed", "figure", "value"])


def test_figures_survive_the_file_and_agree_with_themselves(tmp_path):
    records = made()
    write_figures(records, tmp_path / "stored" / "made.csv")
    stored = read_figures(tmp_path / "stored" / "made.csv")
    result = verify(figures(records), stored)
    cells = int((records.cells.status == "ok").sum())
    assert not result.apart and not result.missing and not result.added
    assert result.identical == result.cells == cells
    assert {"sampled win_rate", "win_rate", "kl"} <= set(stored.figure)


def test_other_seeds_agree_and_the_level_holds_for_all_figures_together():
    """Of 200 pairs of independent runs, at most 5 % differ in any of 40 figures, up to sampling error."""
    false = sum(bool(verify(drawn(0.0, 2 * i), drawn(0.0, 2 * i + 1)).apart) for i in range(200))
    assert false <= 20


def test_a_shift_of_several_deviations_is_found():
    result = verify(drawn(0.2, 1), drawn(0.0, 2))
    assert len(result.apart) == 40 and result.identical == 0
    assert all(0.1 < each.run - each.stored < 0.3 and each.low > 0 for each in result.apart)


def test_one_seed_has_no_verdict():
    result = verify(drawn(0.0, 1, seeds=1), drawn(9.0, 2, seeds=1))
    assert not result.apart and all(each.agrees is None for each in result.differences)


def test_settings_on_one_side_are_named():
    ours, theirs = drawn(0.0, 1, settings=3), drawn(0.0, 1, settings=4)
    assert verify(ours, theirs).missing == ("s3, tiny",) and verify(theirs, ours).added == ("s3, tiny",)


def test_a_file_without_a_column_is_refused(tmp_path):
    drawn(0.0, 0).drop(columns="seed").to_csv(tmp_path / "stored.csv", index=False)
    with pytest.raises(Refused, match="column 'seed' is missing"):
        read_figures(tmp_path / "stored.csv")
    with pytest.raises(Refused, match="no such file"):
        read_figures(tmp_path / "other.csv")

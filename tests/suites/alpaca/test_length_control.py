"""Length-controlled win rates: alpaca-eval's own behaviour, and that of the adapter."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.special import expit

from suites.alpaca import length_control
from suites.alpaca.annotator import contained, raw_win_rate
from suites.alpaca.length_control import COLUMNS, Difficulties
from suites.isolation import replaced

N = 300


@pytest.fixture(scope="module")
def library():
    with contained():
        from alpaca_eval.metrics import glm_winrate
    return glm_winrate


@pytest.fixture(scope="module")
def difficulties() -> Difficulties:
    rng = np.random.default_rng(0)
    difficulty = rng.normal(size=N)
    rows = [
        (model, i, sign * 2.0, difficulty[i], False, float(expit(-sign)))
        for model, sign in (("concise", 1.0), ("verbose", -1.0))
        for i in range(N)
    ]
    return Difficulties(pd.DataFrame(rows, columns=list(COLUMNS)))


@pytest.fixture(scope="module")
def contest(difficulties):
    """Judgements that depend on length and on difficulty; texts whose only content is their length."""
    rng = np.random.default_rng(1)
    reference, policy = (["x" * n for n in rng.integers(20, 400, size=N)] for _ in range(2))
    longer = np.array([len(b) - len(a) for a, b in zip(reference, policy, strict=True)]) / 150
    wins = expit(-2.0 + np.tanh(longer) + 2.0 * np.array(difficulties.of(range(N))))
    return (1 + wins).tolist(), reference, policy, list(range(N))


def annotations(contest) -> pd.DataFrame:
    """What the library itself is given by its own command."""
    columns = dict(zip(("preference", "output_1", "output_2"), contest, strict=False))
    return pd.DataFrame({**columns, "generator_1": "a", "generator_2": "b", "annotator": "c"})


def by_the_library(library, frame: pd.DataFrame, difficulties: Difficulties, folder: Path) -> dict:
    """The library's own figures, with nothing changed but where the file comes from."""
    import sklearn

    difficulties.gamed.to_csv(folder / "df_gamed.csv", index=False)
    with (
        sklearn.config_context(),
        contained(),
        replaced(library, "hf_hub_download", lambda **_: folder / "df_gamed.csv"),
    ):
        return library.get_length_controlled_winrate(frame, save_weights_dir=None)


def test_the_library_by_itself_asks_the_network(library, contest):
    asked = []

    def hub(**request):
        asked.append(request["filename"])
        raise ConnectionError("no network")

    with contained(), replaced(library, "hf_hub_download", hub), pytest.raises(ConnectionError):
        library.get_length_controlled_winrate(annotations(contest), save_weights_dir=None)
    assert asked == ["df_gamed.csv"]


def test_complete_rows_give_the_library_s_figures(library, contest, difficulties, tmp_path):
    theirs = by_the_library(library, annotations(contest), difficulties, tmp_path)
    ours = length_control.length_controlled(*contest, difficulties)
    assert ours.win_rate == pytest.approx(theirs["length_controlled_winrate"], abs=1e-9)
    assert ours.n == N


def test_the_weights_predict_the_fitted_rate(contest, difficulties):
    fitted = length_control.length_controlled(*contest, difficulties)
    assert length_control.predicted(fitted.weights, difficulties.of(range(N))) == pytest.approx(
        fitted.win_rate, abs=1e-9
    )


def test_a_subset_keeps_its_own_difficulties(library, contest, difficulties, tmp_path):
    """The library takes the k-th row for the k-th instruction, whichever it is."""
    complete = [i for i in range(N) if i % 3]
    part = tuple([column[i] for i in complete] for column in contest)
    theirs = by_the_library(library, annotations(part), difficulties, tmp_path)
    ours = length_control.length_controlled(*part, difficulties)
    told = by_the_library(library, annotations(part).assign(index=complete), difficulties, tmp_path)
    assert ours.win_rate == pytest.approx(told["length_controlled_winrate"], abs=1e-9)
    assert abs(theirs["length_controlled_winrate"] - ours.win_rate) > 0.5
    shuffled = tuple(list(reversed(column)) for column in part)
    assert length_control.length_controlled(*shuffled, difficulties).win_rate == pytest.approx(ours.win_rate, abs=0.1)


def test_the_features_may_be_in_any_order(contest, difficulties, tmp_path):
    """The library reads difficulties by row number of the file, right only where a whole model comes first in order."""
    mixed = tmp_path / "mixed.csv"
    difficulties.gamed.sample(frac=1, random_state=0).to_csv(mixed, index=False)
    read = Difficulties.read(mixed)
    assert read.of([5, 0]) == pytest.approx(difficulties.of([5, 0]), abs=1e-12)
    expected = length_control.length_controlled(*contest, difficulties).win_rate
    assert length_control.length_controlled(*contest, read).win_rate == pytest.approx(expected, abs=1e-9)


def test_rows_without_a_verdict_are_in_no_figure(library, contest, difficulties, tmp_path):
    """The library leaves them out of the raw rate and of the fit, and counts them in the length-controlled mean."""
    missing = set(range(0, N, 4))
    preferences = [float("nan") if i in missing else p for i, p in enumerate(contest[0])]
    theirs = by_the_library(library, annotations((preferences, *contest[1:])), difficulties, tmp_path)
    assert theirs["n_total"] == N - len(missing)
    ours = length_control.length_controlled(preferences, *contest[1:], difficulties)
    assert ours.n == N - len(missing)
    complete = tuple([column[i] for i in range(N) if i not in missing] for column in contest)
    assert ours == length_control.length_controlled(*complete, difficulties)
    assert abs(theirs["length_controlled_winrate"] - ours.win_rate) > 0.01
    none = [None if i in missing else p for i, p in enumerate(contest[0])]
    assert length_control.length_controlled(none, *contest[1:], difficulties) == ours


def test_a_missing_preference_is_not_silently_left_out_of_the_raw_rate(library):
    with contained():
        assert library.get_winrate([{"preference": p} for p in (2.0, 1.0, float("nan"))])["n_total"] == 2
    with pytest.raises(ValueError, match="1 of 3 preferences are missing"):
        raw_win_rate([2.0, 1.0, float("nan")])


@pytest.mark.parametrize("frame", ["minimal", "v1"])
def test_the_library_s_error_is_too_small(library, contest, difficulties, tmp_path, frame):
    """With all fitted values equal it is 0; with difficulties it is their spread and lacks that of the fit."""
    if frame == "minimal":
        name, zeros = "length_controlled_minimal", difficulties.gamed.assign(instruction_difficulty=0.0)
        zeros.to_csv(tmp_path / "df_gamed.csv", index=False)
        import sklearn

        with (
            sklearn.config_context(),
            contained(),
            replaced(library, "hf_hub_download", lambda **_: tmp_path / "df_gamed.csv"),
        ):
            figures = library.get_length_controlled_winrate(annotations(contest), glm_name=name, save_weights_dir=None)
        assert figures["lc_standard_error"] < 1e-9 < figures["standard_error"]
    else:
        rng = np.random.default_rng(2)
        drawn = [1.0 + float(rng.random() < p - 1) for p in contest[0]]  # a judge that answers 1 or 2
        theirs = by_the_library(library, annotations((drawn, *contest[1:])), difficulties, tmp_path)
        ours = length_control.standard_error(drawn, *contest[1:], difficulties, draws=12)
        assert ours > 1.2 * theirs["lc_standard_error"]


def test_the_library_by_itself_writes_and_switches_metadata_routing_on(library, contest, difficulties, tmp_path):
    """Nothing of either is left by the adapter."""
    import sklearn

    files = set(Path(library.__file__).parent.rglob("*.csv"))
    difficulties.gamed.to_csv(tmp_path / "df_gamed.csv", index=False)
    with (
        sklearn.config_context(),
        contained(),
        replaced(library, "hf_hub_download", lambda **_: tmp_path / "df_gamed.csv"),
    ):
        library.get_length_controlled_winrate(annotations(contest), save_weights_dir=tmp_path / "weights")
        assert sklearn.get_config()["enable_metadata_routing"]
    assert list((tmp_path / "weights").rglob("*.csv"))
    before = sklearn.get_config()
    length_control.length_controlled(*contest, difficulties)
    length_control.predicted({}, [0.0])
    assert sklearn.get_config() == before and not before["enable_metadata_routing"]
    assert set(Path(library.__file__).parent.rglob("*.csv")) == files


def test_bad_input(contest, difficulties, tmp_path):
    preferences, reference, policy, instructions = contest
    with pytest.raises(ValueError, match="instruction 300 has no difficulty; they are numbered 0 to 299"):
        length_control.length_controlled(preferences, reference, policy, [*instructions[:-1], N], difficulties)
    with pytest.raises(ValueError, match="must be equally many"):
        length_control.length_controlled(preferences[:-1], reference, policy, instructions, difficulties)
    with pytest.raises(ValueError, match="between 1"):
        length_control.length_controlled([0.3, *preferences[1:]], reference, policy, instructions, difficulties)
    with pytest.raises(ValueError, match="too few"):
        length_control.length_controlled(preferences[:9], reference[:9], policy[:9], instructions[:9], difficulties)
    file = tmp_path / "gamed.csv"
    difficulties.gamed.drop(columns="preference").to_csv(file, index=False)
    with pytest.raises(ValueError, match="gamed.csv: no column preference"):
        Difficulties.read(file)
    difficulties.gamed.iloc[1:].to_csv(file, index=False)
    with pytest.raises(ValueError, match="gamed.csv: concise does not have every instruction"):
        Difficulties.read(file)

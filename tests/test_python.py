"""Python interface: the page about it runs; tables and files give equal results; faults are one line.

- Every function works in a folder with modules of the user's own under the names of the project's packages.
- The import loads no heavy library.
- Numbers are those of the packages behind the interface.
"""

from __future__ import annotations

import json
import sys
import tomllib
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import prefrontier
from prefrontier import Objective
from prefrontier.packages import PACKAGES, use
from tests.documents import code, python
from tests.paths import ROOT

WINS = Objective("wins", "Wins", "maximize", "probability", (0.0, 1.0), "user", 0.0)
HARM = Objective("harm", "Harm", "minimize", "probability", (0.0, 1.0), "designer", 1.0)
FOREIGN = "raise RuntimeError('this module is the user\\'s')\n"
PAIRS = [{"id": f"p{n}", "prompt": f"Hello {n}?", "chosen": " Good day.", "rejected": " Go away!"} for n in range(6)]


@pytest.fixture(scope="module")
def base(tmp_path_factory) -> Path:
    """A small model from scratch that can encode any text."""
    from trainers.config import ModelConfig
    from trainers.data.tokenizer import bpe_tokenizer
    from trainers.model.loading import make

    folder = tmp_path_factory.mktemp("model") / "base"
    tokenizer = bpe_tokenizer(["Hello there, good day."] * 4, 280, folder)
    make(ModelConfig(layers=1, hidden=16, heads=2, intermediate=32), tokenizer, 0).save_pretrained(folder)
    return folder


@pytest.fixture
def folder(tmp_path) -> Path:
    """A user's folder with own modules under the names of all packages."""
    for name in ("harness", "trainers"):
        (tmp_path / f"{name}.py").write_text(FOREIGN, encoding="utf-8")
    for name in ("suites", "reports"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text(FOREIGN, encoding="utf-8")
    return tmp_path


def scores(seed: int = 0, methods=("A", "B", "C"), seeds=(0, 1), items: int = 40) -> pd.DataFrame:
    random = np.random.default_rng(seed)
    rows = [
        (method, objective, run, f"i{item}", value)
        for rank, method in enumerate(methods)
        for run in seeds
        for item in range(items)
        for objective, value in (
            ("wins", float(random.random() < 0.4 + 0.1 * rank)),
            ("harm", random.uniform(0, 0.4 + 0.1 * rank)),
        )
    ]
    return pd.DataFrame(rows, columns=["method", "objective", "seed", "item", "value"])


def compare(table: pd.DataFrame, objectives=(WINS, HARM)) -> prefrontier.comparison.Comparison:
    return prefrontier.frontier(table, objectives, resamples=200)


# Names and imports


def test_the_page_runs_in_a_folder_with_modules_of_the_users_own(folder, base):
    (folder / "base").symlink_to(base)
    (folder / "script.py").write_text(code("python.md"), encoding="utf-8")
    result = python(["script.py"], folder)
    assert result.returncode == 0, result.stderr
    for made in ("policies/dpo/model.safetensors", "policies/upo/model.safetensors", "frontier.pdf"):
        assert (folder / made).stat().st_size > 1000
    assert "<html" in (folder / "my-comparison" / "report" / "index.html").read_text(encoding="utf-8")
    again = python(["-m", "prefrontier", "report", "my-comparison"], folder)
    assert again.returncode == 0, again.stderr


def test_importing_loads_no_heavy_library(folder):
    heavy = "{'torch', 'transformers', 'pandas', 'numpy', 'harness', 'trainers', 'suites', 'reports'}"
    checked = f"import prefrontier, sys; print(prefrontier.__version__, {heavy} & set(sys.modules))"
    result = python(["-c", checked], folder)
    assert result.stdout.strip() == f"{prefrontier.__version__} set()", result.stderr


def test_the_command_runs_beside_modules_of_the_users_own(folder):
    result = python(["-m", "prefrontier", "--help"], folder)
    assert "compare preference-optimization" in result.stdout, result.stderr


def test_the_installed_command_and_its_workers_find_the_project(folder):
    """The script is the one that installers write for the entry point; spawned workers import it anew."""
    scripts = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["scripts"]
    module, _, function = scripts["prefrontier"].partition(":")
    (folder / "bin").mkdir()
    command = f"import sys\nfrom {module} import {function}\nif __name__ == '__main__':\n    "
    (folder / "bin" / "prefrontier").write_text(f"{command}sys.exit({function}())\n", encoding="utf-8")
    (folder / "bin" / "workers").write_text(
        f"{command}import multiprocessing\n    from harness.errors import nearest\n"
        "    with multiprocessing.get_context('spawn').Pool(1) as pool:\n"
        "        print(pool.apply(nearest, ('a', ['a'])))\n",
        encoding="utf-8",
    )
    path = {"PYTHONPATH": f"{folder}{':' if sys.platform != 'win32' else ';'}{ROOT}"}
    listed = python([str(folder / "bin" / "prefrontier"), "ls"], folder, **path)
    assert "bench" in listed.stdout, listed.stderr
    worked = python([str(folder / "bin" / "workers")], folder, **path)
    assert worked.stdout == "; did you mean 'a'?\n", worked.stderr


@pytest.mark.parametrize("name", PACKAGES)
def test_a_foreign_module_is_named_in_one_line(folder, name):
    for path in (folder / f"{name}.py", folder / name / "__init__.py"):
        if path.exists():
            path.write_text("", encoding="utf-8")
            result = python(["-c", f"import {name}; from prefrontier.packages import use; use({name!r})"], folder)
            assert result.returncode == 1
            last = result.stderr.splitlines()[-1]
            assert last.startswith(f"ImportError: prefrontier has a package named {name!r}, but {path} is already")


def test_packages_already_imported_are_used_as_they_are():
    import harness.records

    before = harness.records
    use(*PACKAGES)
    assert sys.modules["harness.records"] is before


# Training


def test_tables_rows_and_files_give_the_same_policy(base, tmp_path):
    from trainers.align import align
    from trainers.config import TrainConfig
    from trainers.methods import create
    from trainers.model.loading import load, weights_hash

    training = {"learning_rate": 1e-3, "warmup_steps": 0, "batch_size": 3, "optimizer": "adamw"}
    file = tmp_path / "pairs.jsonl"
    file.write_text("\n".join(map(json.dumps, PAIRS)), encoding="utf-8")
    sources = {"rows": PAIRS, "frame": pd.DataFrame(PAIRS), "file": file}
    for name, source in sources.items():
        prefrontier.train("dpo", source, base, tmp_path / name, parameters={"beta": 0.3}, training=training)
    align(create("dpo", beta=0.3), base, file, TrainConfig(**training), tmp_path / "direct")
    assert len({weights_hash(load(tmp_path / name)) for name in (*sources, "direct")}) == 1
    assert weights_hash(load(base)) != weights_hash(load(tmp_path / "direct"))


def test_rewards_of_a_table_reach_the_method(base, tmp_path):
    rewards = pd.DataFrame(
        [(pair["id"], side, value) for pair in PAIRS for side, value in (("chosen", 0.75), ("rejected", 0.25))],
        columns=["id", "response", "polite"],
    )
    result = prefrontier.train(
        "upo", PAIRS, base, tmp_path / "upo", rewards=rewards, objective_weights={"polite": 1.0},
        training={"learning_rate": 1e-3, "warmup_steps": 0, "batch_size": 3},
    )  # fmt: skip
    assert "delta_supported" in result.health and "delta_contradicted" not in result.health


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"method": "dpoo"}, "unknown method 'dpoo'; did you mean 'dpo'?"),
        ({"parameters": {"betta": 1}}, "method 'dpo' has no hyperparameter 'betta'; did you mean 'beta'?"),
        ({"training": {"learning_rte": 1}}, "unknown training setting 'learning_rte'; did you mean 'learning_rate'?"),
        ({"data": [PAIRS[0], PAIRS[1] | {"chosen": ""}]}, "row 2 (id p1): empty 'chosen'"),
        ({"data": [PAIRS[0], PAIRS[1] | {"chosen": float("nan")}]}, "row 2 (id p1): no 'chosen'"),
        ({"data": [PAIRS[0], PAIRS[1] | {"chosen": b"x"}]}, "row 2: not a mapping of JSON values"),
        ({"data": [PAIRS[0], 3]}, "row 2: not a mapping of JSON values"),
        ({"method": "upo"}, "UPO needs rewards"),
    ],
)
def test_faults_of_training_are_one_line(base, tmp_path, change, message):
    arguments = {"method": "dpo", "data": PAIRS, "base": base, "out": tmp_path / "out"} | change
    with pytest.raises(ValueError) as error:
        prefrontier.train(**arguments)
    assert message in str(error.value) and "\n" not in str(error.value)
    assert not (tmp_path / "out").exists()


# Scores of texts


def test_scores_are_those_of_the_suites():
    from suites.style.readability import grade_fk, readability

    texts = {"a": "We can help you with that today.", "b": "x = 1", "c": "  "}
    table = prefrontier.score(texts).set_index(["objective", "item"])
    assert table.value["readability", "a"] == readability(texts["a"])
    assert table.value["grade_fk", "a"] == grade_fk(texts["a"])
    assert table.status["grade_fk"].to_dict() == {"a": "ok", "b": "unparsable", "c": "empty"}
    assert np.isnan(table.value["grade_fk", "b"])
    assert table.value["length"].to_dict() == {"a": 7.0, "b": 3.0, "c": 0.0}


def test_scores_do_not_depend_on_company_or_order():
    texts = ["We can help you with that today.", "Reset the router, and then wait.", "No."]
    together = prefrontier.score(texts)
    for number, text in enumerate(texts):
        alone = prefrontier.score([text])
        mine = together[together["item"] == str(number)]
        pd.testing.assert_frame_equal(
            mine.drop(columns="item").reset_index(drop=True), alone.drop(columns="item").reset_index(drop=True)
        )
    assert prefrontier.score([]).columns.tolist() == together.columns.tolist()


@pytest.mark.parametrize("texts", ["one string", ["a text", None], {"a": 3}])
def test_what_is_no_text_is_refused(texts):
    with pytest.raises(TypeError, match="string"):
        prefrontier.score(texts)


# Frontiers


def test_values_are_means_of_the_items():
    table = scores()
    result = compare(table).table.set_index(["method", "objective"])
    means = table.groupby(["method", "objective"]).value.mean()
    for policy, value in means.items():
        assert result.value[policy] == pytest.approx(value, abs=1e-12)
        assert result.low[policy] < value < result.high[policy]


def test_order_of_rows_changes_nothing():
    table = scores()
    shuffled = compare(table.sample(frac=1.0, random_state=3))
    pd.testing.assert_frame_equal(shuffled.table, compare(table).table)
    pd.testing.assert_frame_equal(shuffled.verdicts, compare(table).verdicts)


def test_a_turned_direction_turns_values_and_verdicts():
    table = scores(seeds=(0,))
    turned = table.assign(value=np.where(table.objective == "harm", 1 - table.value, table.value))
    safe = Objective("harm", "Safety", "maximize", "probability", (0.0, 1.0), "designer", 0.0)
    ours, theirs = compare(table), compare(turned, (WINS, safe))
    assert ours.verdicts.verdict.tolist() == theirs.verdicts.verdict.tolist()
    assert ours.table.on_frontier.tolist() == theirs.table.on_frontier.tolist()
    harm, safety = (result.table.query("objective == 'harm'") for result in (ours, theirs))
    np.testing.assert_allclose(harm.low, 1 - safety.high.to_numpy(), atol=1e-9)


def test_equal_methods_are_not_separable():
    one = scores(methods=("A",))
    result = compare(pd.concat([one, one.assign(method="B")], ignore_index=True)).verdicts
    assert set(result.verdict) == {"not separable"} and set(result.difference) == {0.0}


def test_a_method_that_is_better_on_every_objective_dominates():
    one = scores(methods=("A",), items=60)
    better = one.assign(method="B", value=np.where(one.objective == "wins", 1.0, one.value / 2))
    result = compare(pd.concat([one, better], ignore_index=True))
    assert result.verdicts.set_index("objective").verdict.to_dict() == {"wins": "worse", "harm": "worse"}
    assert set(result.verdicts.dominates) == {0.0}
    assert result.table.groupby("method").on_frontier.first().to_dict() == {"A": False, "B": True}


def test_settings_and_sizes_are_points_of_their_own():
    parts = [
        scores(seed=number).assign(setting=beta, size=size)
        for number, (beta, size) in enumerate([(0.1, "1B"), (0.5, "1B"), (10.0, "1B"), (0.1, "3B")])
    ]
    result = compare(pd.concat(parts, ignore_index=True)).table
    assert len(result) == 4 * 3 * 2
    mine = result[(result["size"] == "1B") & (result["method"] == "A") & (result["objective"] == "wins")]
    assert mine.setting.tolist() == [0.1, 0.5, 10.0]


def test_findings_and_figures_of_several_sizes_name_the_size(tmp_path):
    result = compare(pd.concat([scores(1).assign(size="1B"), scores(2).assign(size="3B")], ignore_index=True))
    assert {sentence.partition(": ")[0] for sentence in result.findings} == {"1B", "3B"}
    text = result.figure(tmp_path / "figure.svg").read_text(encoding="utf-8")
    assert "1B" in text and "3B" in text
    assert not any(sentence.startswith("model: ") for sentence in compare(scores()).findings)


def test_missing_items_are_counted_and_bound_the_verdict():
    table = scores(methods=("A", "B")).assign(status="ok")
    table.loc[table.index[:4], ["value", "status"]] = [np.nan, "error"]
    result = compare(table)
    assert result.table.set_index(["method", "objective"]).n_missing.to_dict() == {
        ("A", "wins"): 2, ("A", "harm"): 2, ("B", "wins"): 0, ("B", "harm"): 0,
    }  # fmt: skip
    assert any("have no value" in caveat for caveat in result.caveats)


def test_the_report_can_be_written_again_from_its_records(tmp_path):
    from harness.records import Records
    from reports.build import build

    result = compare(scores())
    page = result.report(tmp_path / "mine")
    assert Records.read(tmp_path / "mine" / "records").items.value.sum() == pytest.approx(scores().value.sum())
    first = (page.parent / "report.md").read_text(encoding="utf-8")
    assert all(sentence in first for sentence in result.caveats)
    again = build(tmp_path / "mine", out=tmp_path / "again", resamples=200)
    assert (again.parent / "report.md").read_text(encoding="utf-8") == first


@pytest.mark.parametrize(("ending", "start"), [("pdf", b"%PDF"), ("png", b"\x89PNG"), ("svg", b"<?xml")])
def test_figures_take_their_format_from_the_file_name(tmp_path, ending, start):
    path = compare(scores()).figure(tmp_path / f"two.words.{ending}")
    assert path == tmp_path / f"two.words.{ending}" and path.read_bytes().startswith(start)


def test_a_figure_needs_two_roles(tmp_path):
    table = scores()
    result = compare(table[table.objective == "wins"], (WINS,))
    with pytest.raises(ValueError, match="role 'user' and one of role 'designer'"):
        result.figure(tmp_path / "figure.pdf")


def _with(column: str, value: object):
    def change(table: pd.DataFrame) -> pd.DataFrame:
        table = table.astype({column: object}) if column in table else table.assign(**{column: "ok"})
        table.loc[3, column] = value
        return table

    return change


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.drop(columns="item"), "the table has no column 'item'; known are method, objective, seed, value"),
        (lambda t: t.rename(columns={"seed": "sed"}), "unknown column 'sed'; did you mean 'seed'?"),
        (lambda t: t.iloc[:0], "the table has no rows"),
        (lambda t: pd.concat([t, t.iloc[[5]]]), "row 5 (method 'A', objective 'harm', item 'i2'): this item is in the table twice"),
        (_with("value", float("nan")), "row 3 (method 'A', objective 'harm', item 'i1'): the value is NaN"),
        (_with("value", "high"), "row 3 (method 'A', objective 'harm', item 'i1'): the value is not a number"),
        (_with("value", float("inf")), "row 3 (method 'A', objective 'harm', item 'i1'): the value is infinite"),
        (_with("value", 1.5), "the value is outside the objective's bounds"),
        (_with("objective", "harms"), "objective 'harms' is in the table but not declared; did you mean 'harm'?"),
        (_with("item", None), "no item"),
        (_with("status", "fine"), "the status is none of ok, error"),
        (lambda t: t[t.objective == "wins"], "objective 'harm' is declared but not in the table"),
        (lambda t: t.drop(index=7), "size 'model', method 'A', seed 0 has no item 'i3' of objective 'harm' (1 in all)"),
    ],
)  # fmt: skip
def test_faults_of_a_table_are_one_line(change, message):
    with pytest.raises(ValueError) as error:
        compare(change(scores()))
    assert message in str(error.value) and "\n" not in str(error.value)


def test_a_direction_must_be_known():
    with pytest.raises(ValueError, match="direction must be 'maximize' or 'minimize', not 'up'"):
        Objective("wins", "Wins", "up", "probability")
    with pytest.raises(ValueError, match="objective 'wins' is declared twice"):
        compare(scores(), (WINS, WINS, HARM))

"""Records, baselines, resolved experiments and checkpoints of schema version 1, read with equal numbers."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pandas as pd
import pyarrow.parquet
import pytest

from harness.cli.main import app
from harness.errors import UsageError
from harness.plan.cells import make_plan
from harness.records import MIGRATIONS, SCHEMA_VERSION, TABLES, Records, SchemaError
from harness.run.earlier import rerun_note, stage_names
from harness.spec.loading import dump, load
from harness.store.store import Store
from harness.store.usage import STAGES
from reports.build import build
from reports.nightly.baseline import current
from reports.nightly.gate import gate
from reports.run_folder import Refused
from tests.paths import ROOT, TOY

OLD = ROOT / "tests" / "fixtures" / "schema_1"
EXPECTED = json.loads((OLD / "expected.json").read_text())


@pytest.fixture
def run(tmp_path):
    """A writable copy of the old run."""
    shutil.copytree(OLD / "baseline" / "0001", tmp_path / "run")
    return tmp_path / "run"


def test_the_report_of_old_records_has_the_old_numbers(run):
    build(run, resamples=200)
    points = pd.read_csv(run / "report" / "data" / "points.csv")
    values = {
        f"{row.point}/{row.objective}/{row.scope}": (row.value, row.n, row.n_missing) for row in points.itertuples()
    }
    expected = {row["point"]: (row["value"], row["n"], row["n_missing"]) for row in EXPECTED["points"]}
    assert {name: values[name] for name in expected} == expected
    gaps = pd.read_csv(run / "report" / "data" / "gaps.csv").set_index("method").value.to_dict()
    assert gaps == pytest.approx(EXPECTED["gaps"], abs=1e-12)


def test_the_gate_compares_with_an_old_baseline(run):
    result = gate(run, current(OLD / "baseline"))
    assert result.verdict.value == EXPECTED["verdict"] and result.run_id == result.baseline_id == EXPECTED["run"]
    assert not any(row.difference for row in result.differences) and not result.changes


def test_an_old_resolved_experiment_plans_the_same_cells(run):
    plan = make_plan(load(str(run / "experiment.resolved.yaml")))
    cells = Records.read(run / "records").cells
    assert sorted(cell.label for cell in plan.cells) == sorted(cells.label)
    assert dump(plan.experiment) == (run / "experiment.resolved.yaml").read_text(encoding="utf-8")


def test_an_old_checkpoint_gives_the_old_log_probabilities():
    from trainers.data.tokenizer import load_tokenizer
    from trainers.model.response_logprobs import ResponseSet

    checkpoint = OLD / "base" / "checkpoint"
    texts = ResponseSet.encode(load_tokenizer(checkpoint), ["How do I print?"], [[" It is fine.", " Well."]])
    np.testing.assert_allclose(np.concatenate(list(texts.logps(checkpoint))), EXPECTED["response_logprobs"], atol=1e-4)


def test_old_generations_have_no_reference(run):
    assert set(Records.read(run / "records").generations.reference) == {""}


def test_written_records_say_their_version_and_are_read_back_equal(run, tmp_path):
    records = Records.read(run / "records")
    records.write(tmp_path / "new")
    for name in TABLES:
        metadata = pyarrow.parquet.read_schema(tmp_path / "new" / f"{name}.parquet").metadata
        assert metadata[b"prefrontier.schema"] == str(SCHEMA_VERSION).encode()
        pd.testing.assert_frame_equal(
            getattr(Records.read(tmp_path / "new"), name), getattr(records, name), check_dtype=True
        )


def test_every_older_version_has_a_migration():
    assert sorted(MIGRATIONS) == list(range(1, SCHEMA_VERSION))


@pytest.fixture
def newer(run):
    """The old run with one table that says that a newer version wrote it."""
    path = run / "records" / "items.parquet"
    table = pyarrow.parquet.read_table(path)
    metadata = {**table.schema.metadata, b"prefrontier.schema": str(SCHEMA_VERSION + 1).encode()}
    pyarrow.parquet.write_table(table.replace_schema_metadata(metadata), path)
    return run


def test_newer_records_are_refused_in_one_line(newer):
    message = rf"records of schema version {SCHEMA_VERSION + 1}; this version of prefrontier reads versions up to"
    with pytest.raises(SchemaError, match=message) as error:
        Records.read(newer / "records")
    assert "\n" not in str(error.value)
    with pytest.raises(Refused, match=message):
        gate(newer, current(OLD / "baseline"))
    for verb, *words in (["report", str(newer)], ["figures", str(newer), "--out", str(newer / "paper")]):
        with pytest.raises(UsageError, match=message):
            app([verb, *words], standalone_mode=False)


def test_a_plan_names_the_stages_that_another_version_ran(run, tmp_path):
    """Every key changed with the code; the old manifest knows the keys of the cells only."""
    earlier = str(run / "experiment.resolved.yaml")
    plan, store = make_plan(load(earlier)), Store(tmp_path / "store")
    expected = f"{len(plan.stages)} stages of the earlier run in {run} will run again: "
    assert rerun_note(plan, store, run) == expected + "their code or their input files changed"
    other = make_plan(load(earlier, ["training.epochs=2"]))
    assert rerun_note(other, store, run) == expected + "the experiment changed"


def test_a_plan_counts_the_stages_that_changed(run, tmp_path):
    plan, store = make_plan(load(TOY)), Store(tmp_path / "store")
    stages = stage_names(plan)
    assert len(stages) == len(plan.stages)

    def noted(names):
        (run / STAGES).write_text(json.dumps(names))
        return rerun_note(plan, store, run)

    assert noted(stages) is None
    changed = {name: f"{key}x" if name.startswith("score_style") else key for name, key in stages.items()}
    assert noted(changed).startswith(f"{len(plan.cells)} stages of the earlier run")
    key = next(key for name, key in stages.items() if name.startswith("score_style"))
    with store.writing(key, {}):
        pass
    assert noted(changed).startswith(f"{len(plan.cells) - 1} stages of the earlier run")


def test_a_folder_without_an_earlier_run_has_nothing_to_say(tmp_path):
    assert rerun_note(make_plan(load(TOY)), Store(tmp_path / "store"), tmp_path) is None

"""Equality of rows between Ray and the local pool; needs the extra `ray` (`tox -e ray`)."""

from __future__ import annotations

import signal

import pandas as pd
import pytest

from harness.plan.cells import make_plan
from harness.run.executors import ExecutorSetup
from harness.run.executors.local import local
from harness.run.executors.ray import on_ray
from harness.run.scheduler import run
from harness.spec.loading import load
from harness.store.store import Store
from tests.paths import TOY

pytest.importorskip("ray", reason="the extra 'ray' is not installed")

OVERRIDES = ["methods={dpo: null}", "suites=[win_rate]"]


def _items(executor, store: Store) -> pd.DataFrame:
    plan = make_plan(load(TOY, OVERRIDES))
    with executor as submitter:
        outcome = run(plan, store, submitter, [], workers=2)
    assert not outcome.failures and set(outcome.done) == set(plan.stages)
    scores = [store.path(cell.scores["win_rate"].key) / "items.parquet" for cell in plan.cells]
    return pd.concat(map(pd.read_parquet, scores), ignore_index=True)


def test_ray_runs_the_same_plan_to_the_same_rows(tmp_path):
    here = _items(local(ExecutorSetup(2, tmp_path / "logs")), Store(tmp_path / "here"))
    there = _items(on_ray(ExecutorSetup(2, tmp_path / "logs")), Store(tmp_path / "there"))
    pd.testing.assert_frame_equal(here, there)


def test_the_run_keeps_its_own_handler_of_sigterm(tmp_path):
    before = signal.getsignal(signal.SIGTERM)
    with on_ray(ExecutorSetup(1, tmp_path / "logs")):
        assert signal.getsignal(signal.SIGTERM) is before

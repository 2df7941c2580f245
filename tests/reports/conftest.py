"""Runs shared by the report's tests."""

from __future__ import annotations

import pytest

from reports.analysis import analyse
from reports.build import build
from tests.reports import synthetic

HOSTILE = '<script>alert("x")</script> & "quotes" </script><img src=x onerror=alert(1)>'
DRAWS = 300


@pytest.fixture(scope="session")
def records():
    return synthetic.make(failed=("kto-tiny-s1",), missing=0.01, prompts=40)


@pytest.fixture(scope="session")
def analysis(records):
    return analyse(records, DRAWS)


@pytest.fixture(scope="session")
def report(records, tmp_path_factory):
    """A built report with a hostile generation in it; the folder of the run."""
    hostile = records.generations.copy()
    hostile.loc[:, "response"] = HOSTILE
    changed = type(records)(**{**vars(records), "generations": hostile})
    folder = synthetic.write(tmp_path_factory.mktemp("run"), changed)
    build(folder, resamples=DRAWS)
    return folder / "report"

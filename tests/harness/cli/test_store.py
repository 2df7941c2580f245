"""The verb ``store``: sizes by kind and by run, removal of unnamed artifacts on request only."""

from __future__ import annotations

import json

import pytest

from harness.cli.main import app
from harness.errors import Exit, UsageError
from harness.run.provenance import installed
from harness.store.store import Store
from harness.store.usage import STAGES, artifacts, folder_size, named_keys


@pytest.fixture
def store(tmp_path):
    """Two runs that share a base; one artifact that no run names, and one that is damaged."""
    store = Store(tmp_path / "store")

    def write(key, kind, size, **inputs):
        with store.writing(key, {"kind": kind, "inputs": inputs}) as out:
            (out / "data").write_bytes(b"x" * size)

    write("b", "base", 4096)
    write("a1", "align", 2048, base="b")
    write("a2", "align", 1024, base="b", file="file:/data/pairs.jsonl")
    write("old", "align", 512, base="gone")
    write("broken", "align", 256)
    (store.path("broken") / "manifest.json").write_text("{")
    (store.root / "partial" / "half").mkdir(parents=True)
    (store.root / "partial" / "half" / "data").write_bytes(b"x" * 3000)
    (store.cache("judgements") / "answers").write_bytes(b"x" * 5000)
    return store


@pytest.fixture
def runs(tmp_path, monkeypatch):
    """One run with its stages, and one of an older version, which names the stages of its cells alone."""
    monkeypatch.chdir(tmp_path)
    for name, file, named in (("one", STAGES, {"align · x": "a1"}), ("two", "manifest.json", {"cells": {"c": ["a2"]}})):
        (tmp_path / "runs" / name).mkdir(parents=True)
        (tmp_path / "runs" / name / file).write_text(json.dumps(named))
    return tmp_path / "runs"


def call(*words):
    return app(["store", *map(str, words)], standalone_mode=False)


def test_a_run_names_its_stages_and_what_they_were_made_from(store, runs):
    stored = artifacts(store)
    assert named_keys(runs / "one", stored) == {"a1", "b"}
    assert named_keys(runs / "two", stored) == {"a2", "b"}
    assert {key: artifact.kind for key, artifact in stored.items()} == {
        "b": "base", "a1": "align", "a2": "align", "old": "align", "broken": "unreadable",
    }  # fmt: skip
    assert stored["b"].size == folder_size(store.path("b")) > 4096


def test_sizes_are_shown_by_kind_and_by_run(store, runs, capsys):
    assert call("--store", store.root) == Exit.OK
    text = capsys.readouterr().out
    lines = {line.split()[0]: line.split() for line in text.splitlines() if line.strip()}
    assert lines["align"][1] == "3" and lines["base"][1] == "1" and lines["unreadable"][1] == "1"
    assert lines["runs/one"][1] == lines["runs/two"][1] == "2"
    assert "partial: 3 KiB" in text and "caches: 5 KiB" in text
    assert "named by no run: 2 artifacts" in text
    assert set(artifacts(store)) == {"b", "a1", "a2", "old", "broken"}


def test_pruning_is_a_dry_run_until_confirmed(store, runs, capsys):
    assert call("--store", store.root, "--prune") == Exit.OK
    assert "nothing was removed" in capsys.readouterr().out and len(artifacts(store)) == 5
    assert call("--store", store.root, "--prune", "--yes") == Exit.OK
    assert "removed 2 artifacts" in capsys.readouterr().out
    assert set(artifacts(store)) == {"b", "a1", "a2"}
    assert (store.root / "partial" / "half" / "data").exists() and (store.root / "caches" / "judgements").exists()
    assert store.get("a1") is not None


def test_only_the_named_runs_are_kept(store, runs):
    assert call(runs / "two", "--store", store.root, "--prune", "--yes") == Exit.OK
    assert set(artifacts(store)) == {"b", "a2"}


def test_nothing_is_pruned_where_no_run_is_found(store, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match="no run folder in runs/"):
        call("--store", store.root, "--prune", "--yes")
    with pytest.raises(UsageError, match="not the output folder of a run"):
        call(tmp_path, "--store", store.root, "--prune", "--yes")
    assert len(artifacts(store)) == 5


def test_an_empty_store(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert call("--store", tmp_path / "nowhere") == Exit.OK
    assert "0 artifacts" in capsys.readouterr().out


def test_the_version_is_that_of_the_package(capsys):
    app(["--version"], standalone_mode=False)
    assert capsys.readouterr().out == f"prefrontier {installed('prefrontier')}\n"

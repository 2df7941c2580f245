"""An artifact is whole or it is not there, whatever happens while it is written."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import time

import pytest

from harness.store.names import RESUME
from harness.store.store import MANIFEST, Store


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "store")


def write(store, key="k", text="whole"):
    with store.writing(key, {"kind": "demo"}) as folder:
        (folder / "sub").mkdir()
        (folder / "sub" / "a.txt").write_text(text)


def test_written_artifacts_are_found_and_verified(store):
    write(store)
    assert (store.get("k") / "sub" / "a.txt").read_text() == "whole"
    assert store.manifest("k")["kind"] == "demo"
    assert list(store.manifest("k")["files"]) == ["sub/a.txt"]


@pytest.mark.parametrize("damage", ["changed", "removed", "manifest", "half a manifest"])
def test_a_damaged_artifact_is_not_trusted(store, damage):
    write(store)
    folder = store.path("k")
    match damage:
        case "changed":
            (folder / "sub" / "a.txt").write_text("whose?")
        case "removed":
            (folder / "sub" / "a.txt").unlink()
        case "manifest":
            (folder / MANIFEST).unlink()
        case "half a manifest":
            text = (folder / MANIFEST).read_text()
            (folder / MANIFEST).write_text(text[: len(text) // 2])
    assert store.get("k") is None
    write(store)
    assert store.get("k") is not None


def test_a_failed_write_leaves_no_artifact_and_keeps_what_can_resume(store):
    with pytest.raises(RuntimeError), store.writing("k", {}) as folder:
        (folder / "half.txt").write_text("half")
        (folder / RESUME).mkdir()
        (folder / RESUME / "step").write_text("7")
        raise RuntimeError
    assert store.get("k") is None
    with store.writing("k", {}) as folder:
        assert not (folder / "half.txt").exists()
        assert (folder / RESUME / "step").read_text() == "7"
    assert not (store.get("k") / RESUME).exists()


def _write_until_killed(root):
    with Store(root).writing("k", {}) as folder:
        (folder / "half.txt").write_text("half")
        (folder / RESUME).mkdir(exist_ok=True)
        (folder / RESUME / "ready").touch()
        time.sleep(60)


def test_a_kill_inside_a_write(store):
    process = multiprocessing.get_context("spawn").Process(target=_write_until_killed, args=(store.root,))
    process.start()
    ready = store.root / "partial" / "k" / RESUME / "ready"
    deadline = time.monotonic() + 30
    while not ready.exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    assert store.get("k") is None
    write(store)
    assert json.loads((store.path("k") / MANIFEST).read_text())["files"].keys() == {"sub/a.txt"}


def _write_once(root, text):
    write(Store(root), text=text)


def test_two_processes_on_one_key(store):
    context = multiprocessing.get_context("spawn")
    processes = [context.Process(target=_write_once, args=(store.root, text)) for text in ("one", "two")]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
        assert process.exitcode == 0
    assert (store.get("k") / "sub" / "a.txt").read_text() in ("one", "two")


def test_disk_full_leaves_no_artifact(store):
    """A write that the system refuses ends the block with the system's error."""
    import resource

    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    old = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1024, limits[1]))
    try:
        with pytest.raises(OSError), store.writing("k", {}) as folder:
            (folder / "big.bin").write_bytes(b"0" * 4096)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, old)
    assert store.get("k") is None

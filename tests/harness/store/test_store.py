"""Atomicity of artifacts: complete or absent under every fault during writing."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from socket import gethostname

import pytest

from harness.run.job import Job, execute
from harness.store.names import RESUME
from harness.store.store import MANIFEST, Store
from harness.store.usage import artifacts


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


JUNK = [
    "",
    "null",
    "[]",
    "{",
    "[" * 100_000,
    '{"files": 1}',
    '{"files": {"a": 1}}',
    '{"files": {}, "seconds": "1"}',
    "\xff",
    "\0",
]


@pytest.mark.parametrize("text", JUNK, ids=lambda text: repr(text)[:24])
@pytest.mark.parametrize("linked", ["nothing", "artifact", "manifest"])
def test_a_junk_manifest_heals_also_behind_a_symlink(store, text, linked, tmp_path):
    write(store)
    if linked == "artifact":
        store.path("k").rename(tmp_path / "elsewhere")
        store.path("k").symlink_to(tmp_path / "elsewhere")
    elif linked == "manifest":
        (store.path("k") / MANIFEST).rename(tmp_path / "elsewhere")
        (store.path("k") / MANIFEST).symlink_to(tmp_path / "elsewhere")
    (store.path("k") / MANIFEST).write_bytes(text.encode("latin-1"))
    assert store.get("k") is None
    assert artifacts(store)["k"].kind == "unreadable"
    with pytest.raises(FileNotFoundError, match="no manifest"):
        store.manifest("k")
    write(store)
    assert (store.get("k") / "sub" / "a.txt").read_text() == "whole"
    assert not store.path("k").is_symlink() and (tmp_path / "elsewhere").exists() == (linked != "nothing")


def test_a_link_to_nothing_heals(store, tmp_path):
    store.path("k").parent.mkdir(parents=True)
    store.path("k").symlink_to(tmp_path / "gone")
    write(store)
    assert store.get("k") is not None


def test_a_whole_artifact_is_never_replaced(store):
    write(store)
    before = store.path("k").stat().st_ino
    write(store, text="again")
    assert store.path("k").stat().st_ino == before and (store.get("k") / "sub" / "a.txt").read_text() == "whole"
    assert not list((store.root / "partial").glob("k"))


def test_leftovers_of_killed_runs_are_swept_and_what_resumes_stays(store):
    write(store, "done")
    gone = f".state.pt.{gethostname()}.{2**22 + 1}.0123abcd.tmp"
    for name in ("done/half", "dropped/half", f"resumed/{RESUME}/state.pt", f"resumed/{RESUME}/{gone}", "running/half"):
        (store.root / "partial" / name).parent.mkdir(parents=True, exist_ok=True)
        (store.root / "partial" / name).touch()
    (store.cache("judge") / gone).touch()
    (store.cache("judge") / "answers.sqlite").touch()
    with ThreadPoolExecutor(1) as other, store.lock("running"):
        other.submit(store.sweep).result()
    left = {str(path.relative_to(store.root)) for path in store.root.rglob("*") if path.is_file()}
    assert {name for name in left if not name.endswith(".lock") and not name.startswith("artifacts")} == {
        f"partial/resumed/{RESUME}/state.pt",
        "partial/running/half",
        "caches/judge/answers.sqlite",
    }


def _execute(root, start, done):
    job = Job("demo", "demo", "k", "tests.harness.store.slow_stage", {}, {}, root)
    start.wait(60)
    done.put(execute(job))


def test_two_runs_compute_a_stage_once(store):
    context = multiprocessing.get_context("spawn")
    start, done = context.Barrier(2), context.Queue()
    processes = [context.Process(target=_execute, args=(store.root, start, done)) for _ in range(2)]
    for process in processes:
        process.start()
    seconds = [done.get(timeout=60) for _ in processes]
    for process in processes:
        process.join()
    assert seconds[0] == seconds[1] and (store.root / "computed").read_text() == "once\n"


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

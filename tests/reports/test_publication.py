"""Results are replaced together, whatever moment a kill comes at."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest

from reports.publication import publishing, settle

NAMES = ("manifest.json", "records", "report")


def publish(folder, text, names=NAMES):
    with publishing(folder, NAMES) as work:
        for name in names:
            if name == "manifest.json":
                (work / name).write_text(text)
            else:
                (work / name).mkdir()
                (work / name / "file").write_text(text)


def shown(folder):
    files = [folder / "manifest.json", folder / "records" / "file", folder / "report" / "file"]
    return [file.read_text() if file.exists() else None for file in files]


def test_an_error_leaves_the_old_results(tmp_path):
    publish(tmp_path, "old")
    with pytest.raises(RuntimeError), publishing(tmp_path, NAMES) as work:
        (work / "manifest.json").write_text("new")
        raise RuntimeError
    assert shown(tmp_path) == ["old"] * 3 and sorted(
        path.name for path in tmp_path.iterdir() if path.suffix != ".lock"
    ) == sorted(NAMES)


def test_what_the_new_results_lack_goes(tmp_path):
    publish(tmp_path, "old")
    publish(tmp_path, "new", NAMES[:2])
    assert shown(tmp_path) == ["new", "new", None]


KILLED = """
import os, signal, sys
from pathlib import Path
from tests.reports.test_publication import publish

seen = 0
def hook(event, arguments):
    global seen
    if event == "os.rename":
        seen += 1
        if seen == int(sys.argv[2]):
            os.kill(os.getpid(), signal.SIGKILL)
sys.addaudithook(hook)
publish(Path(sys.argv[1]), "new")
"""


@pytest.mark.parametrize("rename", range(1, 9))
def test_a_kill_at_any_rename_leaves_old_or_new_together(tmp_path, rename):
    publish(tmp_path, "old")
    killed = subprocess.run([sys.executable, "-c", KILLED, str(tmp_path), str(rename)], check=False)
    settle(tmp_path)
    new = rename > 1
    assert shown(tmp_path) == ["new" if new else "old"] * 3
    assert killed.returncode == (-signal.SIGKILL if rename < 8 else 0)
    publish(tmp_path, "newest")
    assert shown(tmp_path) == ["newest"] * 3
    assert sorted(path.name for path in tmp_path.iterdir() if path.name != ".results.lock") == sorted(NAMES)

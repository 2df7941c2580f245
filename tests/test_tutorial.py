"""The tutorial from its first block to its last, with a model of a few thousand parameters."""

from __future__ import annotations

import re
import shlex
from functools import partial
from pathlib import Path

import pytest

from harness.cli import main as cli
from harness.run import executors
from reports.build import build
from tests.documents import blocks
from tests.executors import in_process


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Path:
    """The reader's working folder, with the model."""
    from trainers.config import ModelConfig
    from trainers.data.tokenizer import bpe_tokenizer
    from trainers.model.loading import make

    tokenizer = bpe_tokenizer(["Please turn it off and on again!"] * 4, 280, tmp_path / "my-model")
    make(ModelConfig(layers=1, hidden=16, heads=2, intermediate=32), tokenizer, 0).save_pretrained(
        tmp_path / "my-model"
    )
    executors.executors()
    monkeypatch.setitem(executors._executors, "local", in_process)
    # Drawn figures and many draws have tests of their own, and would be most of this one's time.
    monkeypatch.setattr("reports.page.figures.write", lambda analysis, folder: None)
    monkeypatch.setattr("reports.build.build", partial(build, resamples=100))
    monkeypatch.setenv("PREFRONTIER_STORE", str(tmp_path / "store"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_every_block_runs_and_prints_what_the_page_says(folder, monkeypatch, capsys):
    names: dict[str, object] = {}
    printed, commands = "", []
    for language, content in blocks("tutorial.md"):
        if named := re.match(r"# (\S+\.(?:py|yaml))\n", content):
            (folder / named[1]).write_text(content, encoding="utf-8")
        elif language == "python":
            exec(content, names)
            printed = capsys.readouterr().out
        elif language == "bash":
            for line in content.replace("\\\n", " ").splitlines():
                monkeypatch.setattr("sys.argv", shlex.split(line))
                with pytest.raises(SystemExit) as exit:
                    cli.main()
                said = capsys.readouterr()
                assert exit.value.code == 0, said.out + said.err
                printed = said.out
                commands.append(shlex.split(line)[1])
        else:
            assert language == "text"
            assert [line for line in content.splitlines() if line not in printed.splitlines()] == []
    assert commands == ["frontier", "data", "init", "plan", "run", "plan"]
    page = (folder / "runs" / "mine" / "report" / "index.html").read_text(encoding="utf-8")
    assert "these checkpoints" in page and "exclamations" in page

"""A seeded part of the fuzzing, and proof that it would find a fault."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.faults.fuzz import SHARES, Fuzzer, command


@pytest.mark.filterwarnings("ignore")
def test_mutated_files_are_accepted_or_refused_in_one_line(tmp_path):
    fuzzer = Fuzzer(0, tmp_path / "faults", tmp_path)
    assert fuzzer.run(files=125, commands=5, seconds=600) == 125
    assert not fuzzer.faults, fuzzer.faults[0]
    for kind in SHARES:
        tally = fuzzer.tallies[kind]
        assert tally.refused, kind
    assert sum(tally.commands for tally in fuzzer.tallies.values()) == 5


def test_a_reader_that_crashes_or_hangs_is_found(tmp_path, monkeypatch):
    fuzzer = Fuzzer(0, tmp_path / "faults", tmp_path)

    def crash(path):
        raise KeyError("label")

    def hang(path):
        while True:
            pass

    monkeypatch.setattr("tests.faults.fuzz.SECONDS", 0.2)
    fuzzer.targets = {kind: replace(target, check=crash) for kind, target in fuzzer.targets.items()}
    fuzzer.run(files=2, commands=0, seconds=60)
    fuzzer.targets = {kind: replace(target, check=hang) for kind, target in fuzzer.targets.items()}
    fuzzer.run(files=1, commands=0, seconds=60)
    assert [fault.what.splitlines()[-1] for fault in fuzzer.faults[:2]] == ["KeyError: 'label'"] * 2
    assert "no answer within" in fuzzer.faults[2].what
    assert len((tmp_path / "faults" / "faults.jsonl").read_text().splitlines()) == 3


def test_the_command_ends_in_one_line_with_its_code(tmp_path):
    code, out, err = command(["plan", "a\x1b[2Jb.yaml"], tmp_path)
    assert (code, out) == (4, "") and len(err.splitlines()) == 1 and "\x1b" not in err

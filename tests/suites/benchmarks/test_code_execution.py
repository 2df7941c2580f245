"""Programs written by a model: correct ones pass, and effects of wrong ones stay in their process."""

from __future__ import annotations

import os
import time

import pytest

from suites.benchmarks.code_execution import CodeEval, Limits, Verdict, pass_at_k, run_program, unenforced

SOLUTION = "def add(a, b):\n    return a + b\n"
TESTS = "def check(candidate):\n    assert candidate(2, 3) == 5\ncheck(add)"
QUICK = Limits(seconds=3.0, memory_bytes=256 * 2**20)
FAULTS = {
    "a wrong answer": SOLUTION.replace("+", "-"),
    "an exception": "def add(a, b):\n    raise KeyError\n",
    "no Python": "def add(a, b:\n",
    "an exit that looks like success": SOLUTION + "import sys\nsys.exit(0)\n",
    "a hard exit that looks like success": SOLUTION + "import os\nos._exit(0)\n",
    "a memory bomb": SOLUTION + "hoard = [0] * (10**9)\n",
    "a slow memory bomb": SOLUTION + "hoard = ['x']\nwhile True:\n    hoard += hoard\n",
    "deep recursion": "import sys\nsys.setrecursionlimit(10**9)\ndef add(a, b):\n    return add(a, b)\n",
    "a huge file": SOLUTION + "open('f', 'wb').write(bytes(2**22))\n",
    "a connection": SOLUTION + "import socket\nsocket.create_connection(('127.0.0.1', 9), 1)\n",
}


def judge(program: str, limits: Limits = QUICK) -> Verdict:
    return run_program(f"{program}\n{TESTS}", limits)


def test_a_correct_program_passes():
    assert judge(SOLUTION) is Verdict.PASSED


@pytest.mark.parametrize("fault", FAULTS)
def test_faults_fail(fault):
    assert judge(FAULTS[fault]) is not Verdict.PASSED
    assert judge(SOLUTION) is Verdict.PASSED


@pytest.mark.parametrize(
    "program", ["while True: pass", "import time; time.sleep(60)", "input = print\nwhile 1: print('x' * 9999)"]
)
def test_what_does_not_end_is_ended(program):
    started = time.monotonic()
    assert judge(SOLUTION + program, Limits(seconds=1.0)) is Verdict.TIMED_OUT
    assert time.monotonic() - started < 10


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no processes to fork")
def test_children_end_with_their_parent(tmp_path):
    """Where a fork is allowed at all, the child is killed with its process group."""
    mark = tmp_path / "mark"
    child = f"""
import os, time
try:
    forked = os.fork()
except OSError:
    forked = None
if forked == 0:
    time.sleep(1.5)
    open({str(mark)!r}, 'w').close()
    os._exit(0)
"""
    assert judge(SOLUTION + child) is Verdict.PASSED
    time.sleep(2.5)
    assert not mark.exists()


def held(limit: str) -> bool:
    """Whether this system enforces a limit."""
    return not any(line.startswith(limit) for line in unenforced())


BOMBS = {
    "many files that are small each": "for i in range(10**6):\n    open(f'f{i}', 'wb').write(bytes(2**19))\n",
    "many empty files": "for i in range(10**6):\n    open(f'f{i}', 'w').close()\n",
    "many folders": "import os\nfor i in range(10**6):\n    os.makedirs(f'd{i % 7}/e{i}', exist_ok=True)\n",
}


@pytest.mark.parametrize("bomb", BOMBS)
def test_the_sum_of_files_is_limited(bomb):
    """Within the time that the program has, which alone would not end it."""
    started = time.monotonic()
    assert judge(SOLUTION + BOMBS[bomb], Limits(seconds=60.0, total_bytes=2**21, files=50)) is Verdict.FAILED
    assert time.monotonic() - started < 40


def test_files_left_at_the_end_count_too():
    program = "for i in range(8):\n    open(f'f{i}', 'wb').write(bytes(2**19))\n"
    assert judge(SOLUTION + program, Limits(total_bytes=2**21)) is Verdict.FAILED
    assert judge(SOLUTION + program, Limits(total_bytes=2**23)) is Verdict.PASSED


def test_files_outside_of_the_folder_cannot_be_changed(tmp_path):
    if not held("files"):
        pytest.skip("this system does not confine files")
    (tmp_path / "kept").write_text("mine")
    for program in (
        f"open({str(tmp_path / 'made')!r}, 'w')",
        f"open({str(tmp_path / 'kept')!r}, 'a')",
        f"import os; os.remove({str(tmp_path / 'kept')!r})",
        f"import os; os.truncate({str(tmp_path / 'kept')!r}, 0)",
        f"import os; os.mkdir({str(tmp_path / 'folder')!r})",
    ):
        assert judge(SOLUTION + program) is Verdict.FAILED
    assert [file.name for file in tmp_path.iterdir()] == ["kept"] and (tmp_path / "kept").read_text() == "mine"
    assert judge(SOLUTION + f"assert open({str(tmp_path / 'kept')!r}).read() == 'mine'") is Verdict.PASSED


def test_no_process_is_started_and_none_outlives_the_program(tmp_path):
    """Not even one that leaves the process group, and not even by root."""
    if not held("processes"):
        pytest.skip("root is not bound here")
    for start in (
        "os.fork()",
        "subprocess.Popen(['sleep', '60'], start_new_session=True)",
        "os.posix_spawn('/bin/sleep', ['sleep', '60'], {})",
    ):
        program = f"import os, subprocess\ntry:\n    {start}\nexcept OSError:\n    pass\nelse:\n    raise SystemExit"
        assert judge(SOLUTION + program) is Verdict.PASSED


def test_root_is_shown_what_does_not_bind_it():
    assert any(line.startswith("reading") for line in unenforced()) == (os.geteuid() == 0)


def test_nothing_is_left_behind(tmp_path, monkeypatch):
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setenv("SECRET_KEY", "x")
    monkeypatch.setattr("tempfile.tempdir", None)
    program = "import os, pathlib\nassert 'SECRET_KEY' not in os.environ\npathlib.Path('made').write_text('x')"
    assert run_program(program) is Verdict.PASSED
    assert not list(tmp_path.iterdir())


def test_pass_at_k_is_the_share_of_draws_with_a_correct_program():
    """Against counting: of all pairs out of 5 programs of which 2 are correct, 7 of 10 hold one."""
    assert pass_at_k(5, 2, 2) == pytest.approx(0.7, abs=1e-15)
    assert [pass_at_k(4, correct, 1) for correct in range(5)] == [0.0, 0.25, 0.5, 0.75, 1.0]
    with pytest.raises(ValueError, match="pass@3 of 2 programs"):
        pass_at_k(2, 1, 3)


def test_the_form_that_lm_eval_calls():
    wrong = FAULTS["a wrong answer"]
    figures, verdicts = CodeEval(QUICK).compute(
        references=[TESTS, TESTS], predictions=[[SOLUTION, wrong], [wrong, wrong]]
    )
    assert figures == {"pass@1": 0.25}
    assert verdicts[0] == {Verdict.PASSED: 1, Verdict.FAILED: 1}

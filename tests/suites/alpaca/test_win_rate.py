"""The win rate through alpaca-eval, and each pitfall of the library."""

from __future__ import annotations

import logging
import os
import random
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import expit

from harness.records import Generation, Status
from suites.alpaca.win_rate import win_rate
from suites.judges.protocol import Verdict
from tests.paths import ROOT


@dataclass
class FunctionJudge:
    """Judges by a function of (first, second) and remembers what it was asked."""

    p_first: callable
    name: str = "function"
    revision: str = "1"
    asked: list = field(default_factory=list)

    def prefer(self, prompts, first, second):
        self.asked += zip(prompts, first, second, strict=True)
        answers = [self.p_first(a, b) for a, b in zip(first, second, strict=True)]
        return [a if isinstance(a, Verdict) else Verdict(a) for a in answers]


def longer(scale: float) -> FunctionJudge:
    return FunctionJudge(lambda a, b: float(expit((len(a) - len(b)) / scale)))


def cell(responses: dict[str, str], status: Status = Status.OK) -> list[Generation]:
    return [Generation(f"{k}#0", k, f"question {k}", v, len(v), status, cell="c") for k, v in responses.items()]


def measures(result) -> dict[str, float]:
    return {measure.name: measure.value for measure in result.measures}


@pytest.fixture(scope="module")
def contest():
    """200 pairs of responses of differing length; the policy's are longer by 10 on average."""
    rng = random.Random(0)
    policy = {f"p{i}": "a" * rng.randint(20, 60) + f"{i:03}" for i in range(200)}
    reference = {key: "b" * rng.randint(13, 53) for key in policy}
    return policy, reference


def test_probabilities_stay_fractions_and_orders_are_averaged():
    table = {("policy", "reference"): 0.9, ("reference", "policy"): 0.3}
    judge = FunctionJudge(lambda a, b: table[a, b])
    result = win_rate(cell({"p": "policy"}), {"p": "reference"}, judge)
    (item,) = result.items
    assert item.value == pytest.approx((0.9 + 0.7) / 2, abs=1e-12)
    assert item.detail == pytest.approx({"policy_first": 0.9, "policy_second": 0.7}, abs=1e-12)
    assert sorted(judge.asked) == [
        ("question p", "policy", "reference"),
        ("question p", "reference", "policy"),
    ]


@settings(max_examples=20, deadline=None)
@given(st.lists(st.tuples(st.text(min_size=1, max_size=5), st.text(min_size=1, max_size=5)), min_size=1, max_size=6))
def test_swapping_policy_and_reference_turns_the_rate_around(pairs):
    pairs = [(a, b) for a, b in pairs if a.strip() and b.strip()]
    ours, theirs = ({str(i): pair[side] for i, pair in enumerate(pairs)} for side in (0, 1))
    forth, back = win_rate(cell(ours), theirs, longer(3)), win_rate(cell(theirs), ours, longer(3))
    for there, here in zip(forth.items, back.items, strict=True):
        assert there.value + here.value == pytest.approx(1.0, abs=1e-12)


def test_figures_are_those_of_the_items(contest):
    result = win_rate(cell(contest[0]), contest[1], longer(10))
    values = [item.value for item in result.items]
    figures = measures(result)
    assert figures["win_rate"] == pytest.approx(sum(values) / 200, abs=1e-9)
    wins, draws = sum(v > 0.5 for v in values), sum(v == 0.5 for v in values)
    assert figures["discrete_win_rate"] == pytest.approx((wins + draws / 2) / 200, abs=1e-9)
    assert figures["mean_characters"] == sum(map(len, contest[0].values())) / 200
    assert figures["mean_characters_reference"] == sum(map(len, contest[1].values())) / 200
    assert figures["order_disagreement"] == 0.0 and figures["judge_missing"] == 0.0
    assert figures["first_position_bias"] == pytest.approx(0.0, abs=1e-12)
    assert {measure.cell for measure in result.measures} == {"c"}


def test_a_judge_of_position_alone_disagrees_with_itself_everywhere():
    policy = {str(i): f"answer {i}" for i in range(5)}
    result = win_rate(cell(policy), dict.fromkeys(policy, "reference"), FunctionJudge(lambda a, b: 0.8))
    assert [item.value for item in result.items] == pytest.approx([0.5] * 5)
    assert measures(result)["order_disagreement"] == 1.0
    assert measures(result)["first_position_bias"] == pytest.approx(0.3)


def test_equal_texts_are_a_draw_that_no_judge_sees():
    judge = longer(1)
    result = win_rate(cell({"same": "twin", "other": "longer text"}), {"same": "twin", "other": "short"}, judge)
    assert result.items[0].value == 0.5
    assert all("twin" not in asked for asked in judge.asked)


def test_an_empty_generation_loses_unjudged_and_counts():
    judge = longer(1)
    result = win_rate(cell({"full": "longer text", "empty": " \n"}), {"full": "x", "empty": "x"}, judge)
    assert (result.items[1].value, result.items[1].status) == (0.0, Status.EMPTY)
    assert len(judge.asked) == 2
    assert measures(result)["win_rate"] == pytest.approx(result.items[0].value / 2)


def test_a_failed_generation_is_missing_and_a_truncated_one_is_judged():
    rows = cell({"cut": "longer text"}, Status.TRUNCATED) + cell({"failed": ""}, Status.ERROR)
    result = win_rate(rows, {"cut": "x", "failed": "x"}, longer(1))
    assert result.items[0].status is Status.TRUNCATED and result.items[0].value > 0.5
    assert (result.items[1].value, result.items[1].status) == (None, Status.ERROR)


@pytest.mark.parametrize("status", [Status.ERROR, Status.UNPARSABLE])
@pytest.mark.parametrize("bad_order", ["first", "second", "both"])
def test_missing_verdicts_keep_their_rows(status, bad_order):
    """alpaca-eval filters them out and leaves them out of its rates."""

    def p_first(a, b):
        seen = {"first": a == "refused", "second": b == "refused", "both": "refused" in (a, b)}[bad_order]
        return Verdict(None, status) if seen else 0.75

    result = win_rate(cell({"good": "answer", "bad": "refused"}), {"good": "x", "bad": "y"}, FunctionJudge(p_first))
    good, bad = result.items
    assert good.value == 0.5
    assert (bad.value, bad.status) == (None, status)
    assert measures(result)["judge_missing"] == 0.5 and measures(result)["win_rate"] == 0.5


def test_all_verdicts_missing():
    judge = FunctionJudge(lambda a, b: Verdict(None, Status.ERROR))
    result = win_rate(cell({"a": "one", "b": "two"}), {"a": "x", "b": "y"}, judge)
    assert [item.status for item in result.items] == [Status.ERROR] * 2
    assert measures(result) == {"judge_missing": 1.0, "judge_unparsable": 0.0}


def test_no_generations():
    assert win_rate([], {}, longer(1)).items == []


@pytest.mark.parametrize(
    "text", ["{output_2}", "{pair} {instruction}", "nan", "None", "1.5", "ünïcödé 漢字 🦜", "a\tb\nc"]
)
def test_texts_reach_the_judge_unchanged(text):
    """alpaca-eval fills its templates by replacing placeholders one after the other, in the responses too."""
    judge = longer(1)
    win_rate(cell({"p": text}), {"p": "reference {output_1}"}, judge)
    assert sorted(judge.asked) == sorted(
        [("question p", text, "reference {output_1}"), ("question p", "reference {output_1}", text)]
    )


def test_equal_pairs_of_different_items_stay_apart():
    """alpaca-eval drops duplicates of (instruction, output_1, output_2) and joins them back on the texts."""
    rows = [Generation(f"p#{trial}", "p", "q", "answer", 3, trial=trial) for trial in range(3)]
    result = win_rate(rows, {"p": "the reference"}, longer(5))
    assert [item.item for item in result.items] == ["p#0", "p#1", "p#2"]
    assert len({item.value for item in result.items}) == 1


def test_length_control_takes_length_out(contest):
    """A judge that sees nothing but length: raw far above a half, length-controlled at a half."""
    result = measures(win_rate(cell(contest[0]), contest[1], longer(10)))
    assert result["win_rate"] > 0.6
    assert result["length_controlled_win_rate"] == pytest.approx(0.5, abs=0.03)


def test_length_control_keeps_what_is_not_length(contest):
    """A judge that is indifferent to length and likes the policy three times in four."""
    likes = {text: i % 4 > 0 for i, text in enumerate(contest[0].values())}
    judge = FunctionJudge(lambda a, b: float(likes[a]) if a in likes else 1.0 - likes[b])
    result = measures(win_rate(cell(contest[0]), contest[1], judge))
    assert result["length_controlled_win_rate"] == pytest.approx(result["win_rate"], abs=0.03)


@pytest.mark.parametrize("p", [0.0, 1.0])
def test_length_control_of_a_clean_sweep(contest, p):
    judge = FunctionJudge(lambda a, b: p if a.startswith("a") else 1 - p)
    result = measures(win_rate(cell(contest[0]), contest[1], judge))
    assert result["length_controlled_win_rate"] == pytest.approx(p, abs=1e-12)


def test_length_control_is_absent_where_lengths_say_nothing():
    equal = {f"p{i}": "aaaa" for i in range(30)}
    assert "length_controlled_win_rate" not in measures(win_rate(cell(equal), dict.fromkeys(equal, "bbb"), longer(1)))
    few = {f"p{i}": "a" * (i + 1) for i in range(10)}
    assert "length_controlled_win_rate" not in measures(win_rate(cell(few), dict.fromkeys(few, "bbb"), longer(1)))


def test_nothing_is_left_behind(contest, tmp_path, monkeypatch):
    """No file beside the library or in the working directory, no setting of sklearn or of the root logger."""
    import sklearn

    from suites.alpaca.annotator import contained

    with contained():
        import alpaca_eval
    library = Path(alpaca_eval.__file__).parent
    files = {file for file in library.rglob("*") if "__pycache__" not in file.parts}
    monkeypatch.chdir(tmp_path)
    config, root = sklearn.get_config(), logging.getLogger()
    level, handlers = root.level, list(root.handlers)
    win_rate(cell(contest[0]), contest[1], longer(10))
    assert {file for file in library.rglob("*") if "__pycache__" not in file.parts} == files
    assert list(tmp_path.iterdir()) == []
    assert sklearn.get_config() == config
    assert root.level == level and root.handlers == handlers


SCRIPT = """
import importlib, logging, sys
sys.path.insert(0, {root!r})
from harness.records import Generation
from suites.judges.protocol import Verdict
from suites.alpaca.win_rate import win_rate
assert "alpaca_eval" not in sys.modules
class Judge:
    name = revision = "j"
    def prefer(self, prompts, first, second):
        return [Verdict(0.5) for _ in prompts]
win_rate([Generation("p#0", "p", "q", "a", 1)], {{"p": "b"}}, Judge())
print(logging.getLogger().level, logging.getLogger().handlers)
importlib.reload(sys.modules["alpaca_eval.annotators.base"])
print(logging.getLogger().level)
"""


def test_the_first_import_leaves_the_root_logger_alone():
    """In a fresh interpreter. The library's own import sets the root logger to INFO (20)."""
    code = SCRIPT.format(root=str(ROOT))
    environment = os.environ | {"PYTHONWARNINGS": "ignore"}
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment)
    assert run.stdout.split("\n")[:2] == ["30 []", "20"]


def test_bad_input():
    rows = cell({"p": "text"})
    with pytest.raises(ValueError, match="'p' has no reference"):
        win_rate(rows, {}, longer(1))
    with pytest.raises(ValueError, match="'p#0' occurs twice"):
        win_rate(rows * 2, {"p": "x"}, longer(1))
    with pytest.raises(ValueError, match="judge 'function' answered"):
        win_rate(rows, {"p": "x"}, FunctionJudge(lambda a, b: 1.5))
    with pytest.raises(ValueError, match="judge 'function' answered"):
        win_rate(rows, {"p": "x"}, FunctionJudge(lambda a, b: Verdict(None, Status.OK)))

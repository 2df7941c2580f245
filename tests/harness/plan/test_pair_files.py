"""A file of pairs that cannot be used is refused when the run is planned."""

from __future__ import annotations

import json

import pytest

from harness.errors import UsageError
from harness.inputs.roles import role
from harness.plan.cells import make_plan
from harness.spec.loading import load


def write(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def pair(number):
    return {"prompt": f"Question {number}?", "chosen": f" Yes {number}.", "rejected": " No."}


def plan(path, *overrides):
    return make_plan(load("hh", [f"data.path={path}", *overrides]))


def test_a_file_that_serves_every_role_is_planned(tmp_path):
    assert plan(write(tmp_path / "pairs.jsonl", map(pair, range(60)))).cells


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([{"question": "q", "yes": "a", "no": "b"}] * 5, r"data\.path: .*pairs\.jsonl:1: no known form of preference data: its columns are question, yes, no; name the columns"),
        ([], r"data\.path: .*pairs\.jsonl: no usable row: it is empty"),
        ([{**pair(0), "chosen": None}], r"no pair in its 1 rows: 1 × .*chosen"),
        ([pair(n) for n in range(99) if role(pair(n)["prompt"], 0.35) != "test"], r"too few conversations.*: 0 test prompts, \d+ pairs for"),
        ([pair(n) for n in range(99) if role(pair(n)["prompt"], 0.35) != "judge"], r": \d+ test prompts, 0 pairs for the judge"),
    ],
)  # fmt: skip
def test_a_file_that_gives_nothing_to_work_with(rows, message, tmp_path):
    with pytest.raises(UsageError, match=message) as error:
        plan(write(tmp_path / "pairs.jsonl", rows))
    assert "\n" not in str(error.value)


def test_on_invalid_error_refuses_the_first_row_that_is_wrong(tmp_path):
    path = write(tmp_path / "pairs.jsonl", [*map(pair, range(60)), {**pair(60), "chosen": 5.5}])
    plan(path)
    with pytest.raises(UsageError, match=r"pairs\.jsonl:61.*chosen"):
        plan(path, "data.on_invalid=error")


def test_a_part_of_a_mixture_that_does_not_fit_is_named(tmp_path):
    good, bad = write(tmp_path / "a.jsonl", map(pair, range(60))), write(tmp_path / "b.jsonl", [{"text": "x"}])
    mixture = f"data={{source: pairs, mixture: [{{path: {good}}}, {{path: {bad}}}]}}"
    with pytest.raises(UsageError, match=r"data\.mixture\.1\.path: .*b\.jsonl:1: no known form"):
        make_plan(load("hh", [mixture]))

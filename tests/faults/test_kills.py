"""A handful of seeded kills, and the parts of the sweep; the whole sweep is ``tox -e faults``."""

from __future__ import annotations

import random

import pytest

from tests.faults.kill_sweep import COUNTS, drawn, lane
from tests.faults.lane import Kill


def test_kills_come_to_every_place_before_they_come_to_one_twice():
    kills = drawn(random.Random(0), "local", 50, n_points=30, n_questions=10)
    places = [(kill.place, kill.number) for kill in kills]
    assert len(set(places[:40])) == 40 and len(places) == 50
    assert kills == drawn(random.Random(0), "local", 50, 30, 10) != drawn(random.Random(1), "local", 50, 30, 10)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    with lane("forked", tmp_path_factory.mktemp("kills")) as here:
        yield here, *here.whole()


def test_a_few_kills_lose_nothing_and_pay_nothing_twice(whole):
    here, tables, n_points, n_questions = whole
    rng = random.Random(0)
    for kind, place, last in (("group", "point", n_points), ("worker", "question", n_questions)):
        row = here.kill(Kill("local", place, rng.randint(last // 2, last), kind), tables, n_questions)
        assert row["struck"] and not row["wrong"], row
        assert [row[name] for name in COUNTS] == [0] * len(COUNTS)

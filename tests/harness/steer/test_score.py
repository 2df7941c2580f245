"""Exact figures of entries for every unseen user, and contexts that cannot be used."""

from __future__ import annotations

import pandas as pd
import pytest

from harness.inputs.population import population_of
from harness.inputs.steering.contexts import contexts_of, contradictions
from harness.store.jsonl import read_jsonl
from trainers.data.records import DataError

USERS = ("unseen-00", "unseen-01", "unseen-02")


@pytest.fixture(scope="module")
def tables(stage_of, make):
    """Items and measures of an entry at a context size."""

    def read(entry: str, context: int = 0) -> tuple[pd.DataFrame, pd.DataFrame]:
        folder = make(stage_of(entry, context))
        return pd.read_parquet(folder / "items.parquet"), pd.read_parquet(folder / "measures.parquet")

    return read


@pytest.mark.parametrize(("entry", "context"), [("base", 0), ("contrast", 2), ("best_of_4", 2)])
def test_every_user_is_an_item_and_a_cluster_of_its_own(tables, entry, context):
    items, measures = tables(entry, context)
    for objective, rows in items.groupby("objective"):
        assert tuple(rows.item) == tuple(rows.cluster) == USERS, objective
        assert rows.value.notna().all() and (rows.value >= 0).all()
    assert set(items.objective) == {"user_value", "user_regret", "user_accuracy", "user_bayes_regret"}
    matrix = measures[measures.group == "steering matrix"].set_index("name").value
    assert len(matrix) == 9 and matrix.between(0, 1).all()
    costs = measures[measures.group == "cost"].set_index("name").value
    assert costs.decode_tokens > 20 and (costs.adaptation_seconds > 0) == (entry != "base")


def test_one_policy_for_all_users_does_not_steer_and_contexts_without_pairs_give_one_policy(tables):
    for entry in ("base", "contrast", "best_of_4"):
        measures = tables(entry)[1].set_index("name").value
        rows = {given: [measures[f"{given} > {judge}"] for judge in USERS] for given in USERS}
        assert rows[USERS[0]] == rows[USERS[1]] == rows[USERS[2]], entry


def test_a_method_with_pairs_has_the_bayes_curve_of_those_pairs(tables):
    without, with_ = (
        tables("contrast", context)[0].query("objective == 'user_bayes_regret'").value for context in (0, 2)
    )
    base = tables("base")[0].query("objective == 'user_bayes_regret'").value
    assert list(without) == list(base) and list(with_) != list(base)


def test_the_best_of_four_candidates_costs_four_times_the_tokens(tables):
    base, best = (tables(entry)[1].set_index("name").value.decode_tokens for entry in ("base", "best_of_4"))
    assert best == pytest.approx(4 * base)


@pytest.fixture(scope="module")
def rows(plan, make):
    stage = next(stage for stage in plan.stages.values() if stage.kind == "population")
    folder = make(stage)
    return population_of(folder).unseen, list(read_jsonl(folder / "contexts.jsonl"))


def test_a_context_is_the_first_pairs_of_each_user(rows):
    users, pairs = rows
    contexts = contexts_of(pairs, users, 2)
    assert list(contexts) == list(USERS)
    assert all(context == [pair for pair in pairs if pair["user"] == user][:2] for user, context in contexts.items())
    assert contexts_of(pairs, users, 0) == {user: [] for user in users}


def test_users_that_cannot_be_known_are_named(rows):
    users, pairs = rows
    with pytest.raises(DataError, match="user unseen-01: has no pairs; a context needs 2"):
        contexts_of([pair for pair in pairs if pair["user"] != "unseen-01"], users, 2)
    with pytest.raises(DataError, match="user unseen-00: has 4 pairs; a context needs 5"):
        contexts_of(pairs, users, 5)
    odd = {**pairs[0], "user": "unsen-02"}
    with pytest.raises(
        DataError, match="pair context-000000: user 'unsen-02' is no unseen user; did you mean 'unseen-02'"
    ):
        contexts_of([odd, *pairs], users, 2)


def test_a_context_that_contradicts_itself_is_used_and_counted(rows):
    users, pairs = rows
    first = pairs[0]
    turned = {**first, "chosen": first["rejected"], "rejected": first["chosen"]}
    context = {first["user"]: [first, turned, *pairs[1:3]]}
    assert contradictions(context) == 1 and contradictions(contexts_of(pairs, users, 4)) == 0

"""Row layout: every example once, and no attention between examples."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tests.trainers.toy import make_pairs
from trainers.data.encoding import Limits, encode_pairs
from trainers.model.packing import Layout, example_sizes, pack, plan, shuffled
from trainers.model.rows import lay_out

SIZES = st.lists(st.integers(1, 200), min_size=1, max_size=60).map(np.array)


@given(SIZES, st.integers(1, 300))
def test_packing_puts_every_item_in_one_bin_that_holds_it(sizes, capacity):
    bins = pack(sizes, capacity)
    assert sorted(item for content in bins for item in content) == list(range(len(sizes)))
    assert all(len(content) == 1 or sizes[content].sum() <= capacity for content in bins)


@given(SIZES, st.integers(1, 300))
def test_no_two_bins_could_be_one(sizes, capacity):
    loads = [int(sizes[content].sum()) for content in pack(sizes, capacity)]
    assert all(a + b > capacity for i, a in enumerate(loads) for b in loads[i + 1 :])


@given(
    SIZES,
    st.sampled_from([(False, "mask", 2), (True, "mask", 1), (True, "by_example", 1), (True, "blocks", 1)]),
    st.integers(50, 5000),
)
def test_plans_hold_every_example_once_within_the_budget(sizes, kind, budget):
    shared, attention, height = kind
    micro_batches = plan(sizes, Layout(shared, 512, budget, attention), height)
    items = [item for rows in micro_batches for row in rows for item in row]
    assert sorted(items) == list(range(len(sizes)))
    for rows in micro_batches:
        width = max(int(sizes[row].sum()) for row in rows)
        assert len(rows) == 1 or width * height * len(rows) <= budget
        assert len(rows[0]) == 1 or width <= max(budget, sizes.max())


@given(st.integers(1, 50), st.integers(1, 20), st.integers(0, 5), st.integers(0, 30))
def test_batches_are_seeded_passes_that_can_begin_anywhere(n, size, seed, start):
    per_pass = -(-n // size)
    whole = shuffled(n, size, seed)
    first = [next(whole) for _ in range(start + 2 * per_pass)]
    later = shuffled(n, size, seed, start)
    for batch in first[start:]:
        np.testing.assert_array_equal(batch, next(later))
    for begin in (0, per_pass):
        assert sorted(np.concatenate(first[begin : begin + per_pass]).tolist()) == list(range(n))


def test_passes_and_seeds_differ():
    def order(seed, start):
        return next(shuffled(100, 100, seed, start)).tolist()

    assert order(0, 0) != order(0, 1)
    assert order(0, 0) != order(1, 0)


@pytest.fixture(scope="module")
def encoded(tokenizer):
    return encode_pairs(make_pairs(12), tokenizer, Limits(64))


def test_every_branch_reads_as_if_it_were_alone(encoded):
    """Walk the mask back from each token: the tokens it sees, by position, are its prompt and its response so far."""
    layout = Layout(True, 16, 10_000)
    rows = lay_out(encoded, [[3, 0], [5, 1, 2]], layout)
    allowed = rows.mask(torch.float32)[:, 0] == 0
    order = [3, 0, 5, 1, 2]
    count = 0
    for row in range(2):
        for column in range(rows.input_ids.shape[1]):
            number, branch = int(rows.example[row, column]), int(rows.branch[row, column])
            if number < 0:
                continue
            seen = torch.nonzero(allowed[row, column]).flatten()
            example = order[number]
            start, size = encoded.prompts[example]
            alone = encoded.tokens[start : start + size].tolist()
            if branch:
                start, size = encoded.responses[example, branch - 1]
                alone += encoded.tokens[start : start + size - 1].tolist()
            position = int(rows.positions[row, column])
            assert rows.input_ids[row, seen].tolist() == alone[: position + 1]
            assert rows.positions[row, seen].tolist() == list(range(position + 1))
            count += 1
    assert count == rows.n_tokens == sum(example_sizes(encoded, layout)[order])


@pytest.mark.parametrize("shared", [True, False])
def test_sources_predict_targets(encoded, shared):
    rows = lay_out(encoded, [[4], [7, 6]] if shared else [[4], [7], [6]], Layout(shared, 16, 10_000))
    expected = []
    for example in (4, 7, 6):
        for k in range(2):
            start, size = encoded.responses[example, k]
            expected += encoded.tokens[start : start + size].tolist()
    assert rows.targets.tolist() == expected
    assert rows.lengths.tolist() == encoded.lengths[[4, 7, 6]].flatten().tolist()
    # The position of each source is one before its target's, counted from the start of the prompt.
    positions = rows.positions.flatten()[rows.sources].tolist()
    assert positions == [
        encoded.prompts[example, 1] - 1 + t
        for example in (4, 7, 6)
        for k in range(2)
        for t in range(encoded.lengths[example, k])
    ]
    ends = rows.input_ids.flatten()[rows.prompt_ends].tolist()
    assert ends == [encoded.tokens[encoded.prompts[e].sum() - 1] for e in (4, 7, 6)]


def test_packing_pays_for_long_ragged_rows_and_not_for_equal_ones():
    ragged = np.array([500, 60, 70, 80, 90, 100])
    assert len(plan(ragged, Layout(True, 1024, 100_000))[0]) < len(ragged)
    equal = np.full(6, 45)
    assert plan(equal, Layout(True, 1024, 100_000)) == [[[0], [1], [2], [3], [4], [5]]]


def test_going_by_example_pays_for_long_ragged_examples_and_not_for_many_short_ones():
    assert len(plan(np.array([500, 60, 70, 400, 90, 100]), Layout(True, 256, 100_000, attention="by_example"))[0]) == 1
    assert len(plan(np.full(32, 45), Layout(True, 64, 100_000, attention="by_example"))[0]) == 32

"""Contract of data steps, checked for every file of the package."""

from __future__ import annotations

import re
from dataclasses import FrozenInstanceError, fields

import numpy as np
import pytest

from trainers.config import TrainConfig
from trainers.data.records import Example, Pair, ResponseGroup
from trainers.data.tokenizer import PIECE
from trainers.data_steps import Responses, Source, create, steps
from trainers.data_steps.conditioning import conditioned
from trainers.data_steps.step import conditions
from trainers.edit.rounds import OUTER
from trainers.methods import methods

NAMES = list(steps())
over_steps = pytest.mark.parametrize("name", NAMES)


def source(n: int = 40, k: int = 5, seed: int = 0, messages: bool = False) -> Source:
    """Pairs on few prompts with labels by the user reward, and samples of which some failed."""
    rng = np.random.default_rng(seed)
    words = np.array(["red", "green", "blue", "plain", "loud"])

    def text(i: int) -> str | list:
        written = f" {words[i % 5]} {words[i // 5]}"
        return [{"role": "assistant", "content": written}] if messages else written

    def prompt(i: int) -> str | list:
        return [{"role": "user", "content": f"which {i}"}] if messages else f"which {i}"

    ids = np.array([rng.choice(25, 2, replace=False) for _ in range(n)])
    drawn = rng.integers(0, 25, (n, k))
    user, designer = rng.normal(size=25), rng.random(25)
    ids = np.take_along_axis(ids, np.argsort(-user[ids], axis=1), axis=1)
    pairs = [Pair(f"p{i}", prompt(i % 7), text(a), text(b)) for i, (a, b) in enumerate(ids)]
    failed = rng.random((n, k)) < 0.1
    samples = [[None if f else text(d) for d, f in zip(*row, strict=False)] for row in zip(drawn, failed, strict=False)]
    nan = np.where(failed, np.nan, 0.0)
    return Source(
        pairs,
        Responses([[p.chosen, p.rejected] for p in pairs], designer[ids], user[ids]),
        Responses(samples, designer[drawn] + nan, user[drawn] + nan),
    )


def texts_of(record) -> list:
    return {
        Pair: lambda: [record.chosen, record.rejected, *([record.base_response] if record.base_response else [])],
        Example: lambda: [record.response],
        ResponseGroup: lambda: list(record.responses),
    }[type(record)]()


@over_steps
@pytest.mark.parametrize("messages", [False, True], ids=["text", "messages"])
def test_makes_what_it_says_and_the_same_again(name, messages):
    step = create(name)
    made, again = (step.prepare(source(messages=messages), np.random.default_rng(3)) for _ in range(2))
    assert made.records and all(type(record) is step.makes for record in made.records)
    assert made.records == again.records
    assert len({record.id for record in made.records}) == len(made.records)
    np.testing.assert_array_equal(made.rewards, again.rewards)


@over_steps
def test_every_response_has_a_finite_reward_and_no_failed_sample_is_used(name):
    made = create(name).prepare(source(), np.random.default_rng(0))
    assert made.rewards.shape == (len(made.records), len(texts_of(made.records[0])))
    assert np.isfinite(made.rewards).all()
    assert all(text is not None for record in made.records for text in texts_of(record))
    assert all(np.isfinite(value) for value in made.facts.values())


@over_steps
def test_prompts_are_the_data_s_own_but_for_a_condition(name):
    source_data = source()
    allowed = {pair.prompt for pair in source_data.pairs}
    for record in create(name).prepare(source_data, np.random.default_rng(0)).records:
        if conditions(create(name)):
            assert any(record.prompt.startswith(prompt) and record.prompt != prompt for prompt in allowed)
        else:
            assert record.prompt in allowed


@over_steps
def test_tags_cover_what_the_step_writes(name):
    """A tokenizer of whole words has every piece of a condition."""
    step = create(name)
    allowed = {piece for tag in step.tags for piece in re.findall(PIECE, tag)}
    for record in step.prepare(source(), np.random.default_rng(0)).records:
        added = re.sub(r"^which \d+", "", record.prompt)
        assert set(re.findall(PIECE, added)) <= allowed


@pytest.mark.parametrize("name", [name for name, cls in steps().items() if conditions(cls)])
def test_condition_is_one_that_was_taught(name):
    step = create(name)
    made = step.prepare(source(), np.random.default_rng(0))
    condition = step.condition(made.facts)
    assert set(step.asks) <= {field.name for field in fields(step)}
    assert re.findall(PIECE, condition)[0] in {re.findall(PIECE, tag)[0] for tag in step.tags}
    assert conditioned("x", condition) == f"x{condition}"


@over_steps
def test_docstring_states_formula_source_memory_and_cost(name):
    cls = steps()[name]
    for label in ("Formula:", "Source:", "From memory:", "Cost:"):
        assert label in cls.__doc__
    for field in fields(cls):
        assert field.name in cls.__doc__
    assert cls.sweep is None or isinstance(getattr(create(name), cls.sweep), float)
    with pytest.raises(FrozenInstanceError):
        create(name).needs = None


@pytest.mark.parametrize("cls", [*steps().values(), *OUTER.values()], ids=lambda cls: cls.__name__)
def test_a_setting_s_name_means_one_thing(cls):
    """A sweep names a setting without saying whose it is."""
    others = [*methods().values(), TrainConfig, *OUTER.values()]
    taken = {field.name for other in others if other is not cls for field in fields(other)}
    assert not taken & {field.name for field in fields(cls)}


def test_a_mistake_names_the_nearest():
    with pytest.raises(ValueError, match="unknown data step 'rco'; did you mean 'rso'?"):
        create("rco")
    with pytest.raises(
        ValueError, match="data step 'rso' has no hyperparameter 'rejection'; did you mean 'rejection_t"
    ):
        create("rso", rejection=1)

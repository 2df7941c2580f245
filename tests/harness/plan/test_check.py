"""Settings of every kind have types and ranges, and a mistake is told before anything runs."""

from __future__ import annotations

import math
import types
import typing
from dataclasses import fields

import pytest

from harness.errors import UsageError
from harness.plan.cells import make_plan
from harness.spec.loading import load
from suites.oracle.world import WorldSpec
from suites.toxicity.classifier import ClassifierConfig
from trainers.checks import require_types
from trainers.config import LoraConfig, ModelConfig, TrainConfig
from trainers.data_steps import steps
from trainers.edit.rounds import Rounds, Soup
from trainers.methods import methods

CLASSES = [
    TrainConfig, LoraConfig, ModelConfig, WorldSpec, ClassifierConfig, Rounds, Soup, *methods().values(), *steps().values(),
]  # fmt: skip
NO_NUMBERS = (True, "1", math.nan, 1e308, 10**30, -(10**30), [], {}, [1], object())
NO_TEXTS = (True, 1, 0.5, [], {}, ["x"])


def _types(hint: object) -> set[object]:
    """The types that an annotation unites; none for collections."""
    if typing.get_origin(hint) in (None, types.UnionType):
        return set(typing.get_args(hint)) or {hint}
    return set()


@pytest.mark.parametrize("cls", CLASSES, ids=lambda cls: cls.__name__)
def test_no_field_takes_a_value_of_another_kind(cls):
    hints = typing.get_type_hints(cls)
    checked = 0
    for field in fields(cls):
        allowed = _types(hints[field.name])
        wrong = NO_NUMBERS if allowed & {int, float} else NO_TEXTS if str in allowed or bool in allowed else ()
        for value in wrong:
            if type(value) in allowed or (isinstance(value, list) and field.name == "target_modules"):
                continue
            with pytest.raises(ValueError) as error:
                require_types(cls, {field.name: value})
                cls(**{field.name: value})
            assert "\n" not in str(error.value) and len(str(error.value)) < 300
            checked += 1
    assert checked or not fields(cls)


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("training.batch_size=true", "training: TrainConfig: batch_size must be a whole number, not True"),
        ("training.learning_rate=1e308", "training: TrainConfig: learning_rate must be a number in"),
        ("training.device=tpu", "training: device must be cpu, cuda"),
        ("training.lora=5", "training: TrainConfig: lora must be a mapping or null, not 5"),
        ("training.lora={rnk: 5}", "training: LoraConfig.*rnk"),
        ("base.training.epochs='2'", "base.training: TrainConfig: epochs must be a whole number, not '2'"),
        ("sizes.tiny.hidden=65", r"sizes.tiny: hidden \(65\) must be a multiple of heads \(4\)"),
        ("sizes.tiny.hidden=12", r"sizes.tiny: hidden \(12\) per head \(4\) is 3; llama needs it even"),
        ("sizes.tiny.architecture=lama", "sizes.tiny: ModelConfig: architecture must be one of"),
        ("sizes.tiny.layers=100000", "sizes.tiny: ModelConfig: layers must be a number in"),
        ("toxicity.training.heads=5", r"toxicity.training: hidden \(64\) must be a multiple of heads"),
        ("toxicity.held_out={labelled: x, training: {epochs: 0}}", "toxicity.held_out.training: epochs must be in"),
        ("data.world.seed=-1", "data.world: seed must be in"),
        ("methods.dpo={parameters: {beta: 1e308}}", "methods.dpo: DPO: beta must be a number in"),
        ("methods.upo={parameters: {base: 5}}", "methods.upo: UPO: base must be a text, not 5"),
        ("methods.upo={parameters: {base_parameters: {betta: 1}}}", "betta"),
        ("seeds=[" + ",".join(map(str, range(1000))) + "]", "25,000 cells are too many"),
    ],
)
def test_a_setting_that_is_refused(override, message):
    with pytest.raises(UsageError, match=message) as error:
        make_plan(load("bench", [override]))
    assert "\n" not in str(error.value)


def test_a_setting_of_whole_numbers_can_be_swept():
    plan = make_plan(load("bench", ["methods={upo: {sweep: {aux_warmup: [0, 5]}}}", "seeds=[0]"]))
    assert {cell.sweep_value for cell in plan.cells} == {0, 5, None}

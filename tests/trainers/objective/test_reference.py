"""Reference tables: computed once, with a key that depends on every input of their numbers."""

from __future__ import annotations

import json
from dataclasses import replace

import pyarrow.parquet
import pytest
import torch

from trainers.config import TrainConfig
from trainers.data.tokenizer import load_tokenizer
from trainers.model.loading import load
from trainers.objective.reference import METADATA, reference_logps

TEMPLATE = "{% for m in messages %}{{ m['content'] }}{% endfor %}"


def as_messages(pair):
    return replace(
        pair,
        prompt=[{"role": "user", "content": pair.prompt}],
        chosen=[{"role": "assistant", "content": pair.chosen}],
        rejected=[{"role": "assistant", "content": pair.rejected}],
    )


@pytest.fixture(scope="module")
def few(pairs):
    return [as_messages(pair) for pair in pairs[:6]]


@pytest.fixture
def checkpoint(base, tmp_path):
    """A copy that may be changed, with a chat template."""
    folder = tmp_path / "checkpoint"
    load(base).save_pretrained(folder)
    tokenizer = load_tokenizer(base)
    tokenizer.chat_template = TEMPLATE
    tokenizer.save_pretrained(folder)
    return folder


CONFIG = TrainConfig(max_tokens=40)


def key(folder, pairs, config=CONFIG) -> str:
    file = reference_logps(folder, pairs, config, folder / "reference.parquet")
    return json.dumps(json.loads(pyarrow.parquet.read_schema(file).metadata[METADATA]), sort_keys=True)


def one_bit_of_the_weights(folder, pairs):
    model = load(folder)
    with torch.no_grad():
        next(model.parameters()).view(torch.int32)[0, 0] ^= 1
    model.save_pretrained(folder)
    return key(folder, pairs)


def two_tokens_exchanged(folder, pairs):
    text = (folder / "tokenizer.json").read_text()
    for old, new in (('" w1"', '"*"'), ('" w16"', '" w1"'), ('"*"', '" w16"')):
        text = text.replace(old, new)
    (folder / "tokenizer.json").write_text(text)
    return key(folder, pairs)


def a_letter_of_the_template(folder, pairs):
    tokenizer = load_tokenizer(folder)
    tokenizer.chat_template = "w3" + TEMPLATE
    tokenizer.save_pretrained(folder)
    return key(folder, pairs)


def one_token_less(folder, pairs):
    return key(folder, pairs, TrainConfig(max_tokens=7, max_prompt_tokens=5))


def a_letter_of_the_data(folder, pairs):
    changed = [{"role": "assistant", "content": pairs[3].rejected[0]["content"] + " w1"}]
    return key(folder, [*pairs[:3], replace(pairs[3], rejected=changed), *pairs[4:]])


def another_precision(folder, pairs):
    return key(folder, pairs, replace(CONFIG, dtype="bfloat16"))


CHANGES = [
    one_bit_of_the_weights,
    two_tokens_exchanged,
    a_letter_of_the_template,
    one_token_less,
    a_letter_of_the_data,
    another_precision,
]


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.__name__)
def test_a_changed_byte_makes_a_new_key(change, checkpoint, few):
    before = key(checkpoint, few)
    assert key(checkpoint, few) == before
    assert change(checkpoint, few) != before

"""The memory estimate against torch's own tracker at the peak of a step."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.distributed._tools.mem_tracker import MemTracker
from transformers import AutoConfig, AutoModelForCausalLM

from trainers.config import LoraConfig, TrainConfig
from trainers.data.encoded import Encoded
from trainers.model.loading import prepare
from trainers.model.logprobs import score
from trainers.model.memory import Shape, memory
from trainers.model.packing import Layout
from trainers.model.precision import precision
from trainers.model.rows import lay_out
from trainers.optim.optimizer import Group, optimizer

SHAPE = Shape(layers=2, hidden=64, intermediate=192, vocabulary=100)
CONFIG = TrainConfig(optimizer="adamw")
PROMPT, RESPONSE, PAIRS = 40, 40, 32
TOKENS = PAIRS * (PROMPT + 2 * (RESPONSE - 1))


def measured(shape: Shape, config: TrainConfig) -> int:
    """Peak bytes of one step on pairs of equal length, all in one forward pass."""
    sizes = {"hidden_size": shape.hidden, "num_hidden_layers": shape.layers, "intermediate_size": shape.intermediate}
    settings = AutoConfig.for_model(
        "llama", vocab_size=shape.vocabulary, num_attention_heads=4, tie_word_embeddings=False, **sizes
    )
    model = prepare(AutoModelForCausalLM.from_config(settings, attn_implementation="sdpa"), config)
    length = PROMPT + 2 * RESPONSE
    starts = np.arange(PAIRS) * length
    prompts = np.stack([starts, np.full(PAIRS, PROMPT)], axis=1)
    responses = np.stack(
        [np.stack([starts + at, np.full(PAIRS, RESPONSE)], axis=1) for at in (PROMPT, PROMPT + RESPONSE)], axis=1
    )
    tokens = np.random.default_rng(0).integers(0, shape.vocabulary, PAIRS * length).astype(np.int32)
    complete = np.ones((PAIRS, 2), bool)
    names = [str(number) for number in range(PAIRS)]
    encoded = Encoded(names, ("chosen", "rejected"), tokens, prompts, responses, complete, np.arange(PAIRS))
    rows = lay_out(encoded, [[row] for row in range(PAIRS)], Layout(True, shape.hidden, 1 << 20))
    steps = optimizer([Group("policy", list(model.parameters()), 1e-3, 1.0)], config)

    def step() -> None:
        with precision(config):
            logps = score(model, rows).logps
        logps.mean().backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        steps.step()
        steps.zero_grad(set_to_none=True)

    step()  # the optimizer's state is there from now on
    tracker = MemTracker()
    tracker.track_external(model, steps)
    with tracker:
        step()
    return next(v for k, v in tracker.get_tracker_snapshot("peak")[torch.device("cpu")].items() if "otal" in str(k))


@pytest.mark.parametrize(
    "shape, config",
    [
        (SHAPE, CONFIG),
        (replace(SHAPE, layers=4, hidden=128), CONFIG),
        (replace(SHAPE, layers=4), replace(CONFIG, gradient_checkpointing=True)),
        (replace(SHAPE, layers=4), replace(CONFIG, dtype="bfloat16")),
        (replace(SHAPE, vocabulary=8000), replace(CONFIG, optimizer="rmsprop")),
    ],
    ids=["plain", "deeper and wider", "checkpointing", "bfloat16", "large vocabulary"],
)
def test_within_fifteen_percent_of_the_peak(shape, config):
    assert memory(shape, config, TOKENS).total == pytest.approx(measured(shape, config), rel=0.15)


def test_a_forward_pass_has_no_more_tokens_than_it_may():
    small = replace(CONFIG, micro_batch_tokens=TOKENS)
    assert memory(SHAPE, small, 10 * TOKENS) == memory(SHAPE, small, TOKENS)
    assert memory(SHAPE, CONFIG, 2 * TOKENS).activations == 2 * memory(SHAPE, CONFIG, TOKENS).activations


def test_adapters_are_all_that_has_gradients_and_moments():
    config = replace(CONFIG, lora=LoraConfig(rank=4))
    adapters = SHAPE.layers * 4 * (4 * 2 * 64 + 3 * (64 + 192))
    estimate = memory(SHAPE, config, TOKENS)
    assert (estimate.gradients, estimate.optimizer) == (4 * adapters, 8 * adapters)
    assert estimate.weights == 4 * (SHAPE.parameters + adapters)


def test_a_shape_is_read_from_a_checkpoint(base, tmp_path):
    assert Shape.of_checkpoint(base) == Shape(layers=2, hidden=16, intermediate=32, vocabulary=64)
    assert Shape.of_checkpoint(tmp_path) is None

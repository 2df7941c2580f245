"""Exact tables of decoded policies: equalities with the policies that they are made from."""

from __future__ import annotations

import numpy as np
import pytest

from harness.inputs.steering.scene import Scene
from harness.inputs.steering.tables import decode
from harness.stages.score_steer import scene_of
from harness.store.names import CHECKPOINT
from suites.decoding.kinds.best_of_n import BestOfN
from suites.decoding.kinds.contrast import Contrast
from suites.decoding.kinds.plain import Plain
from suites.decoding.kinds.prefix_score import PrefixScore
from suites.decoding.kinds.product import Product
from suites.decoding.kinds.proxy import Proxy
from suites.decoding.registry import Guess
from suites.generation.decoding import Decoding
from suites.generation.huggingface import HuggingFaceGenerator
from suites.oracle.truth import tilt
from trainers.model.response_logprobs import response_logps
from trainers.tokens.framing import Frame

POLITE = Frame("be polite . ")


@pytest.fixture(scope="module")
def folders(stage_of, make):
    """The inputs of a stage with three policies."""
    return {name: make(source) for name, source in stage_of("proxy").inputs.items()}


@pytest.fixture(scope="module")
def scene(folders, stage_of) -> Scene:
    return scene_of({**stage_of("proxy").parameters, "device": "cpu"}, folders)


@pytest.fixture(scope="module")
def reward(scene) -> np.ndarray:
    return scene.reward(scene.population.weights_of("unseen-00"))


def test_a_plain_table_is_that_of_the_responses_one_by_one(scene, folders):
    responses = [[f" {text}" for text in scene.population.world.responses(row)] for row in scene.rows]
    logps = response_logps(folders["policy_base"] / CHECKPOINT, scene.prompts, responses)
    table = decode(Plain(), Guess(), scene).table
    np.testing.assert_allclose(table.mass[:, None] * table.conditional, np.exp(np.stack(logps)), rtol=2e-4, atol=1e-9)


def test_kappa_0_is_the_policy_with_the_instruction_and_minus_1_without(scene):
    guess = Guess(frame=POLITE)
    with_, without = decode(Plain(), guess, scene), decode(Plain(), Guess(), scene)
    for kappa, expected in ((0.0, with_), (-1.0, without)):
        table = decode(Contrast(kappa=kappa), guess, scene).table
        np.testing.assert_array_equal(table.conditional, expected.table.conditional)
    assert np.abs(with_.table.conditional - without.table.conditional).max() > 1e-3


def test_controlled_decoding_with_the_exact_value_is_the_tilt(scene, reward):
    base = decode(Plain(), Guess(), scene).table
    table = decode(PrefixScore(beta=0.5), Guess(reward=reward), scene).table
    np.testing.assert_allclose(table.conditional, tilt(base.conditional, reward / 0.5), atol=1e-9)
    np.testing.assert_allclose(table.mass, 1.0, rtol=1e-9)


def test_a_frame_beside_a_reward_or_weights_counts_the_user_s_wish_only_once(scene, reward):
    for kind in (PrefixScore(), BestOfN(3), Product(weights={"expert": 1.0})):
        plain, framed = (decode(kind, Guess(reward=reward, frame=frame), scene) for frame in (Frame(), POLITE))
        np.testing.assert_array_equal(framed.table.conditional, plain.table.conditional)
        assert framed.decode_tokens == plain.decode_tokens


def test_controlled_decoding_without_weight_is_the_base(scene, reward):
    table = decode(PrefixScore(weight=0.0), Guess(reward=reward), scene).table
    np.testing.assert_array_equal(table.conditional, decode(Plain(), Guess(), scene).table.conditional)


def test_a_product_at_a_corner_is_the_policy_itself_and_proxies_add_up(scene):
    corner = decode(Product(weights={"base": 0.0, "expert": 1.0}), Guess(), scene).table
    expert = decode(Product(weights={"expert": 2.0}), Guess(), scene).table
    proxy = decode(Proxy(), Guess(), scene).table  # base + (expert - base)
    np.testing.assert_array_equal(corner.conditional, expert.conditional)
    np.testing.assert_allclose(proxy.conditional, expert.conditional, rtol=1e-6, atol=1e-12)
    assert np.abs(corner.conditional - decode(Plain(), Guess(), scene).table.conditional).max() > 1e-4


def test_best_of_n_is_its_law_on_the_base_s_table_with_text_off_the_grammar_worst(scene, reward):
    base = decode(Plain(), Guess(), scene).table
    table = decode(BestOfN(3), Guess(reward=reward), scene).table
    np.testing.assert_allclose(table.mass, 1.0 - (1.0 - base.mass) ** 3, rtol=1e-9)
    law = BestOfN(3).law(base.mass[:, None] * base.conditional, reward)
    np.testing.assert_allclose(table.mass[:, None] * table.conditional, law, rtol=1e-12)


def test_tokens_count_every_context_and_candidate(scene, reward):
    plain = decode(Plain(), Guess(), scene).decode_tokens
    prompt = np.mean([len(scene.tokens(number, Frame())) for number in range(3)])
    assert decode(BestOfN(3), Guess(reward=reward), scene).decode_tokens == pytest.approx(3 * plain)
    contrast = decode(Contrast(kappa=0.0), Guess(frame=POLITE), scene).decode_tokens
    with_ = decode(Plain(), Guess(frame=POLITE), scene).decode_tokens
    assert contrast == pytest.approx(2 * with_ - 3) and with_ > plain > prompt + 8  # the phrase is three tokens


def test_samples_follow_the_distribution_of_a_contrast(scene, folders):
    """The generator with a cache for each context, against the teacher-forced logits of the trie's root."""
    mix = Contrast(kappa=2.0, top_p=0.95).mix(Guess(frame=POLITE))
    generator = HuggingFaceGenerator.mixture({"base": folders["policy_base"] / CHECKPOINT}, mix)
    samples = generator.generate({"x": scene.prompts[0]}, Decoding(1, samples=400))
    first = [sample.response for sample in samples]
    p = mix.distribution([scene.steps["base"].logits(0, part.frame)[:1] for part in mix.parts])[0]
    p = p / p.sum()
    for token in p.topk(3).indices.tolist():
        expected, word = 400 * float(p[token]), generator.tokenizer.decode([token])
        error = (first.count(word) - expected) / np.sqrt(expected * (1 - float(p[token])))
        assert abs(error) < 4, word


def test_a_context_longer_than_the_model_s_is_one_clear_line(scene):
    with pytest.raises(ValueError, match=r"^a context of \d+ tokens and a response of 28 exceed 128$"):
        decode(Plain(), Guess(frame=Frame("be polite . " * 40)), scene)

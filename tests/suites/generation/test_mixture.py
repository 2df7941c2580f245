"""Sampling from mixtures of contexts and models: a cache for each, and the same samples in any batch."""

from __future__ import annotations

import pytest
import torch

from harness.records import Status
from suites.decoding.kinds.contrast import Contrast
from suites.decoding.kinds.product import Product
from suites.decoding.mix import Mix, Part
from suites.decoding.registry import Guess
from suites.generation.decoding import Decoding
from suites.generation.huggingface import HuggingFaceGenerator
from trainers.tokens.framing import Frame

INSTRUCTION = Guess(frame=Frame("w3 w5 w7 "))
DECODING = Decoding(8, seed=3, batch_size=7)


def texts(generations) -> list[tuple[str, str, Status]]:
    return [(g.item, g.response, g.status) for g in generations]


@pytest.fixture
def generator(tiny_llama, word_tokenizer):
    def make(mix: Mix | None, **others) -> HuggingFaceGenerator:
        return HuggingFaceGenerator(tiny_llama, word_tokenizer, mix, others)

    return make


@pytest.fixture(scope="module")
def second(tiny_llama):
    """Another model of the same vocabulary."""
    model = type(tiny_llama)(tiny_llama.config)
    with torch.random.fork_rng():
        torch.manual_seed(5)
        model.init_weights()
        for parameter in model.parameters():
            parameter.data.normal_(0.0, 0.3)
    return model.eval()


def test_a_mixture_of_one_part_is_the_model_itself(generator, prompts):
    plain = generator(None).generate(prompts, DECODING)
    assert texts(generator(Mix((Part("base"),))).generate(prompts, DECODING)) == texts(plain)


def test_kappa_0_is_sampling_with_the_instruction_and_shows_the_prompt_without_it(generator, prompts):
    framed = {key: f"w3 w5 w7 {prompt}" for key, prompt in prompts.items()}
    plain = generator(None).generate(framed, DECODING)
    contrast = generator(Contrast(kappa=0.0).mix(INSTRUCTION)).generate(prompts, DECODING)
    assert texts(contrast) == texts(plain)
    assert [g.prompt for g in contrast] == list(prompts.values())


@pytest.mark.parametrize("previous", [False, True])
def test_a_batch_of_mixed_lengths_gives_the_samples_of_single_rows(generator, prompts, previous):
    mix = Contrast(kappa=2.0, top_p=0.9, previous=previous).mix(INSTRUCTION)
    together = generator(mix).generate(prompts, DECODING)
    alone = generator(mix).generate(prompts, Decoding(8, seed=3, batch_size=1))
    assert texts(together) == texts(alone)
    assert texts(together) != texts(generator(None).generate(prompts, DECODING))


def test_samples_follow_the_mixed_distribution(generator, tiny_llama, second, word_tokenizer):
    """The first token of many trials, against the product computed from the two models directly."""
    mix = Product(weights={"base": 0.3, "second": 0.7}).mix(Guess())
    ids = torch.tensor([word_tokenizer("w1 w2").input_ids])
    with torch.inference_mode():
        logits = [model(ids).logits[0, -1:].double() for model in (tiny_llama, second)]
    p = torch.softmax(0.3 * logits[0] + 0.7 * logits[1], -1)[0]
    samples = generator(mix, second=second).generate({"p": "w1 w2"}, Decoding(1, samples=3000))
    first = [g.response.strip() for g in samples]
    for token in p.topk(3).indices.tolist():
        word, expected = word_tokenizer.convert_ids_to_tokens(token), float(p[token])
        if word.startswith("w"):
            error = (first.count(word) - 3000 * expected) / (3000 * expected * (1 - expected)) ** 0.5
            assert abs(error) < 4


def test_room_is_that_of_the_longest_context(generator):
    prompt = " ".join(["w1"] * 43)
    (plain,) = generator(None).generate({"p": prompt}, Decoding(8))
    (mixed,) = generator(Contrast().mix(INSTRUCTION)).generate({"p": prompt}, Decoding(8))
    assert plain.n_tokens <= 4 and mixed.n_tokens <= 1
    (none,) = generator(Contrast().mix(Guess(frame=Frame("w3 " * 10)))).generate({"p": prompt}, Decoding(8))
    assert none.status is Status.ERROR


def test_models_of_different_vocabularies_are_refused_in_one_line(checkpoint, tiny_llama, word_tokenizer, tmp_path):
    tiny_llama.save_pretrained(tmp_path)
    word_tokenizer.save_pretrained(tmp_path)
    (tmp_path / "tokenizer.json").write_text((tmp_path / "tokenizer.json").read_text().replace('"w59"', '"other"'))
    mix = Product(weights={"a": 0.5, "b": 0.5}).mix(Guess())
    with pytest.raises(ValueError, match="^policies 'a' and 'b' have different vocabularies, so they cannot be mixed$"):
        HuggingFaceGenerator.mixture({"a": checkpoint, "b": tmp_path}, mix)

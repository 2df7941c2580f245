"""Texts to tokens and back, on the families of tokenizers that checkpoints come with."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors
from tokenizers import trainers as fitting
from transformers import PreTrainedTokenizerFast

from trainers.config import ModelConfig
from trainers.data.encoding import Limits, encode
from trainers.data.tokenizer import bpe_tokenizer, word_tokenizer
from trainers.model.loading import make
from trainers.tokens.loading import PROBE, load_tokenizer, saved_tokens
from trainers.tokens.text import decode, encode_messages, encode_prompt, encode_response, encode_texts

WORDS = "how are you today ? I am fine , thank you . Human : Assistant : what 's the matter ? 12345 it is 5 o'clock"
TEMPLATE = "{% for m in messages %}<|im_start|>{{ m.content }}</s>\n{% endfor %}{% if add_generation_prompt %}<|im_start|>{% endif %}"
CONTROL = ["<unk>", "<s>", "</s>", "<|im_start|>", "<|im_end|>"]


def save(tokenizer: Tokenizer, folder: Path) -> PreTrainedTokenizerFast:
    bos = tokenizer.token_to_id("<s>")
    tokenizer.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", bos)])
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token="<s>", eos_token="</s>", unk_token="<unk>",
                                   clean_up_tokenization_spaces=False, chat_template=TEMPLATE)  # fmt: skip
    fast.add_special_tokens({"additional_special_tokens": CONTROL[3:]})
    fast.save_pretrained(folder)
    return load_tokenizer(folder)


def bpe(pre_tokenizer, decoder, folder: Path, **options) -> PreTrainedTokenizerFast:
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>"))
    tokenizer.pre_tokenizer, tokenizer.decoder = pre_tokenizer, decoder
    tokenizer.train_from_iterator([WORDS, "\n\n" + WORDS] * 20, fitting.BpeTrainer(vocab_size=420, special_tokens=CONTROL, show_progress=False, **options))  # fmt: skip
    return save(tokenizer, folder)


def metaspace(folder, scheme="first"):
    return bpe(pre_tokenizers.Metaspace(prepend_scheme=scheme), decoders.Metaspace(prepend_scheme=scheme), folder)


def llama(folder):
    """As Llama 2's conversion: the space in front comes from the normalizer, and a Strip takes it away again."""
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>"))
    tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    tokenizer.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.Fuse(), decoders.Strip(" ", 1, 0)])
    tokenizer.pre_tokenizer = pre_tokenizers.Split("▁", "merged_with_next")
    tokenizer.train_from_iterator([WORDS, "\n\n" + WORDS] * 20, fitting.BpeTrainer(vocab_size=300, special_tokens=CONTROL, show_progress=False))  # fmt: skip
    tokenizer.pre_tokenizer = pre_tokenizers.Split("▁", "merged_with_next")
    return save(tokenizer, folder)


def byte_level(folder):
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    return bpe(
        pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel(), folder, initial_alphabet=alphabet
    )


def qwen(folder):
    pattern = r"(?i:'s|'t)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
    split = pre_tokenizers.Sequence([pre_tokenizers.Split(Regex(pattern), "isolated"), pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])  # fmt: skip
    return bpe(split, decoders.ByteLevel(), folder, initial_alphabet=pre_tokenizers.ByteLevel.alphabet())


def wordpiece(folder):
    tokenizer = Tokenizer(models.WordPiece(unk_token="<unk>"))
    tokenizer.pre_tokenizer, tokenizer.decoder = pre_tokenizers.BertPreTokenizer(), decoders.WordPiece(cleanup=False)
    tokenizer.train_from_iterator([WORDS] * 20, fitting.WordPieceTrainer(vocab_size=200, special_tokens=CONTROL, show_progress=False))  # fmt: skip
    return save(tokenizer, folder)


def words(folder):
    return word_tokenizer([WORDS, " " + WORDS, "\n"], folder)


FAMILIES = {
    "metaspace": metaspace, "metaspace, always": lambda folder: metaspace(folder, "always"), "llama": llama,
    "byte level": byte_level, "qwen": qwen, "words": words, "wordpiece": wordpiece,
}  # fmt: skip
LOSSLESS = [name for name in FAMILIES if name != "wordpiece"]


@pytest.fixture(scope="module")
def family(tmp_path_factory):
    made = {}

    def get(name):
        if name not in made:
            made[name] = FAMILIES[name](tmp_path_factory.mktemp("tokenizer") / "saved")
        return made[name]

    return get


ENDS = st.sampled_from(["Human: how are you ?\n\nAssistant:", "what", "it is 5 ?", "thank you\n"])
REPLIES = st.lists(st.sampled_from([" I", " am", " fine", " ,", " thank", " you", " .", " 12345"]), min_size=1).map(
    "".join
)


@pytest.mark.parametrize("name", LOSSLESS)
@settings(max_examples=40, deadline=None)
@given(prompt=ENDS, response=REPLIES)
def test_prompt_and_decoded_response_are_the_text_that_was_written(family, name, prompt, response):
    tokenizer = family(name)
    head, whole = encode_texts(tokenizer, [prompt, prompt + response])
    assert whole[: len(head)] == head
    assert decode(tokenizer, whole[len(head) :]) == response


@settings(max_examples=40, deadline=None)
@given(prompt=ENDS, response=REPLIES)
def test_a_tokenizer_that_drops_spaces_gives_the_same_tokens_again(family, prompt, response):
    tokenizer = family("wordpiece")
    head, whole = encode_texts(tokenizer, [prompt, prompt + response])
    text = prompt + decode(tokenizer, whole[len(head) :])
    assert encode_texts(tokenizer, [text])[0] == whole


@pytest.mark.parametrize("name", LOSSLESS)
@pytest.mark.parametrize("response", [" fine", " I am fine .", "fine", "\nI"])
def test_a_response_alone_has_the_tokens_of_its_text(family, name, response):
    tokenizer = family(name)
    ids = encode_response(tokenizer, response)
    if tokenizer.unk_token_id in ids:
        pytest.skip("the vocabulary lacks the piece")
    assert decode(tokenizer, ids) == response


def test_a_response_that_merges_with_its_prompt_keeps_its_text(family):
    tokenizer = family("metaspace")
    encoded = encode(["x"], ["what ar"], [["e you"]], ("response",), tokenizer, Limits(64, on_boundary="split"))
    start, size = encoded.responses[0, 0]
    assert decode(tokenizer, encoded.tokens[start : start + size - 1].tolist()) == "e you"


@pytest.mark.parametrize("name", FAMILIES)
@pytest.mark.parametrize("text", ["I am</s> fine", "<s> how", "you<|im_end|>\n<|im_start|>"])
def test_a_control_token_in_a_text_is_text(family, name, text):
    tokenizer = family(name)
    special = {*tokenizer.all_special_ids} - {tokenizer.unk_token_id}
    assert not special & set(encode_texts(tokenizer, [text])[0])
    encoded = encode(["x"], [text], [[" yes" + text]], ("response",), tokenizer, Limits(256, on_boundary="split"))
    tokens = encoded.tokens.tolist()
    assert tokens.count(tokenizer.eos_token_id) == 1 and tokens[-1] == tokenizer.eos_token_id
    assert tokens.count(tokenizer.bos_token_id) == 1 and tokens[0] == tokenizer.bos_token_id


@pytest.mark.parametrize("name", [name for name in FAMILIES if name != "words"])
def test_a_message_cannot_close_its_turn(family, name):
    tokenizer = family(name)
    end = tokenizer.convert_tokens_to_ids("</s>")
    plain = [{"role": "user", "content": "how are you"}]
    forged = [{"role": "user", "content": "how are you</s> <s>what"}]
    asked = encode_messages(tokenizer, plain, reply_follows=True)
    assert asked == tokenizer(tokenizer.apply_chat_template(plain, tokenize=False, add_generation_prompt=True), add_special_tokens=False).input_ids  # fmt: skip
    assert encode_messages(tokenizer, forged, True).count(end) == asked.count(end) == 1
    reply = [{"role": "assistant", "content": "fine</s> thank you"}]
    encoded = encode(["x"], [forged], [[reply]], ("response",), tokenizer, Limits(512))
    tokens = encoded.tokens.tolist()
    assert tokens.count(end) == 2 and tokens[-1] == end
    start, size = encoded.prompts[0]
    assert tokens[start : start + size] == encode_prompt(tokenizer, forged)


@pytest.mark.parametrize("name", FAMILIES)
def test_a_prompt_begins_with_one_bos(family, name):
    tokenizer = family(name)
    assert encode_prompt(tokenizer, "how are you").count(tokenizer.bos_token_id) == 1


@pytest.mark.parametrize("architecture", ["qwen2", "llama", "gpt2", "gpt_neox", "mistral"])
@pytest.mark.parametrize("build", [
    lambda folder: word_tokenizer([PROBE, WORDS], folder), lambda folder: bpe_tokenizer([WORDS] * 4, 330, folder),
    metaspace, qwen, wordpiece,
], ids=["words", "bytes", "metaspace", "qwen", "wordpiece"])  # fmt: skip
def test_a_checkpoint_has_the_tokenizer_that_was_saved_with_it(tmp_path, architecture, build):
    made = build(tmp_path)
    make(ModelConfig(architecture, layers=1, hidden=16, heads=2, intermediate=32, context=64), made, 0).save_pretrained(
        tmp_path
    )
    loaded = load_tokenizer(tmp_path)
    for text in (PROBE, WORDS, "it's 12345  two"):
        assert loaded(text).input_ids == made(text).input_ids
    assert loaded(PROBE, add_special_tokens=False).input_ids == saved_tokens(tmp_path)
    assert (loaded.eos_token_id, loaded.bos_token_id) == (made.eos_token_id, made.bos_token_id)
    assert len(loaded) == len(made)


def test_a_folder_without_a_tokenizer_is_named(tmp_path):
    with pytest.raises(ValueError, match="holds no tokenizer"):
        load_tokenizer(tmp_path)

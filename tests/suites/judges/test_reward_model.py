"""Reward models as judges: rewards against the bare model, any architecture, refusals in one line."""

from __future__ import annotations

import math

import pytest
import torch
from scipy.special import expit

from harness.records import Generation, Status
from suites.alpaca.win_rate import win_rate
from suites.checkpoints import revision_of
from suites.judges.reward_model import RewardModelJudge


@pytest.fixture(scope="module")
def judge(reward_folder):
    return RewardModelJudge(reward_folder)


TEXTS = ["w1 w2", "w3 w4 w5 w6 w7", "w1 w2 w9 w8", "w10", "w4 w4 w4 w4 w4 w4 w4 w4"]


def test_rewards_are_those_of_the_model_alone(judge, word_tokenizer):
    """The last token of each unpadded text, through the score head."""
    for text, reward in zip(TEXTS, judge.rewards(TEXTS), strict=True):
        ids = word_tokenizer(text, return_tensors="pt")["input_ids"]
        with torch.inference_mode():
            hidden = judge.model.model(ids).last_hidden_state
            assert judge.model.score(hidden)[0, -1, 0].item() == pytest.approx(reward, abs=1e-5)


def test_batches_and_order_change_nothing(judge, reward_folder):
    small = RewardModelJudge(reward_folder, batch_size=2)
    assert small.rewards(TEXTS) == pytest.approx(judge.rewards(TEXTS), abs=1e-5)
    assert judge.rewards(TEXTS[::-1]) == judge.rewards(TEXTS)[::-1]


def test_preference_is_the_sigmoid_of_the_difference(judge):
    prompts, first, second = ["w1 ", "w2 "], ["w3 w4", "w5"], ["w6", "w5"]
    verdicts = judge.prefer(prompts, first, second)
    rewards = judge.rewards(["w1 w3 w4", "w1 w6"])
    assert verdicts[0].p_first == pytest.approx(expit(rewards[0] - rewards[1]), abs=1e-5)
    assert verdicts[1].p_first == 0.5
    swapped = judge.prefer(prompts, second, first)
    assert verdicts[0].p_first + swapped[0].p_first == pytest.approx(1.0, abs=1e-12)


def test_a_text_beyond_the_window_keeps_its_end(judge):
    end = " ".join(["w7"] * 47)
    assert judge.rewards([f"w1 w2 w3 {end}"])[0] == pytest.approx(judge.rewards([f"w9 {end}"])[0], abs=1e-5)


def test_texts_beyond_ascii_blank_and_of_100_000_characters_have_a_reward(judge):
    strange = ["日本語 🙂 e\u0301", "", " \n\t\u3000", "\x00", "w1 " * 34_000, "x" * 100_000]
    assert all(map(math.isfinite, judge.rewards(strange)))
    verdicts = judge.prefer(["w1 "] * len(strange), strange, ["w2"] * len(strange))
    assert all(0.0 <= verdict.p_first <= 1.0 for verdict in verdicts)


@pytest.mark.parametrize("architecture", ["bert", "deberta-v2", "gpt_neox", "gpt2"])
def test_a_reward_model_of_any_architecture(architecture, word_tokenizer, tmp_path):
    """Encoders read their first token and decoders their last: padding must change neither."""
    from transformers import AutoConfig, AutoModelForSequenceClassification

    shape = {
        "hidden_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "intermediate_size": 64,
        "num_key_value_heads": 2,
    }
    tokens = {"vocab_size": len(word_tokenizer), "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}
    config = AutoConfig.for_model(
        architecture, max_position_embeddings=48, num_labels=1, initializer_range=0.3, **shape, **tokens
    )
    with torch.random.fork_rng():
        torch.manual_seed(0)
        AutoModelForSequenceClassification.from_config(config).save_pretrained(tmp_path)
    word_tokenizer.save_pretrained(tmp_path)
    judge = RewardModelJudge(tmp_path)
    alone = [judge.rewards([text])[0] for text in TEXTS]
    assert judge.rewards(TEXTS) == pytest.approx(alone, abs=1e-5)
    assert max(alone) - min(alone) > 1e-3
    assert math.isfinite(judge.rewards(["w1 " * 1000])[0])


def _saved(folder, tokenizer, architecture, pad, seed=0):
    """A reward model with random weights whose configuration has a padding token of its own."""
    from transformers import AutoConfig, AutoModelForSequenceClassification

    shape = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}
    config = AutoConfig.for_model(
        architecture, vocab_size=len(tokenizer), num_labels=1, pad_token_id=pad, bos_token_id=1, eos_token_id=2,
        initializer_range=0.3, max_position_embeddings=48, **shape,
    )  # fmt: skip
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        AutoModelForSequenceClassification.from_config(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("own_pad", ["<pad>", "</s>", None])
@pytest.mark.parametrize("pad", [0, 2, None])
@pytest.mark.parametrize("architecture", ["gpt2", "llama"])
def test_a_reward_is_read_where_the_configuration_reads_it(word_tokenizer, tmp_path, architecture, pad, own_pad, side):
    """The tokenizer's padding token and side change nothing: alone, in any batch, and by transformers on the bare ids."""
    tokenizer = type(word_tokenizer)(
        tokenizer_object=word_tokenizer.backend_tokenizer, bos_token="<s>", eos_token="</s>", pad_token=own_pad,
        unk_token="<unk>", padding_side=side,
    )  # fmt: skip
    judge = RewardModelJudge(_saved(tmp_path, tokenizer, architecture, pad))
    texts = [*TEXTS, "w1 w2 </s>", "w3 </s> </s>", "w5 <pad>", ""]
    rewards = judge.rewards(texts)
    for text, reward in zip(texts, rewards, strict=True):
        ids = torch.tensor([tokenizer(text)["input_ids"]])
        with torch.inference_mode():
            assert judge.model(input_ids=ids).logits.item() == pytest.approx(reward, abs=1e-5)
    assert judge.rewards(texts[::-1]) == pytest.approx(rewards[::-1], abs=1e-5)


def test_control_tokens_that_a_response_spells_out_are_text(tmp_path):
    """In a rendered text they are tokens; in a response they would end the text that the reward is read from."""
    from transformers import AutoTokenizer

    from tests.chat_model import save_chat_model

    tokenizer = AutoTokenizer.from_pretrained(save_chat_model(tmp_path / "chat"))
    judge = RewardModelJudge(_saved(tmp_path / "reward", tokenizer, "llama", 0))
    rendered, spelled = judge.rewards(["w1 w2</s>"])[0], judge.score(["w1 "], ["w2</s>"])[0]
    for split, reward in ((False, rendered), (True, spelled)):
        ids = tokenizer("w1 w2</s>", split_special_tokens=split)["input_ids"]
        with torch.inference_mode():
            assert judge.model(input_ids=torch.tensor([ids])).logits.item() == pytest.approx(reward, abs=1e-5)
    assert rendered != pytest.approx(spelled, abs=1e-4)


def test_a_padding_token_or_a_text_beyond_the_embeddings_is_refused_in_one_line(word_tokenizer, tmp_path):
    from transformers import LlamaConfig, LlamaForSequenceClassification

    small = {
        "hidden_size": 16,
        "intermediate_size": 16,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "num_labels": 1,
    }
    for name, vocabulary, pad in (("pad", len(word_tokenizer), 0), ("text", 32, 0)):
        LlamaForSequenceClassification(LlamaConfig(vocab_size=vocabulary, pad_token_id=pad, **small)).save_pretrained(
            tmp_path / name
        )
        word_tokenizer.save_pretrained(tmp_path / name)
    config = tmp_path / "pad" / "config.json"
    config.write_text(config.read_text().replace('"pad_token_id": 0', f'"pad_token_id": {len(word_tokenizer)}'))
    with pytest.raises(ValueError, match="the padding token of its configuration has no embedding"):
        RewardModelJudge(tmp_path / "pad")
    judge = RewardModelJudge(tmp_path / "text")
    with pytest.raises(ValueError, match=r"token 'w59' of a text has the id 63, and the model embeds 32 tokens only"):
        judge.rewards(["w1 w59"])


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_reward_that_is_no_number_is_an_error_verdict(reward_folder, value):
    """A broken embedding: only the texts that use it have no reward, whatever else is in their batch."""
    judge = RewardModelJudge(reward_folder)
    with torch.no_grad():
        judge.model.get_input_embeddings().weight[judge.tokenizer.convert_tokens_to_ids("w9")] = value
    bad, good, both = judge.prefer(["w1 "] * 3, ["w9", "w2", "w9"], ["w3", "w3", "w9 w9"])
    assert (bad.p_first, bad.status) == (None, Status.ERROR) == (both.p_first, both.status) and bad.reason
    whole = RewardModelJudge(reward_folder).prefer(["w1 "], ["w2"], ["w3"])[0]
    assert good.status is Status.OK and good.p_first == pytest.approx(whole.p_first, abs=1e-5)


def test_revision_follows_the_weights(judge, reward_folder, tmp_path):
    import shutil

    copy = shutil.copytree(reward_folder, tmp_path / "copy")
    assert RewardModelJudge(copy).revision == judge.revision
    other = RewardModelJudge(copy)
    with torch.no_grad():
        other.model.score.weight += 1
    other.model.save_pretrained(copy)
    changed = RewardModelJudge(copy).revision
    assert changed != judge.revision
    (copy / "model.safetensors").rename(copy / "pytorch_model.bin")  # the older form of a checkpoint
    assert revision_of(copy, None) == changed


def test_judges_a_win_rate(judge):
    rows = [Generation("p#0", "p", "w1 ", "w3 w4", 2)]
    value = win_rate(rows, {"p": "w6"}, judge).items[0].value
    assert value == pytest.approx(judge.prefer(["w1 "], ["w3 w4"], ["w6"])[0].p_first, abs=1e-6)


def test_a_checkpoint_without_a_reward_head_is_refused(checkpoint):
    """transformers would give it a head of random weights, and the judge would say anything."""
    with pytest.raises(ValueError, match=r"not a reward model, its checkpoint has no .*score"):
        RewardModelJudge(checkpoint)


def test_a_classifier_of_several_labels_is_refused(tmp_path, word_tokenizer):
    from transformers import LlamaConfig, LlamaForSequenceClassification

    config = LlamaConfig(
        vocab_size=len(word_tokenizer), hidden_size=16, intermediate_size=16, num_hidden_layers=1, num_attention_heads=2,
        num_labels=3, pad_token_id=0,
    )  # fmt: skip
    LlamaForSequenceClassification(config).save_pretrained(tmp_path)
    word_tokenizer.save_pretrained(tmp_path)
    with pytest.raises(ValueError, match="several labels"):
        RewardModelJudge(tmp_path)


def test_a_named_reward_model_is_asked_by_its_chat_template(reward_folder, tmp_path):
    import shutil

    folder = shutil.copytree(reward_folder, tmp_path / "chat")
    plain = RewardModelJudge(folder)
    template = "{% for message in messages %}<s> {{ message['role'] }} {{ message['content'] }} </s> {% endfor %}"
    plain.tokenizer.chat_template = template
    plain.tokenizer.save_pretrained(folder)
    chat = RewardModelJudge(folder, chat=True)
    (verdict,) = chat.prefer(["w1 "], ["w2"], ["w3"])
    first, second = chat.rewards(
        ["<s> user w1  </s> <s> assistant w2 </s> ", "<s> user w1  </s> <s> assistant w3 </s> "]
    )
    assert verdict.p_first == pytest.approx(expit(first - second), abs=1e-6)
    assert verdict != plain.prefer(["w1 "], ["w2"], ["w3"])[0]

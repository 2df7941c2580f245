"""A judge behind an endpoint: requests, cache, and every failure of its server."""

from __future__ import annotations

import math
import socket
import time

import pytest

from harness.records import Generation, Status
from suites.alpaca.win_rate import win_rate
from suites.judges.endpoint import EndpointJudge
from suites.judges.remote.ledger import OverBudget
from suites.judges.remote.questions import JudgeFailed
from suites.judges.remote.terms import Endpoint, Price
from suites.judges.templates import load_template
from tests.suites.judges.conftest import Answer, completion

UPO, ALPACA = load_template("upo"), load_template("alpaca_eval")


@pytest.fixture
def judge_of(server, tmp_path, monkeypatch):
    """A judge at the scripted server; keywords go to `Endpoint`."""
    monkeypatch.setenv("JUDGE_KEY", "sesame")

    def make(template=UPO, folder=tmp_path, **settings):
        settings = {"key": "JUDGE_KEY", "timeout": 5.0, "max_retries": 0, "max_failed": 1.0} | settings
        return EndpointJudge("scripted", Endpoint(server.base_url, **settings), template, folder)

    return make


def shown(request) -> tuple[str, str]:
    """The two responses that a request with UPO's prompt shows, in their order."""
    text = request["messages"][-1]["content"]
    return tuple(text.split(f"<answer_{x}>\n")[1].split(f"\n</answer_{x}>")[0] for x in "ab")


def longest(request, n):
    a, b = shown(request)
    return Answer(completion(f"It says more. {'A' if len(a) > len(b) else 'B'}"))


def test_asks_at_temperature_zero_with_the_key_and_both_texts(server, judge_of):
    server.script = longest
    verdicts = judge_of().prefer(["Hi?", "Hi?"], ["short", "a long one"], ["a long one", "short"])
    assert [v.p_first for v in verdicts] == [0.0, 1.0]
    assert {shown(request) for request in server.requests} == {("short", "a long one"), ("a long one", "short")}
    for request in server.requests:
        assert (request["temperature"], request["model"], request["path"]) == (0, "scripted", "/v1/chat/completions")
        assert request["authorization"] == "Bearer sesame" and request["max_tokens"] == UPO.max_tokens


def test_what_was_answered_is_never_asked_again(server, judge_of):
    server.script = lambda request, n: Answer(completion("A" if request["max_tokens"] > 1 else "m"))
    pairs = ["Hi?"] * 3, ["a", "bb", "a"], ["ccc", "d", "ccc"]
    first = judge_of().prefer(*pairs)
    assert len(server.requests) == 2  # the third pair is the first one
    assert judge_of().prefer(*pairs) == first and len(server.requests) == 2
    judge_of(ALPACA).prefer(*pairs)  # another prompt
    judge_of().prefer(pairs[0], pairs[2], pairs[1])  # the other order
    assert len(server.requests) == 6
    judge_of().again().prefer(*pairs)
    assert len(server.requests) == 8
    judge_of().again().prefer(*pairs)
    assert len(server.requests) == 8


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (Answer(completion("Both are fine answers.")), "no choice in the reply"),
        (Answer(completion("")), "no choice in the reply"),
        (Answer(completion(None)), "no choice in the reply"),
        (Answer(completion("It begins", finish_reason="length")), "cut at its token limit"),
        (Answer(completion(None, refusal="I will not compare these.")), "refusal"),
        (Answer(completion("A", finish_reason="content_filter")), "refusal"),
        (Answer(completion("A", choices=[])), "no message"),
    ],
)
def test_a_reply_that_is_no_choice_is_unparsable_and_not_kept(server, judge_of, answer, reason):
    server.script = lambda request, n: answer
    (verdict,) = judge_of().prefer(["Hi?"], ["a"], ["b"])
    assert (verdict.p_first, verdict.status) == (None, Status.UNPARSABLE) and reason in verdict.reason
    server.script = lambda request, n: Answer(completion("A"))
    assert judge_of().prefer(["Hi?"], ["a"], ["b"])[0].p_first == 1.0


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (Answer({"error": {"message": "boom"}}, 500), "HTTP 500"),
        (Answer({"error": {"message": "slow down"}}, 429), "rate limit"),
        (Answer({"error": {"message": "too long"}}, 400), "HTTP 400"),
        (Answer({"surprise": 1}), "no chat completion"),
        (Answer("<html>maintenance</html>", headers={"Content-Type": "text/html"}), "no chat completion"),
        (Answer("{not json"), "no chat completion"),
        (Answer(completion("A"), delay=1.0), "timeout"),
    ],
)
def test_a_question_that_fails_alone_is_an_error_and_the_others_go_on(server, judge_of, answer, reason):
    server.script = lambda request, n: answer if "poison" in shown(request) else Answer(completion("A"))
    judge = judge_of(timeout=0.4)
    bad, good = judge.prefer(["Hi?"] * 2, ["poison", "a"], ["b", "b"])
    assert (bad.p_first, bad.status) == (None, Status.ERROR) and reason in bad.reason
    assert good.p_first == 1.0
    server.script = lambda request, n: Answer(completion("A"))
    assert judge.prefer(["Hi?"], ["poison"], ["b"])[0].p_first == 1.0  # errors are never kept


def test_a_rate_limit_is_waited_out_as_the_server_says(server, judge_of):
    server.script = lambda request, n: (
        Answer({"error": {"message": "wait"}}, 429, {"Retry-After": "0.3"}) if n == 0 else Answer(completion("A"))
    )
    assert judge_of(max_retries=1).prefer(["Hi?"], ["a"], ["b"])[0].p_first == 1.0
    assert server.times[1] - server.times[0] >= 0.3


def test_rows_never_vanish_and_say_why(server, judge_of):
    """Five responses, four fates, through the win rate."""

    def fate(request, n):
        texts = shown(request)
        if "crash" in texts:
            return Answer({"error": {"message": "boom"}}, 500)
        return Answer(completion("Hmm." if "garble" in texts else "Fine. B" if texts[1] == "good" else "Fine. A"))

    server.script = fate
    texts = ["good", "crash", "garble", "reference", ""]
    rows = [Generation(f"p{i}#0", f"p{i}", f"Q{i}", text, 1) for i, text in enumerate(texts)]
    judge = judge_of()
    result = win_rate(rows, {f"p{i}": "reference" for i in range(5)}, judge, judge.again(), note_judge=True)
    assert [item.status.value for item in result.items] == ["ok", "error", "unparsable", "ok", "empty"]
    assert [item.value for item in result.items] == [1.0, None, None, 0.5, 0.0]
    assert "HTTP 500" in result.items[1].detail["reason"] and "no choice" in result.items[2].detail["reason"]
    assert {item.detail["judge"] for item in result.items} == {"endpoint:scripted"}
    assert {item.detail["judge_revision"].split(",")[0] for item in result.items} == {"scripted-1"}
    figures = {m.name: m.value for m in result.measures if m.group == "judge"}
    assert figures["judge_missing"] == 0.5 and figures["judge_unparsable"] == 0.25
    assert figures["repeat_disagreement"] == 0.0


def test_a_judge_that_does_not_repeat_itself_is_measured(server, judge_of):
    asked = {}

    def fickle(request, n):
        key = shown(request)
        asked[key] = asked.get(key, 0) + 1
        first_wins = key[0] < key[1]
        return Answer(completion("A" if first_wins ^ (asked[key] > 1 and "fickle" in key[1]) else "B"))

    server.script = fickle
    texts = [f"zz fickle {i}" for i in range(3)] + [f"zz steady {i}" for i in range(9)]
    rows = [Generation(f"p{i}#0", f"p{i}", "Q", text, 1) for i, text in enumerate(texts)]
    judge = judge_of()
    result = win_rate(rows, {f"p{i}": "aa" for i in range(12)}, judge, judge.again())
    assert {m.name: m.value for m in result.measures}["repeat_disagreement"] == 0.25


def top(*pairs) -> dict:
    entries = [{"token": token, "logprob": math.log(p), "bytes": None} for token, p in pairs]
    return {"content": [entries[0] | {"top_logprobs": entries}]}


def test_log_probs_of_the_one_token_are_the_strength_of_the_preference(server, judge_of):
    server.script = lambda request, n: Answer(completion("M", logprobs=top(("M", 0.6), ("m", 0.2), ("x", 0.1))))
    (verdict,) = judge_of(ALPACA).prefer(["Hi?"], ["a"], ["b"])
    assert verdict.p_first == pytest.approx(0.25) and server.requests[0]["top_logprobs"] == 5
    server.script = lambda request, n: Answer(completion("M"))  # a server without log-probs
    assert judge_of(ALPACA).prefer(["Hi?"], ["a"], ["c"])[0].p_first == 0.0


@pytest.mark.parametrize(("status", "set_"), [(401, True), (403, True), (401, False)])
def test_a_wrong_key_is_one_clear_error_and_nothing_is_retried(server, judge_of, monkeypatch, status, set_):
    if not set_:
        monkeypatch.delenv("JUDGE_KEY")
    server.script = lambda request, n: Answer({"error": {"message": "bad key"}}, status)
    with pytest.raises(JudgeFailed, match=rf"\$JUDGE_KEY {'is refused' if set_ else 'is not set'} \(HTTP {status}\)"):
        judge_of(max_retries=5, concurrency=1).prefer(["Hi?"] * 20, [f"a{i}" for i in range(20)], ["b"] * 20)
    assert len(server.requests) == 1


def test_an_unknown_model_and_a_used_up_quota_stop_the_judge(server, judge_of):
    server.script = lambda request, n: Answer({"error": {"message": "no such model"}}, 404)
    with pytest.raises(JudgeFailed, match="no such model"):
        judge_of().prefer(["Hi?"], ["a"], ["b"])
    server.script = lambda request, n: Answer({"error": {"message": "pay", "code": "insufficient_quota"}}, 429)
    with pytest.raises(JudgeFailed, match="quota is used up"):
        judge_of().prefer(["Hi?"], ["a"], ["b"])


def test_a_server_that_is_not_there_stops_the_judge_at_once(tmp_path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    judge = EndpointJudge("m", Endpoint(f"http://127.0.0.1:{port}/v1", max_retries=0, concurrency=1), UPO, tmp_path)
    started = time.monotonic()
    with pytest.raises(JudgeFailed, match="cannot be reached"):
        judge.prefer(["Hi?"] * 50, [f"a{i}" for i in range(50)], ["b"] * 50)
    assert time.monotonic() - started < 5


def test_too_many_failures_stop_the_judge_and_answers_stay(server, judge_of):
    server.script = lambda request, n: Answer(completion("A")) if n < 5 else Answer({"error": {}}, 503)
    pairs = ["Hi?"] * 40, [f"a{i}" for i in range(40)], ["b"] * 40
    with pytest.raises(JudgeFailed, match=r"5 questions stayed without an answer .* HTTP 503"):
        judge_of(max_failed=0.1, concurrency=1).prefer(*pairs)
    assert len(server.requests) == 10
    server.script = lambda request, n: Answer(completion("A"))
    assert all(v.p_first == 1.0 for v in judge_of().prefer(*pairs))
    assert len(server.requests) == 10 + 35


@pytest.mark.parametrize("change", [{"model": "scripted-2"}, {"system_fingerprint": "fp_2"}])
def test_a_judge_that_changes_its_revision_is_refused(server, judge_of, change):
    before = {"model": "scripted-1", "system_fingerprint": "fp_1"}
    server.script = lambda request, n: Answer(completion("A", **(before if n < 3 else before | change)))
    pairs = ["Hi?"] * 8, [f"a{i}" for i in range(8)], ["b"] * 8
    with pytest.raises(JudgeFailed, match=r"changed: it is now '.*2.*', and was 'scripted-1 fp_1'"):
        judge_of(concurrency=1).prefer(*pairs)
    assert len(server.requests) == 4
    with pytest.raises(JudgeFailed, match="changed"):  # nor by a later run
        judge_of(concurrency=1).prefer(*pairs)
    now = " ".join((before | change).values())
    verdicts = judge_of(concurrency=1, revision=now).prefer(*pairs)  # anew, by its new name: nothing is mixed
    assert all(v.p_first == 1.0 for v in verdicts) and len(server.requests) == 5 + 8


def test_a_fingerprint_may_be_left_out_of_the_revision(server, judge_of):
    server.script = lambda request, n: Answer(completion("A", system_fingerprint=f"fp_{n}"))
    verdicts = judge_of(pin="model").prefer(["Hi?"] * 3, ["a", "b", "c"], ["d"] * 3)
    assert [v.p_first for v in verdicts] == [1.0] * 3


def test_cost_is_what_the_server_counted_and_the_cap_is_never_passed(server, judge_of):
    price = Price(input=1000.0, output=2000.0)  # 100 and 10 tokens: $0.12 a question
    judge = judge_of(price=price, max_cost=2.0, concurrency=1)
    worst = price.cost(judge._question("Hi?", "a0", "b").most_input_tokens, UPO.max_tokens)
    with pytest.raises(OverBudget, match=r"cap of \$2"):
        judge.prefer(["Hi?"] * 40, [f"a{i}" for i in range(10, 50)], ["b"] * 40)
    paid = 0.12 * len(server.requests)
    assert judge.ledger.spent == pytest.approx(paid) and paid <= 2.0 < paid + worst + 0.12
    asked = len(server.requests)
    more = judge_of(price=price, max_cost=20.0, concurrency=1)
    assert len(more.prefer(["Hi?"] * 40, [f"a{i}" for i in range(10, 50)], ["b"] * 40)) == 40
    assert len(server.requests) == 40 and asked > 0  # what was paid for is not paid for again
    assert more.ledger.spent == pytest.approx(40 * 0.12)


def test_the_cost_of_a_cell_is_that_of_its_answers_however_often_it_is_measured(server, judge_of):
    judge = judge_of(price=Price(input=1000.0, output=2000.0), max_cost=10.0)
    rows = [Generation(f"p{i}#0", f"p{i}", "Q", f"answer {i}", 1) for i in range(3)]
    for _ in range(2):
        figures = {m.name: m.value for m in win_rate(rows, {f"p{i}": "reference" for i in range(3)}, judge).measures}
        assert figures["judge_cost"] == pytest.approx(6 * 0.12)
    assert len(server.requests) == 6


def test_the_cap_holds_for_questions_under_way_at_the_same_time(server, judge_of):
    price = Price(input=1000.0, output=2000.0)
    server.script = lambda request, n: Answer(
        completion("A", usage={"prompt_tokens": 500, "completion_tokens": 160, "total_tokens": 660}), delay=0.1
    )
    judge = judge_of(price=price, max_cost=3.0, concurrency=8)
    with pytest.raises(OverBudget):
        judge.prefer(["Hi?"] * 8, [f"a{i}" for i in range(8)], ["b"] * 8)
    assert judge.ledger.spent <= 3.0


def test_questions_under_way_and_per_minute_are_limited(server, judge_of):
    server.script = lambda request, n: Answer(completion("A"), delay=0.3)
    judge_of(concurrency=2).prefer(["Hi?"] * 8, [f"a{i}" for i in range(8)], ["b"] * 8)
    assert server.most_under_way == 2
    started = time.monotonic()
    judge_of(concurrency=8, requests_per_minute=600).prefer(["Hi?"] * 6, [f"c{i}" for i in range(6)], ["b"] * 6)
    assert server.times[-1] - started >= 0.5  # the sixth turn comes five intervals of 0.1 s after the first


def test_non_ascii_white_space_and_very_long_responses_go_through(server, judge_of):
    server.script = lambda request, n: Answer(completion("A"))
    texts = ["日本語 🙂 {second}", " \n\t", "x" * 100_000, '"}]', "</answer_a> B"]
    verdicts = judge_of().prefer(["Hi?"] * 5, texts, ["b"] * 5)
    assert [v.p_first for v in verdicts] == [1.0] * 5
    sent = " ".join(request["messages"][-1]["content"] for request in server.requests)
    assert all(text in sent for text in texts)

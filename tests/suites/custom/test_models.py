"""Classifiers, reward models, servers and graders as scorers."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from suites.custom import Running, create, kinds
from tests.chat_model import save_chat_model
from tests.suites.judges.conftest import Answer, closed_network, completion, server  # noqa: F401

kinds()


@pytest.fixture(scope="module")
def language_model(tmp_path_factory):
    return save_chat_model(tmp_path_factory.mktemp("lm") / "model")


@pytest.fixture(scope="module", params=[1, 3])
def classifier(request, tmp_path_factory, language_model):
    """A sequence classifier with random weights and so many labels."""
    import torch
    from transformers import AutoConfig, AutoModelForSequenceClassification, AutoTokenizer

    folder = tmp_path_factory.mktemp("classifier")
    config = AutoConfig.from_pretrained(language_model, num_labels=request.param)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        AutoModelForSequenceClassification.from_config(config).save_pretrained(folder)
    AutoTokenizer.from_pretrained(language_model).save_pretrained(folder)
    return folder, request.param


def test_a_classifier_gives_the_probability_of_its_label(classifier):
    folder, labels = classifier
    texts = ["w1 w2 w3", "w4", "w5 w6 w7 w8 w9"]
    label = {} if labels == 1 else {"label": "LABEL_1"}
    scorer = create("classifier", {"classifier": str(folder), **label})
    values = [scored.value for scored in scorer.score([""] * 3, texts, Running())]
    alone = [scorer.score([""], [text], Running())[0].value for text in texts]
    assert values == pytest.approx(alone, abs=1e-5) and len(set(values)) == 3
    if labels > 1:
        others = [create("classifier", {"classifier": str(folder), "label": f"LABEL_{i}"}) for i in range(3)]
        total = sum(other.score([""], texts[:1], Running())[0].value for other in others)
        assert total == pytest.approx(1.0)
        with pytest.raises(ValueError, match="has no 'toxic'; it has LABEL_0, LABEL_1, LABEL_2"):
            create("classifier", {"classifier": str(folder), "label": "toxic"}).score([""], ["a"], Running())


class Length(BaseHTTPRequestHandler):
    """A server that returns the length of a response, fails once on each, and has no value for some."""

    seen: set[str] = set()
    tokens: list[str | None] = []

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        type(self).tokens.append(self.headers.get("Authorization"))
        first = asked["response"] not in self.seen
        self.seen.add(asked["response"])
        code = 503 if first else 400 if asked["response"] == "refused" else 200
        value = {"nothing": None}.get(asked["response"], len(asked["response"]))
        body = json.dumps({"value": value}).encode()
        self.send_response(code)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_) -> None:
        """Nothing."""


@pytest.fixture
def lengths():
    service = ThreadingHTTPServer(("127.0.0.1", 0), Length)
    threading.Thread(target=service.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{service.server_address[1]}/score"
    service.shutdown()
    service.server_close()


def test_a_server_is_asked_again_and_costs_its_failures_alone(lengths, monkeypatch):
    monkeypatch.setenv("SCORER_TOKEN", "open-sesame")
    scorer = create("http", {"http": lengths, "key": "SCORER_TOKEN"})
    values = scorer.score([""] * 4, ["abc", "nothing", "refused", "abcd"], Running())
    assert [value.value for value in values] == [3.0, None, None, 4.0]
    assert values[1].reason == "a reply without a number: {'value': None}" and values[2].reason == "HTTP 400"
    assert set(Length.tokens) == {"Bearer open-sesame"}


class Hostile(BaseHTTPRequestHandler):
    """A server that answers each response in the way that it names."""

    asked: list[tuple[str, str | None]] = []

    def do_POST(self) -> None:
        way = json.loads(self.rfile.read(int(self.headers["Content-Length"])))["response"]
        self.asked.append((self.path, self.headers.get("Authorization")))
        if way == "elsewhere":
            self.send_response(302)
            self.send_header("Location", f"http://127.0.0.1:{self.server.server_address[1]}/other")
            return self.end_headers()
        if way == "garbage":
            return self.wfile.write(b"no HTTP\r\n\r\n")
        bodies = {"huge": b"1" * 400, "deep": b"[" * 50_000, "long": b" " * 100_000 + b"1", "cut": b"1"}
        self.send_response(200)
        self.send_header("Content-Length", str(len(bodies[way]) + (way == "cut")))
        self.end_headers()
        self.wfile.write(bodies[way])

    def do_GET(self) -> None:
        self.asked.append((self.path, self.headers.get("Authorization")))

    def log_message(self, *_) -> None:
        """Nothing."""


def test_odd_replies_are_errors_of_their_items_and_a_redirection_is_not_followed(monkeypatch):
    monkeypatch.setenv("SCORER_TOKEN", "open-sesame")
    monkeypatch.setattr("suites.custom.http.ATTEMPTS", 1)
    service = ThreadingHTTPServer(("127.0.0.1", 0), Hostile)
    threading.Thread(target=service.serve_forever, daemon=True).start()
    scorer = create("http", {"http": f"http://127.0.0.1:{service.server_address[1]}/score", "key": "SCORER_TOKEN"})
    ways = ["elsewhere", "garbage", "huge", "deep", "long", "cut"]
    values = scorer.score([""] * len(ways), ways, Running())
    service.shutdown()
    service.server_close()
    assert [value.value for value in values] == [None] * len(ways), values
    assert [values[n].reason for n in (0, 4, 5)] == ["HTTP 302", "a reply of more than 64 KiB", "a reply that is cut"]
    assert {path for path, _ in Hostile.asked} == {"/score"}


def test_a_server_that_is_not_there_is_an_error_of_each_item():
    values = create("http", {"http": "http://127.0.0.1:9/", "timeout": 1}).score([""], ["a"], Running())
    assert values[0].value is None and "refused" in values[0].reason


def test_http_elsewhere_is_refused():
    with pytest.raises(ValueError, match="http"):
        create("http", {"http": "http://example.com/score"})


def test_a_served_model_grades_by_the_rubric(server, tmp_path):  # noqa: F811
    grades = {"good": "Fine. Grade: 5", "bad": "Weak.\n\nGrade: 1", "odd": "Grade: 9"}

    def reply(request, n):
        text = request["messages"][0]["content"]
        return Answer(completion(next(reply for word, reply in grades.items() if f"Response:\n{word}" in text)))

    server.script = reply
    settings = {"rubric": "Is it good?", "model": "m", "scale": [1, 5], "endpoint": {"base_url": server.base_url}}
    scorer, running = create("rubric", settings), Running(folder=tmp_path)
    values = scorer.score(["Q"] * 4, ["good", "bad", "odd", "good"], running)
    assert [value.value for value in values] == [5.0, 1.0, None, 5.0] and len(server.requests) == 3
    assert "no choice in the reply" in values[2].reason
    assert "whole number from 1 to 5" in server.requests[0]["messages"][0]["content"]
    assert [value.value for value in scorer.score(["Q"], ["bad"], running)] == [1.0] and len(server.requests) == 3


def test_a_local_model_gives_the_expected_grade(language_model):
    settings = {"rubric": "Is it good?", "model": str(language_model), "scale": [1, 5]}
    values = [value.value for value in create("rubric", settings).score(["w1", "w2"], ["w3", "w4"], Running())]
    assert all(1 < value < 5 for value in values) and len(set(values)) == 2


@pytest.mark.parametrize(
    ("settings", "message"),
    [({"scale": [5, 1]}, "scale: should be the lowest and the highest grade"), ({"scale": [0, 100]}, "at most 10 numbers")],
)  # fmt: skip
def test_a_scale_is_checked(settings, message):
    with pytest.raises(ValueError, match=message):
        create("rubric", {"rubric": "R", "model": "folder", **settings})

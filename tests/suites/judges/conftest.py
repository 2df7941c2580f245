"""A scripted chat endpoint on loopback, over real HTTP."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest


@pytest.fixture(autouse=True)
def closed_network(monkeypatch):
    """Loopback only."""
    connect = socket.socket.connect

    def only_loopback(self, address):
        assert address[0] in ("127.0.0.1", "localhost", "::1"), f"a judge tried to connect to {address}"
        return connect(self, address)

    monkeypatch.setattr(socket.socket, "connect", only_loopback)


def completion(text: str | None, **changes) -> dict:
    """A chat completion as an OpenAI-compatible server writes it."""
    message = {"role": "assistant", "content": text, "refusal": changes.pop("refusal", None)}
    choice = {
        "index": 0,
        "message": message,
        "finish_reason": changes.pop("finish_reason", "stop"),
        "logprobs": changes.pop("logprobs", None),
    }
    return {
        "id": "c",
        "object": "chat.completion",
        "created": 0,
        "model": "scripted-1",
        "choices": [choice],
        "usage": {"prompt_tokens": 100, "completion_tokens": 10, "total_tokens": 110},
        **changes,
    }


@dataclass(frozen=True)
class Answer:
    """What the server sends back."""

    body: object
    status: int = 200
    headers: dict = field(default_factory=dict)
    delay: float = 0.0


class Server(ThreadingHTTPServer):
    """Answers by `script(request, n)`, n counting from 0, and remembers what it was asked, and when."""

    daemon_threads = True

    def __init__(self) -> None:
        self.script: Callable[[dict, int], Answer] = lambda request, n: Answer(completion("A"))
        self.requests: list[dict] = []
        self.times: list[float] = []
        self.under_way = self.most_under_way = 0
        self.lock = threading.Lock()
        super().__init__(("127.0.0.1", 0), Handler)

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/v1"


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_POST(self) -> None:
        request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        server = self.server
        with server.lock:
            n = len(server.requests)
            server.requests.append(request | {"authorization": self.headers["Authorization"], "path": self.path})
            server.times.append(time.monotonic())
            server.under_way += 1
            server.most_under_way = max(server.most_under_way, server.under_way)
        answer = server.script(request, n)
        time.sleep(answer.delay)
        with server.lock:
            server.under_way -= 1
        body = (answer.body if isinstance(answer.body, str) else json.dumps(answer.body)).encode()
        try:
            self.send_response(answer.status)
            for name, value in ({"Content-Type": "application/json"} | answer.headers).items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)
        except (BrokenPipeError, ConnectionResetError):
            pass

    def log_message(self, *_) -> None:
        pass


@pytest.fixture
def server():
    with Server() as running:
        thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        thread.start()
        yield running
        running.shutdown()
        thread.join()

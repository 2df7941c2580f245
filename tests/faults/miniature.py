"""Miniature run whose judge is paid: an experiment, its pairs, and a server that counts what it is asked."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.paths import ROOT
from tests.suites.judges.conftest import Answer, Server, completion

EXPERIMENT = ROOT / "tests" / "faults" / "miniature.yaml"


@contextmanager
def paid_judge() -> Iterator[Server]:
    """A server whose answer to a question depends on the question alone."""
    with Server() as server:
        server.script = lambda request, n: Answer(completion(verdict(request)))
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        yield server
        server.shutdown()


def verdict(request: dict) -> str:
    """A or B."""
    digest = hashlib.sha256(json.dumps(request["messages"]).encode()).digest()
    return "AB"[digest[0] % 2]


def write_pairs(file: Path) -> None:
    """Pairs of a few words each."""
    rows = [
        {"id": str(n), "prompt": f"What is {n} and {n}?", "chosen": f" It is {2 * n}.", "rejected": f" Ask {n} again."}
        for n in range(40)
    ]
    file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


def arguments(pairs: Path, server: Server, lane: Path, *more: str) -> list[str]:
    """The command line of the run, without the program."""
    endpoint = json.dumps({"base_url": server.base_url, "concurrency": 1, "max_retries": 0})
    judge = f"judge={{kind: endpoint, model: scripted, endpoint: {endpoint}}}"
    folders = ["--out", str(lane / "run"), "--store", str(lane / "store")]
    return ["run", str(EXPERIMENT), "--set", f"data.path={pairs}", "--set", judge, *folders, "--workers", "2", *more]

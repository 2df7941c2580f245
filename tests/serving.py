"""Real OpenAI-compatible servers on loopback, for tests of their clients."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

READY_SECONDS = 180


def vllm_command(model: Path, port: int) -> list[str]:
    """vLLM's own server."""
    module = [sys.executable, "-m", "vllm.entrypoints.openai.api_server", "--model", str(model), "--port", str(port)]
    return [*module, "--host", "127.0.0.1", "--enforce-eager", "--dtype", "float32", "--served-model-name", "tiny"]


def transformers_command(model: Path, port: int) -> list[str]:
    """``transformers serve`` (its extra ``serving``), which calls the model by its folder."""
    program = Path(sys.executable).with_name("transformers")
    return [str(program), "serve", str(model), "--host", "127.0.0.1", "--port", str(port), "--log-level", "warning"]


@contextmanager
def served(command, model: Path, log: Path) -> Iterator[str]:
    """Start a server, wait until it is healthy, give its base URL, end it."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environment = os.environ | {"HF_HUB_OFFLINE": "1", "VLLM_CPU_KVCACHE_SPACE": "1", "VLLM_NO_USAGE_STATS": "1"}
    environment.pop("VLLM_ENABLE_V1_MULTIPROCESSING", None)
    with log.open("wb") as output:
        process = subprocess.Popen(command(model, port), stdout=output, stderr=subprocess.STDOUT, env=environment)
    try:
        _wait(f"http://127.0.0.1:{port}/health", process, log)
        yield f"http://127.0.0.1:{port}/v1"
    finally:
        process.terminate()
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _wait(url: str, process: subprocess.Popen, log: Path) -> None:
    deadline = time.monotonic() + READY_SECONDS
    while time.monotonic() < deadline:
        if process.poll() is not None:
            break
        try:
            with urllib.request.urlopen(url, timeout=5):
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.5)
    raise RuntimeError(f"the server did not start:\n{log.read_text(errors='replace')[-3000:]}")

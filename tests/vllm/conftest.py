"""Tiny models of the bench's two architectures, for vLLM and transformers."""

from __future__ import annotations

import os
import random

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("VLLM_CPU_KVCACHE_SPACE", "1")
os.environ.setdefault("VLLM_NO_USAGE_STATS", "1")

import pytest

pytest.importorskip("vllm", reason="vLLM is not installed here: run `tox -e vllm`")

from tests.chat_model import save_chat_model


@pytest.fixture(scope="session", params=["llama", "gpt_neox"])
def checkpoint(request, tmp_path_factory):
    return save_chat_model(tmp_path_factory.mktemp(request.param), request.param)


@pytest.fixture(scope="session")
def prompts():
    """Prompts of 1 to 30 words, by id."""
    rng = random.Random(0)
    return {f"p{i}": " ".join(rng.choices([f"w{j}" for j in range(60)], k=1 + i % 30)) for i in range(64)}

"""Generation by vLLM against the Hugging Face backend: `python -m tests.performance.generation [PROMPTS [TOKENS [ROUNDS]]]`.

One model of the bench's size, made here with random weights; each backend generates the same prompts in turn, round by
round, so that a busy machine slows both. Reported: generated tokens per second (best round, and the spread), and the
share of greedy outputs that are equal. Starting the engine is timed apart. Needs the extra ``vllm`` (`tox -e vllm`).
"""

from __future__ import annotations

import argparse
import os
import random
import tempfile
import time
from pathlib import Path

from suites.generation.decoding import Decoding
from suites.generation.huggingface import HuggingFaceGenerator
from suites.generation.vllm_engine import VLLMGenerator
from tests.chat_model import save_chat_model


def main(prompts: int, tokens: int, rounds: int) -> None:
    os.environ.setdefault("VLLM_CPU_KVCACHE_SPACE", "1")
    rng = random.Random(0)
    asked = {f"p{i}": " ".join(rng.choices([f"w{j}" for j in range(60)], k=4 + i % 28)) for i in range(prompts)}
    greedy = Decoding(tokens, temperature=0.0, batch_size=32)
    with tempfile.TemporaryDirectory() as folder:
        checkpoint = save_chat_model(Path(folder))
        backends, outputs = {}, {}
        for name, load in {"hf": HuggingFaceGenerator.load, "vllm": _vllm}.items():
            started = time.perf_counter()
            backends[name] = load(checkpoint)
            outputs[name] = backends[name].generate(asked, greedy)  # warms up
            print(f"{name:5} ready after {time.perf_counter() - started:.1f} s, first round included")
        rates: dict[str, list[float]] = {name: [] for name in backends}
        for _ in range(rounds):
            for name, backend in backends.items():
                started = time.perf_counter()
                generated = sum(g.n_tokens for g in backend.generate(asked, greedy))
                rates[name].append(generated / (time.perf_counter() - started))
    for name, values in rates.items():
        print(f"{name:5} {max(values):8,.0f} tokens/s (slowest round {min(values):,.0f})")
    backends["vllm"].close()
    equal = sum(a.response == b.response for a, b in zip(outputs["hf"], outputs["vllm"], strict=True))
    print(f"vllm / hf {max(rates['vllm']) / max(rates['hf']):.2f}; equal greedy outputs {equal} of {prompts}")


def _vllm(checkpoint: Path) -> VLLMGenerator:
    return VLLMGenerator.load(checkpoint, dtype="float32", max_model_len=512)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m tests.performance.generation", description=__doc__.split("\n")[0])
    for name, default in (("prompts", 128), ("tokens", 64), ("rounds", 3)):
        parser.add_argument(name, type=int, nargs="?", default=default)
    main(*vars(parser.parse_args()).values())

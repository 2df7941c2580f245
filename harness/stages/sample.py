"""Stage ``sample``: sampled responses of a policy to the training prompts, for data steps."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from harness.records import Status
from harness.store.jsonl import read_jsonl, write_jsonl
from harness.store.names import CHECKPOINT
from suites.generation.decoding import Decoding
from suites.generation.huggingface import generate
from trainers.data.encoding import continues
from trainers.data.tokenizer import load_tokenizer
from trainers.tokens.dialogue import Text

if TYPE_CHECKING:
    from harness.stages.interface import Inputs, Parameters, Progress


def run(parameters: Parameters, inputs: Inputs, out: Path, progress: Progress = None) -> None:
    prompts = {row["id"]: row["prompt"] for row in read_jsonl(inputs["data"] / "pairs.jsonl")}
    write_samples(parameters, inputs, out, prompts, prompts)


def write_samples(
    parameters: Parameters, inputs: Inputs, out: Path, plain: Mapping[str, Text], prompts: Mapping[str, Text]
) -> None:
    """Write a policy's responses to `prompts` as responses to the `plain` prompts of the same ids."""
    checkpoint = inputs["policy"] / CHECKPOINT
    decoding, device = Decoding(**parameters["decoding"]), parameters["device"]
    generations = generate(checkpoint, prompts, decoding, device)
    sampled_prompts = [prompts[generation.cluster] for generation in generations]
    joined = continues(
        load_tokenizer(checkpoint),
        sampled_prompts,
        [_as(p, g.response) for p, g in zip(sampled_prompts, generations, strict=False)],
    )
    # Training on an unfinished response would teach a wrong end; an empty one, or one that merges with its prompt into
    # one token, has no tokens to train on.
    texts: dict[str, list[Text | None]] = {key: [] for key in prompts}
    for prompt, generation, fits in zip(sampled_prompts, generations, joined, strict=True):
        usable = fits and generation.status is Status.OK
        texts[generation.cluster].append(_as(prompt, generation.response) if usable else None)
    rows = ({"id": key, "prompt": plain[key], "responses": responses} for key, responses in texts.items())
    write_jsonl(out / "samples.jsonl", rows)


def _as(prompt: Text, response: str) -> Text:
    """A response in the prompt's form: text, or a list of one message."""
    return response if isinstance(prompt, str) else [{"role": "assistant", "content": response}]

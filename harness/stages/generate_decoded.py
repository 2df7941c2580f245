"""Stage ``generate_decoded``: responses to the evaluation prompts by a decoding kind, from several contexts, models or samples."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from harness.inputs.generate import answer
from harness.inputs.sample_rewards import user_reward
from harness.inputs.steering.scene import created
from harness.records import Generation
from harness.store.names import CHECKPOINT
from suites.decoding.mix import Mix, Part
from suites.decoding.registry import Guess, Selection, TokenLevel, kinds
from suites.generation.decoding import Decoding, uniforms
from suites.generation.huggingface import HuggingFaceGenerator
from trainers.tokens.dialogue import Text

if TYPE_CHECKING:
    from harness.stages.interface import Inputs, Parameters, Progress


def run(parameters: Parameters, inputs: Inputs, out: Path, progress: Progress = None) -> None:
    kind: TokenLevel | Selection = created(kinds(), parameters["kind"])
    prefix = "policy_"
    policies = {name.removeprefix(prefix): inputs[name] / CHECKPOINT for name in inputs if name.startswith(prefix)}

    def generate(_: Path, prompts: Mapping[str, Text], decoding: Decoding, device: str) -> list[Generation]:
        if isinstance(kind, TokenLevel):
            return HuggingFaceGenerator.mixture(policies, kind.mix(Guess()), device).generate(prompts, decoding)
        alone = Mix((Part("base"),), temperature=decoding.temperature, top_p=decoding.top_p)
        many = replace(decoding, samples=kind.n * decoding.samples)
        samples = HuggingFaceGenerator.mixture(policies, alone, device).generate(prompts, many)
        rewards = user_reward(parameters, inputs, inputs["world"], device)(
            [prompts[sample.cluster] for sample in samples], [sample.response for sample in samples]
        )
        return chosen(kind, samples, rewards, decoding)

    first = next(name for name in inputs if name.startswith(prefix))
    answer(generate, parameters, {**inputs, "policy": inputs[first]}, out)


def chosen(kind: Selection, samples: list[Generation], rewards: np.ndarray, decoding: Decoding) -> list[Generation]:
    """One of every n samples of a prompt, as that prompt's trials."""
    picked = []
    for start in range(0, len(samples), kind.n):
        group, trial = samples[start : start + kind.n], samples[start].trial // kind.n
        # A stream of its own: the samples have used that of the prompt and trial.
        u = uniforms(replace(decoding, max_new_tokens=1), f"{group[0].cluster} chosen", trial)[0]
        sample = group[kind.pick(np.asarray(rewards[start : start + kind.n]), float(u))]
        picked.append(replace(sample, item=f"{sample.cluster}#{trial}", trial=trial))
    return picked

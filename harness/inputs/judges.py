"""The judge of a stage, from its parameters and inputs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from harness.inputs.world import oracle_world
from harness.store.checkpoints import model_folder
from harness.store.names import CHECKPOINT
from suites.judges.protocol import Judge, Verdict
from suites.judges.registry import JudgeKind, JudgeSetup, registered
from trainers.tokens.dialogue import Text


@dataclass(frozen=True)
class InConversation:
    """A judge that reads messages where a prompt was messages; others see it as text.

    Parameters
    ----------
    judge : Judge
        One that gives a `Reward` and so takes prompts of messages.
    prompts : mapping of str to Text
        Prompts by the text that they are known by.
    """

    judge: Judge
    prompts: Mapping[str, Text]

    @property
    def name(self) -> str:
        return self.judge.name

    @property
    def revision(self) -> str:
        return self.judge.revision

    def prefer(self, prompts: Sequence[str], first: Sequence[str], second: Sequence[str]) -> list[Verdict]:
        """One verdict for every pair."""
        return self.judge.prefer([self.prompts[prompt] for prompt in prompts], first, second)


def judge_kind(parameters: Mapping[str, Any]) -> JudgeKind:
    """The kind of judge that a stage's parameters name; only its own module is imported."""
    import_module(parameters["judge_module"])
    return registered(parameters["judge"])


def judge_setup(parameters: Mapping[str, Any], inputs: Mapping[str, Path], data: Path, device: str) -> JudgeSetup:
    """What the stage's judge is made from.

    Parameters
    ----------
    parameters, inputs : mapping
        Of the stage (`harness.plan.judging`).
    data : Path
        The folder of the data, which may hold the oracle world.
    device : str
    """
    kind = judge_kind(parameters)
    return JudgeSetup(
        model=model_folder(inputs["model"]) if "model" in inputs else parameters["model"],
        trained=inputs["judge"] / CHECKPOINT if "judge" in inputs else None,
        world=oracle_world(data) if "world" in kind.needs else None,
        prompt=parameters.get("prompt"),
        backend=parameters.get("backend"),
        endpoint=parameters.get("endpoint", {}),
        limits=parameters.get("limits", {}),
        folder=inputs.get("judgements"),
        device=device,
    )

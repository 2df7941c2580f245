"""What a plan needs from the network, and getting it before anything runs."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from harness.errors import UsageError
from harness.plan import Plan
from harness.prompt_sets import KNOWN
from harness.store import Store


@dataclass(frozen=True, order=True)
class Download:
    """Something that is had from the hub by name; a data set's configuration where it has several."""

    kind: Literal["dataset", "model", "toxicity model"]
    name: str
    configuration: str | None = None

    def __str__(self) -> str:
        return f"{self.kind} {self.name}{f' ({self.configuration})' if self.configuration else ''}"


def downloads(plan: Plan, store: Store) -> list[Download]:
    """What the stages that still have to run name on the network and this machine does not hold yet."""
    return [wanted for wanted in named(plan, store) if not held(wanted)]


def named(plan: Plan, store: Store) -> list[Download]:
    """Everything that the stages which still have to run name on the network."""
    todo = [stage for stage in plan.stages.values() if not store.has(stage.key)]
    return sorted({wanted for stage in todo for wanted in _of_stage(stage)}, key=str)


def fetch(wanted: Download) -> None:
    """Download into the caches of the libraries that will look there.

    Raises
    ------
    UsageError
        In one line, whatever the library makes of a missing network or name.
    """
    try:
        _FETCH[wanted.kind](wanted)
    except Exception as error:  # which error a dead network or a wrong name is differs between the libraries
        first = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise UsageError(f"{wanted}: {first}") from None


def held(wanted: Download) -> bool:
    """Whether this machine has it: asked of the caches alone, never of the network."""
    return _HELD[wanted.kind](wanted)


def _of_stage(stage) -> Iterator[Download]:
    parameters = stage.parameters
    match stage.kind:
        case "pairs":
            for source in parameters.get("mixture", [parameters]):
                if "hub" in source:
                    yield Download("dataset", source["hub"])
        case "prompts":
            if "set" in parameters:
                yield Download("dataset", KNOWN[parameters["set"]].repository)
        case "pretrained":
            if not Path(parameters["model"]).exists():
                yield Download("model", parameters["model"])
        case "score_win_rate":
            if parameters.get("judge") == "reward_model" and parameters.get("model"):
                yield Download("model", parameters["model"])
        case "score_toxicity" | "rewards":
            model = parameters.get("toxicity_model")
            if model and not Path(model).exists():
                yield Download("toxicity model", model)
        case "score_benchmark" if "tasks" in parameters:
            from suites.benchmark_data import hub_set, tasks_of

            for task, benchmark in tasks_of(parameters["tasks"]).items():
                if f"{benchmark.name}/items" not in stage.inputs:
                    yield Download("dataset", *hub_set(benchmark.definitions[task]))


def _held_model(wanted: Download) -> bool:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import LocalEntryNotFoundError

    try:
        snapshot_download(wanted.name, local_files_only=True)
    except LocalEntryNotFoundError:
        return False
    return True


def _held_dataset(wanted: Download) -> bool:
    from datasets.load import CachedDatasetModuleFactory

    try:
        CachedDatasetModuleFactory(wanted.name).get_module()
    except FileNotFoundError:
        return False
    return True


def _held_toxicity(wanted: Download) -> bool:
    return _toxicity_file(wanted).is_file()


def _toxicity_file(wanted: Download) -> Path:
    import torch
    from detoxify.detoxify import MODEL_URLS

    url = MODEL_URLS.get(wanted.name, wanted.name)
    return Path(torch.hub.get_dir()) / "checkpoints" / url.rsplit("/", 1)[-1]


def _fetch_model(wanted: Download) -> None:
    from huggingface_hub import snapshot_download

    snapshot_download(wanted.name, ignore_patterns=["*.gguf", "*.msgpack", "*.h5", "*.onnx"])


def _fetch_dataset(wanted: Download) -> None:
    import datasets

    datasets.load_dataset(wanted.name, wanted.configuration)


def _fetch_toxicity(wanted: Download) -> None:
    from detoxify import Detoxify

    with contextlib.redirect_stderr(None):
        Detoxify(wanted.name)


_HELD = {"model": _held_model, "dataset": _held_dataset, "toxicity model": _held_toxicity}
_FETCH = {"model": _fetch_model, "dataset": _fetch_dataset, "toxicity model": _fetch_toxicity}

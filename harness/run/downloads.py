"""Downloads of a plan: data and models that it names on the network, and their presence on this machine."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from harness.errors import UsageError
from harness.inputs import gguf
from harness.inputs.models import PATTERNS, ModelError, reason
from harness.inputs.own_scorers import OwnScorer
from harness.inputs.prompt_sets import KNOWN
from harness.plan.cells import Plan
from harness.plan.stage import File, Stage
from harness.store.store import Store
from suites.judges.registry import judges


@dataclass(frozen=True, order=True)
class Download:
    """A data set or model by name, by default from the hub; `key` is the key of the experiment that names it."""

    kind: Literal["dataset", "model", "toxicity model"]
    name: str
    configuration: str | None = None
    revision: str | None = None
    key: str = field(default="", compare=False)

    def __str__(self) -> str:
        return f"{self.kind} {self.name}{f' ({self.configuration})' if self.configuration else ''}"


def require_downloads(plan: Plan, store: Store) -> None:
    """Raise `UsageError` for a data set or model that is neither on this machine nor reachable."""
    # A toxicity model comes before its encoder, which the experiment does not name.
    for wanted in sorted(downloads(plan, store), key=lambda wanted: wanted.kind, reverse=True):
        _REQUIRE[wanted.kind](wanted)


def _require_repository(wanted: Download) -> None:
    from huggingface_hub import HfApi
    from huggingface_hub.errors import GatedRepoError, HfHubHTTPError, RevisionNotFoundError

    try:
        HfApi().repo_info(wanted.name, repo_type=wanted.kind, revision=wanted.revision, timeout=10)
        if wanted.revision is not None:
            HfApi().auth_check(wanted.name)
    except (GatedRepoError, RevisionNotFoundError) as error:
        raise UsageError(f"{wanted.key}: {wanted.name}: {reason(error, wanted.revision)}") from None
    except HfHubHTTPError as error:
        raise UsageError(
            f"{wanted.key}: the hub has no {wanted.kind} {wanted.name!r} for you ({str(error).splitlines()[0]})"
        ) from None
    except Exception as error:  # its HTTP library, and so the errors of a dead network, differ between versions
        raise UsageError(
            f"{wanted.key}: {wanted.name} is not on this machine and the hub cannot be reached ({type(error).__name__}); "
            f"name a local file or folder instead (--set {wanted.key}=PATH)"
        ) from None


def _require_toxicity(wanted: Download) -> None:
    """Detoxify fetches its weights from its own releases."""
    from urllib.request import Request, urlopen

    from detoxify.detoxify import MODEL_URLS

    url = MODEL_URLS[wanted.name]
    try:
        urlopen(Request(url, method="HEAD"), timeout=10).close()
    except OSError as error:
        raise UsageError(
            f"{wanted.key}: Detoxify's {wanted.name!r} is not on this machine and {url} cannot be reached "
            f"({getattr(error, 'reason', error)}); name a checkpoint instead (--set {wanted.key}=PATH)"
        ) from None


def downloads(plan: Plan, store: Store) -> list[Download]:
    """The downloads of the stages that still have to run, without those that this machine holds."""
    return [wanted for wanted in named(plan, store) if not held(wanted)]


def named(plan: Plan, store: Store) -> list[Download]:
    """All downloads of the stages that still have to run."""
    todo = [stage for stage in plan.stages.values() if not store.has(stage.key)]
    return sorted({wanted for stage in todo for wanted in _of_stage(stage)}, key=str)


def fetch(wanted: Download) -> None:
    """Download into the cache of the library that will load it.

    Raises
    ------
    UsageError
        In one line, for a missing network or an unknown name.
    """
    try:
        _FETCH[wanted.kind](wanted)
    except Exception as error:  # which error a dead network or a wrong name is differs between the libraries
        first = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise UsageError(f"{wanted}: {first}") from None


def held(wanted: Download) -> bool:
    """Whether this machine holds it, by the caches alone and without the network."""
    return _HELD[wanted.kind](wanted)


def _of_stage(stage: Stage) -> Iterator[Download]:
    parameters = stage.parameters
    weights = "judge" in parameters and "weights" in judges()[parameters["judge"]].needs
    if weights and parameters["model"] and "model" not in stage.inputs:
        second = ".second" if parameters.get("objective") == "win_rate_second" else ""
        yield Download("model", parameters["model"], key=f"judge{second}.model")
    for scorer in _own_scorers(stage):
        if "revision" in scorer["settings"]:
            field = scorer["kind"] if scorer["kind"] in scorer["settings"] else "model"
            if field not in scorer["inputs"]:
                name, revision = scorer["settings"][field], scorer["settings"]["revision"]
                yield Download("model", name, revision=revision, key=f"objectives.*.{field}")
    match stage.kind:
        case "pairs":
            for source in parameters.get("mixture", [parameters]):
                if "hub" in source:
                    yield Download(
                        "dataset", source["hub"], key="data.mixture" if "mixture" in parameters else "data.path"
                    )
        case "prompts":
            if "set" in parameters:
                yield Download("dataset", KNOWN[parameters["set"]].repository, key="data.prompts.set")
        case "align" if encoder := parameters["parameters"].get("encoder"):
            if not Path(encoder).exists():
                yield Download("model", encoder, key="methods.*.parameters.encoder")
        case "brought_checkpoint":
            for role in ("model", "base"):
                if f"{role}_revision" in parameters:
                    revision = parameters[f"{role}_revision"]
                    yield Download("model", parameters[role], revision=revision, key="methods.*.checkpoint")
        case "pretrained" if "model" not in stage.inputs:
            yield Download("model", parameters["model"], key="sizes.*.model")
        case "score_toxicity" | "rewards" | "reference_toxicity" | "align_online":
            from suites.toxicity.scorer import ENCODERS

            for role, key in (("toxicity", "toxicity.model"), ("held_out", "toxicity.held_out.model")):
                if name := parameters.get(f"{role}_model"):
                    yield Download("toxicity model", name, key=key)
                    yield Download("model", ENCODERS[name], key=key)
        case "score_benchmark" if "tasks" in parameters:
            from suites.benchmarks.tasks import hub_set, tasks_of

            for task, benchmark in tasks_of(parameters["tasks"]).items():
                if f"{benchmark.name}/items" not in stage.inputs:
                    name, configuration = hub_set(benchmark.definitions[task])
                    if name is not None:
                        yield Download("dataset", name, configuration, key="benchmarks.data")


def require_memory(plan: Plan, store: Store) -> None:
    """Raise `UsageError` for a GGUF file that is yet to be dequantised and does not fit the memory of this machine."""
    for stage in plan.stages.values():
        file = stage.inputs.get("file")
        if stage.kind == "dequantised" and isinstance(file, File) and not store.has(stage.key):
            try:
                gguf.require_memory(file.path)
            except ModelError as fault:
                raise UsageError(str(fault)) from None


def _own_scorers(stage: Stage) -> Iterator[OwnScorer]:
    """The scorers of own objectives that a stage runs."""
    if "scorer" in stage.parameters:
        yield stage.parameters["scorer"]
    declared = stage.parameters.get("objectives", {})
    yield from (objective["scorer"] for objective in declared.values() if "scorer" in objective)


def _held_model(wanted: Download) -> bool:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import LocalEntryNotFoundError

    try:
        snapshot_download(wanted.name, revision=wanted.revision, local_files_only=True)
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

    url = MODEL_URLS[wanted.name]
    return Path(torch.hub.get_dir(), "checkpoints", url.rsplit("/", 1)[-1])


def _fetch_model(wanted: Download) -> None:
    from huggingface_hub import snapshot_download

    if wanted.revision is not None:
        snapshot_download(wanted.name, revision=wanted.revision, allow_patterns=list(PATTERNS))
        return
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
_REQUIRE = {"model": _require_repository, "dataset": _require_repository, "toxicity model": _require_toxicity}

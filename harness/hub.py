"""Whether what an experiment names on the hub can be had, asked before anything runs."""

from __future__ import annotations

from pathlib import Path

from harness.errors import UsageError
from harness.plan import Plan
from harness.prompt_sets import KNOWN
from harness.store import Store


def require_hub(plan: Plan, store: Store) -> None:
    """Raise `UsageError` for a data set or model that is neither in the store, nor cached here, nor reachable.

    Only stages that still have to run are asked about.
    """
    for stage in plan.stages.values():
        if store.has(stage.key):
            continue
        if stage.kind == "pairs" and "hub" in stage.parameters:
            _require("data.path", stage.parameters["hub"], "dataset")
        if stage.kind == "prompts" and "set" in stage.parameters:
            _require("data.prompts.set", KNOWN[stage.parameters["set"]].repository, "dataset")
        if stage.kind == "pairs":
            for number, source in enumerate(stage.parameters.get("mixture", ())):
                if "hub" in source:
                    _require(f"data.mixture.{number}.path", source["hub"], "dataset")
        for role in ("toxicity", "held_out"):
            if name := stage.parameters.get(f"{role}_model"):
                _require_detoxify("toxicity.model" if role == "toxicity" else "toxicity.held_out.model", name)
        if stage.kind == "pretrained":
            _require("sizes.*.model", stage.parameters["model"], "model")


def _require_detoxify(key: str, name: str) -> None:
    """Detoxify fetches its weights from its own releases, and the encoder's configuration from the hub."""
    from urllib.request import Request, urlopen

    import torch
    from detoxify.detoxify import MODEL_URLS

    from suites.toxicity import ENCODERS

    url = MODEL_URLS[name]
    if not (Path(torch.hub.get_dir()) / "checkpoints" / url.rsplit("/", 1)[-1]).exists():
        try:
            urlopen(Request(url, method="HEAD"), timeout=10).close()
        except OSError as error:
            raise UsageError(
                f"{key}: Detoxify's {name!r} is not on this machine and {url} cannot be reached "
                f"({getattr(error, 'reason', error)}); name a checkpoint instead (--set {key}=PATH)"
            ) from None
    _require(key, ENCODERS[name], "model")


def _require(key: str, name: str, repo_type: str) -> None:
    from huggingface_hub import HfApi, snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    if Path(name).exists():
        return
    try:
        snapshot_download(name, repo_type=repo_type, local_files_only=True)
        return
    except LocalEntryNotFoundError:
        pass
    try:
        HfApi().repo_info(name, repo_type=repo_type, timeout=10)
    except HfHubHTTPError as error:
        raise UsageError(f"{key}: the hub has no {repo_type} {name!r} for you ({str(error).splitlines()[0]})") from None
    except Exception as error:  # its HTTP library, and so the errors of a dead network, differ between versions
        raise UsageError(
            f"{key}: {name} is not on this machine and the hub cannot be reached ({type(error).__name__}); "
            f"name a local file or folder instead (--set {key}=PATH)"
        ) from None

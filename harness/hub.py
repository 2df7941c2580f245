"""Whether what an experiment names on the hub can be had, asked before anything runs."""

from __future__ import annotations

from pathlib import Path

from harness.errors import UsageError
from harness.plan import Plan
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
        if stage.kind == "align" and (encoder := stage.parameters["parameters"].get("encoder")):
            _require("methods.*.parameters.encoder", encoder, "model")
        if stage.kind == "pretrained":
            _require("sizes.*.model", stage.parameters["model"], "model")


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

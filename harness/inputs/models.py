"""Models of the user's: folders, and those of the hub at a pinned commit; safetensors alone."""

from __future__ import annotations

import json
import re
from pathlib import Path

from harness.errors import UsageError
from trainers.tokens.loading import vocabulary_size

PATTERNS = ("*.safetensors", "*.json", "*.txt", "*.model", "*.jinja")
"""Files that are fetched; pickled weights are not among them."""
COMMIT = re.compile(r"[0-9a-f]{40}")
PICKLED = ("*.bin", "*.pt", "*.pth", "*.ckpt", "*.pkl")


class ModelError(ValueError):
    """A model that the hub does not give, or whose weights are not read."""


def fetch(name: str, revision: str) -> Path:
    """The folder of a model at a commit, in the cache of `huggingface_hub`.

    Raises
    ------
    ModelError
        In one line: for a model that does not exist, is gated or private, or cannot be reached, and for one without weights in
        safetensors.
    """
    from huggingface_hub import snapshot_download

    try:
        folder = Path(snapshot_download(name, revision=revision, allow_patterns=list(PATTERNS)))
    except Exception as error:  # its HTTP library, and so the errors of a dead network, differ between versions
        raise ModelError(f"{name}: {reason(error, revision)}") from None
    require_safetensors(folder, name)
    return folder


def require_safetensors(folder: Path, name: str | None = None) -> None:
    """Raise `ModelError` unless a folder of a model has its weights in safetensors.

    Examples
    --------
    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> _ = (folder / "pytorch_model.bin").write_bytes(b"")
    >>> require_safetensors(folder, "mine")
    Traceback (most recent call last):
    harness.inputs.models.ModelError: mine: its weights are pickled (pytorch_model.bin), which may run any code and is not read;
    convert them to safetensors
    """
    if any(folder.glob("*.safetensors")):
        return
    pickled = sorted(file.name for pattern in PICKLED for file in folder.glob(pattern))
    if pickled:
        raise ModelError(
            f"{name or folder}: its weights are pickled ({pickled[0]}), which may run any code and is not read; convert them "
            "to safetensors"
        )
    raise ModelError(f"{name or folder}: has no weights in safetensors; others are not read")


def reason(error: Exception, revision: str | None = None) -> str:
    """An error of the hub's client as the end of a line."""
    from huggingface_hub import errors

    if isinstance(error, errors.GatedRepoError):
        return "is gated: accept its terms on the hub and log in (hf auth login)"
    if isinstance(error, errors.RevisionNotFoundError):
        return f"the hub has no revision {revision!r} of it"
    if isinstance(error, errors.RepositoryNotFoundError):
        return "the hub has no such model, or it is private and this login may not read it"
    if isinstance(error, errors.LocalEntryNotFoundError | errors.OfflineModeIsEnabled):
        return "is not on this machine, and the hub cannot be reached"
    if isinstance(error, errors.HfHubHTTPError):
        return f"the hub refuses it ({str(error).splitlines()[0]})"
    return f"is not on this machine, and the hub cannot be reached ({type(error).__name__})"


def require_vocabulary(key: str, folder: Path) -> None:
    """Raise `UsageError` if a model embeds fewer tokens than its tokenizer has."""
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except ValueError as fault:
        raise UsageError(f"{key}: {folder / 'config.json'} is not JSON ({fault})") from None
    embedded, tokens = config.get("vocab_size"), vocabulary_size(folder)
    if isinstance(embedded, int) and tokens is not None and tokens > embedded:
        raise UsageError(
            f"{key}: the tokenizer of {folder} has {tokens} tokens and its model embeds {embedded}; resize the model's "
            "embeddings"
        )

"""Which weights a local judge has."""

from __future__ import annotations

import hashlib
from pathlib import Path

WEIGHTS = (".safetensors", ".bin")


def revision_of(model: Path | str, config) -> str:
    """The weights' hash for a folder, the hub's commit otherwise."""
    folder = Path(model)
    if not folder.is_dir():
        return getattr(config, "_commit_hash", None) or "unknown"
    digest = hashlib.sha256()
    for path in sorted(file for file in folder.iterdir() if file.suffix in WEIGHTS):
        with path.open("rb") as file:
            hashlib.file_digest(file, lambda: digest)  # piece by piece: a file may be larger than the memory
    return digest.hexdigest()[:16]

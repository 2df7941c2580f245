"""Which weights a local judge has."""

from __future__ import annotations

import hashlib
from pathlib import Path


def revision_of(model: Path | str, config) -> str:
    """The weights' hash for a folder, the hub's commit otherwise."""
    folder = Path(model)
    if not folder.is_dir():
        return getattr(config, "_commit_hash", None) or "unknown"
    digest = hashlib.sha256()
    for file in sorted(folder.glob("*.safetensors")):
        digest.update(file.read_bytes())
    return digest.hexdigest()[:16]

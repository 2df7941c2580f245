"""Content-addressed store: same key, same artifact.

An artifact is a folder. It is written under ``partial/<key>`` and moved to ``artifacts/<key>`` in one rename together
with a manifest that holds the sha256 of each file. An artifact without a manifest, or with a file whose hash differs, is
recomputed and never trusted.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock

from harness.store.names import RESUME

MANIFEST = "manifest.json"


def sha256(path: Path) -> str:
    """Hex digest of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def default_root() -> Path:
    """``$PREFRONTIER_STORE``, or ``prefrontier`` in the user's cache folder."""
    cache = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache"))
    return Path(os.environ.get("PREFRONTIER_STORE", cache / "prefrontier"))


@dataclass(frozen=True)
class Store:
    """Artifacts by key under one root folder.

    Examples
    --------
    >>> import tempfile
    >>> store = Store(Path(tempfile.mkdtemp()))
    >>> with store.writing("abc", {"kind": "demo"}) as folder:
    ...     _ = (folder / "answer.txt").write_text("42")
    >>> (store.get("abc") / "answer.txt").read_text()
    '42'
    >>> _ = (store.path("abc") / "answer.txt").write_text("43")
    >>> store.get("abc") is None
    True
    """

    root: Path

    def path(self, key: str) -> Path:
        return self.root / "artifacts" / key

    def cache(self, name: str) -> Path:
        """A folder that stages share, made if it does not exist."""
        folder = self.root / "caches" / name
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def get(self, key: str) -> Path | None:
        """The artifact's folder if it is whole, else None. A damaged artifact is removed."""
        folder = self.path(key)
        if not folder.exists():
            return None
        if self._is_whole(folder):
            return folder
        shutil.rmtree(folder)
        return None

    def has(self, key: str) -> bool:
        """Whether an artifact is there, by its manifest alone (cheap; `get` verifies)."""
        return (self.path(key) / MANIFEST).is_file()

    def manifest(self, key: str) -> dict[str, Any]:
        manifest: dict[str, Any] = json.loads((self.path(key) / MANIFEST).read_text())
        return manifest

    @contextmanager
    def writing(self, key: str, about: Mapping[str, Any]) -> Iterator[Path]:
        """A folder to write the artifact into; it becomes the artifact when the block ends without an error.

        The ``resume`` sub-folder of an interrupted write is kept, everything else is cleared.
        """
        partial = self.root / "partial" / key
        partial.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(f"{partial}.lock"):
            _clear(partial, keep=RESUME)
            started = time.perf_counter()
            yield partial
            shutil.rmtree(partial / RESUME, ignore_errors=True)
            files = {str(p.relative_to(partial)): sha256(p) for p in sorted(partial.rglob("*")) if p.is_file()}
            manifest = {**about, "key": key, "seconds": time.perf_counter() - started, "files": files}
            (partial / MANIFEST).write_text(json.dumps(manifest, indent=1, sort_keys=True))
            target = self.path(key)
            target.parent.mkdir(parents=True, exist_ok=True)
            if target.exists():
                shutil.rmtree(target)
            partial.replace(target)

    @staticmethod
    def _is_whole(folder: Path) -> bool:
        try:
            files = json.loads((folder / MANIFEST).read_text())["files"]
        except (OSError, ValueError, KeyError):
            return False
        return all((folder / name).is_file() and sha256(folder / name) == digest for name, digest in files.items())


def _clear(folder: Path, keep: str) -> None:
    folder.mkdir(exist_ok=True)
    for child in folder.iterdir():
        if child.name == keep:
            continue
        if child.is_dir():
            shutil.rmtree(child)
        else:
            child.unlink()

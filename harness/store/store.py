"""Content-addressed store: same key, same artifact.

An artifact is a folder. It is written under ``partial/<key>``, flushed to the disk and moved to ``artifacts/<key>`` in one
rename together with a manifest that holds the sha256 of each file. An artifact without a proper manifest, or with a file whose
hash differs, is recomputed and never trusted. A whole artifact is never replaced.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from harness.store.names import RESUME
from trainers.files import remove, rename_flushed, sweep

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
        """The artifact's folder if it is whole, else None."""
        manifest, folder = self._manifest(key), self.path(key)
        if manifest is None:
            return None
        try:
            whole = all(sha256(folder / name) == digest for name, digest in manifest["files"].items())
        except (OSError, ValueError):
            return None
        return folder if whole else None

    def has(self, key: str) -> bool:
        """Whether an artifact is there, by its manifest alone (cheap; `get` verifies)."""
        return os.path.isfile(f"{self.root}/artifacts/{key}/{MANIFEST}")  # a plan asks for each of its stages

    def stamp(self, key: str) -> int | None:
        """When an artifact was made, in nanoseconds of its manifest; None where there is none."""
        try:
            return (self.path(key) / MANIFEST).stat().st_mtime_ns
        except OSError:
            return None

    def manifest(self, key: str) -> dict[str, Any]:
        """Kind, inputs, files and seconds of an artifact.

        Raises
        ------
        FileNotFoundError
            Where there is none, or none that can be read.
        """
        manifest = self._manifest(key)
        if manifest is None:
            raise FileNotFoundError(f"{self.path(key) / MANIFEST}: no manifest of an artifact")
        return manifest

    def lock(self, key: str) -> FileLock:
        """The lock of an artifact's writer; a thread that holds it may take it again."""
        partial = self._partial(key)
        partial.parent.mkdir(parents=True, exist_ok=True)
        return FileLock(f"{partial}.lock", is_singleton=True)

    @contextmanager
    def writing(self, key: str, about: Mapping[str, Any]) -> Iterator[Path]:
        """A folder to write the artifact into; it becomes the artifact when the block ends without an error.

        The ``resume`` sub-folder of an interrupted write is kept, everything else is cleared. A damaged artifact is
        removed first. Where a whole one is there at the end, it stays, and the new one is dropped.
        """
        partial, target = self._partial(key), self.path(key)
        with self.lock(key):
            if self.get(key) is None:
                remove(target)
            _clear(partial, keep=RESUME)
            started, worked = time.perf_counter(), time.process_time()
            yield partial
            shutil.rmtree(partial / RESUME, ignore_errors=True)
            files = {str(p.relative_to(partial)): sha256(p) for p in sorted(partial.rglob("*")) if p.is_file()}
            spent = {"seconds": time.perf_counter() - started, "processor_seconds": time.process_time() - worked}
            manifest = {**about, "key": key, **spent, "files": files}
            (partial / MANIFEST).write_text(json.dumps(manifest, indent=1, sort_keys=True), encoding="utf-8")
            if target.exists():
                shutil.rmtree(partial)
                return
            target.parent.mkdir(parents=True, exist_ok=True)
            rename_flushed(partial, target)

    def sweep(self) -> None:
        """Remove what killed runs left, but for what a stage resumes from."""
        for cache in (self.root / "caches").glob("*"):
            sweep(cache)
        for partial in (self.root / "partial").glob("*"):
            if partial.suffix == ".lock" or not partial.is_dir():
                continue
            try:
                with self.lock(partial.name).acquire(timeout=0):
                    _clear(partial, keep="" if self.has(partial.name) else RESUME)
                    if not any(partial.iterdir()):
                        partial.rmdir()
            except Timeout:  # someone is writing it
                continue

    def _partial(self, key: str) -> Path:
        return self.root / "partial" / key

    def _manifest(self, key: str) -> dict[str, Any] | None:
        """The manifest of an artifact; None where there is none, or one that is not as `writing` writes it."""
        try:
            manifest = json.loads((self.path(key) / MANIFEST).read_text(encoding="utf-8"))
        except (OSError, ValueError, RecursionError):
            return None
        if not isinstance(manifest, dict) or manifest.get("key") != key:
            return None
        files, inputs, seconds = manifest.get("files"), manifest.get("inputs", {}), manifest.get("seconds")
        for texts in (files, inputs):
            if not isinstance(texts, dict) or not all(isinstance(text, str) for text in texts.values()):
                return None
        if not isinstance(seconds, int | float) or isinstance(seconds, bool) or not math.isfinite(seconds):
            return None
        return manifest


def _clear(folder: Path, keep: str) -> None:
    """Make a folder empty, but for one sub-folder, in which killed writes are removed."""
    if not folder.is_dir() or folder.is_symlink():
        remove(folder)
    folder.mkdir(exist_ok=True)
    for child in folder.iterdir():
        if child.name == keep and child.is_dir():
            sweep(child)
        else:
            remove(child)

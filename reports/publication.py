"""Results of a run folder that are replaced together: all of the old ones or all of the new ones, whatever happens."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock

from trainers.files import remove, rename_flushed, sweep, temporary_folder

WORLDS = "worlds"
"""Folder of the worlds' own run folders, by seed, in the folder of a run in several worlds."""

_READY = ".results"
"""Complete new results that are about to be moved into place."""


@contextmanager
def publishing(folder: Path, names: Sequence[str]) -> Iterator[Path]:
    """Work folder whose entries replace those of `folder` together when the block ends without an error.

    A kill before leaves the old ones; a kill after is repaired by `settle`.

    Parameters
    ----------
    folder : Path
    names : sequence of str
        The entries that are replaced; those that the block does not write are removed. Others that it writes are dropped.

    Examples
    --------
    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> for text in ("old", "new"):
    ...     with publishing(folder, ["report", "manifest.json"]) as work:
    ...         _ = (work / "manifest.json").write_text(text)
    >>> (folder / "manifest.json").read_text(), (folder / "report").exists()
    ('new', False)
    """
    folder.mkdir(parents=True, exist_ok=True)
    with temporary_folder(folder / _READY) as work:
        yield work
        for entry in work.iterdir():
            if entry.name not in names:
                remove(entry)
        for name in names:
            if not (work / name).exists():
                (work / name).mkdir()
        with _locked(folder):
            _move(folder)
            rename_flushed(work, folder / _READY)
            _move(folder)


def settle(folder: Path) -> None:
    """Finish a replacement in `folder` that a kill interrupted; to be called before its results are read."""
    if (folder / _READY).is_dir():
        with _locked(folder):
            _move(folder)


def _locked(folder: Path) -> FileLock:
    return FileLock(folder / f"{_READY}.lock")


def _move(folder: Path) -> None:
    """Move what lies ready into place; an empty folder removes the entry of its name."""
    ready = folder / _READY
    if not ready.is_dir():
        return
    for entry in sorted(ready.iterdir()):
        with temporary_folder(folder / entry.name) as old:
            if (folder / entry.name).exists():
                (folder / entry.name).rename(old / entry.name)
            if entry.is_dir() and not any(entry.iterdir()):
                entry.rmdir()
            else:
                entry.rename(folder / entry.name)
    remove(ready)
    sweep(folder)

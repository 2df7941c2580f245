"""Files and folders that are complete or absent: written under a temporary name, flushed and renamed."""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from socket import gethostname
from uuid import uuid4


@contextmanager
def replacing(file: Path) -> Iterator[Path]:
    """Temporary path beside `file`; renamed to `file` when the block ends without an error.

    A kill, or a crash of the machine, at any moment leaves the old file or the new one whole.

    Examples
    --------
    >>> import tempfile
    >>> file = Path(tempfile.mkdtemp()) / "states" / "one.txt"
    >>> with replacing(file) as temporary:
    ...     _ = temporary.write_text("whole")
    ...     file.exists()
    False
    >>> file.read_text(), [path.name for path in file.parent.iterdir()]
    ('whole', ['one.txt'])
    """
    file.parent.mkdir(parents=True, exist_ok=True)
    temporary = _temporary(file)
    try:
        yield temporary
        flush(temporary)
        os.replace(temporary, file)
    finally:
        temporary.unlink(missing_ok=True)
    _flush_one(file.parent)


@contextmanager
def temporary_folder(out: Path) -> Iterator[Path]:
    """Empty folder beside `out`, to be moved with `rename_flushed`; removed at the end if it is still there.

    Examples
    --------
    >>> import tempfile
    >>> out = Path(tempfile.mkdtemp()) / "report"
    >>> with temporary_folder(out) as work:
    ...     _ = (work / "index.html").write_text("whole")
    ...     rename_flushed(work, out)
    >>> [path.name for path in out.parent.iterdir()], [path.name for path in out.iterdir()]
    (['report'], ['index.html'])
    """
    out.parent.mkdir(parents=True, exist_ok=True)
    work = _temporary(out)
    work.mkdir()
    try:
        yield work
    finally:
        shutil.rmtree(work, ignore_errors=True)


def write_folder(out: Path, fill: Callable[[Path], None]) -> Path:
    """Fill a temporary folder beside `out` and rename it into place, so that `out` is whole or absent.

    Raises
    ------
    FileExistsError
        If `out` exists and is not an empty folder.
    """
    refuse_existing(out)
    with temporary_folder(out) as work:
        fill(work)
        rename_flushed(work, out)
    return out


def refuse_existing(out: Path) -> None:
    """Raise unless `out` can be written without losing anything."""
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise FileExistsError(f"{out} is there already; remove it or choose another folder")


def rename_flushed(source: Path, target: Path) -> None:
    """Rename a file or folder whose content is on the disk first, so that a crash of the machine cannot empty it."""
    flush(source)
    source.rename(target)
    _flush_one(target.parent)


def flush(path: Path) -> None:
    """Wait until a file, or a folder with all it holds, is on the disk."""
    if path.is_dir():
        for folder, _, names in os.walk(path):
            for name in names:
                _flush_one(Path(folder, name))
            _flush_one(Path(folder))
    else:
        _flush_one(path)


def _flush_one(path: Path) -> None:
    if not stat.S_ISREG(mode := path.stat().st_mode) and not stat.S_ISDIR(mode):
        return
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def remove(path: Path) -> None:
    """Remove a file, a folder with all it holds, or a symbolic link without what it names; nothing where there is none."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def sweep(folder: Path) -> None:
    """Remove what killed processes of this machine left of unfinished writes directly in `folder`.

    Examples
    --------
    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> for process in (os.getpid(), 2**22 + 1):  # no process has a number this high
    ...     (folder / f".state.{gethostname()}.{process}.0123abcd.tmp").touch()
    >>> sweep(folder)
    >>> [path.name.split(".")[-3] == str(os.getpid()) for path in folder.iterdir()]
    [True]
    """
    for path in folder.glob(".*.tmp"):
        host, process = _owner(path)
        if host == gethostname() and not is_alive(process):
            remove(path)


def is_alive(process: int) -> bool:
    """Whether a process of this machine exists."""
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # it exists and belongs to someone else
        return True
    return True


def _temporary(path: Path) -> Path:
    """A new hidden name beside `path`, which tells `sweep` whose it is."""
    return path.with_name(f".{path.name}.{gethostname()}.{os.getpid()}.{uuid4().hex[:8]}.tmp")


def _owner(temporary: Path) -> tuple[str, int]:
    """Host and process of a temporary name; of another name, none."""
    match temporary.name.rsplit(".", 3):
        case [rest, process, _, "tmp"] if process.isdigit():
            return (gethostname() if rest.endswith(f".{gethostname()}") else ""), int(process)
    return "", 0

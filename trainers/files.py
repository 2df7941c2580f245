"""Files and folders that are complete or absent: written under a temporary name and renamed."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def replacing(file: Path) -> Iterator[Path]:
    """Temporary path beside `file`; renamed to `file` when the block ends without an error.

    A kill at any moment leaves the old file or the new one whole.

    Examples
    --------
    >>> file = Path(tempfile.mkdtemp()) / "states" / "one.txt"
    >>> with replacing(file) as temporary:
    ...     _ = temporary.write_text("whole")
    ...     file.exists()
    False
    >>> file.read_text(), [path.name for path in file.parent.iterdir()]
    ('whole', ['one.txt'])
    """
    file.parent.mkdir(parents=True, exist_ok=True)
    temporary = file.with_name(f".{file.name}.tmp")
    yield temporary
    with open(temporary, "rb+") as handle:
        os.fsync(handle.fileno())
    os.replace(temporary, file)


def write_folder(out: Path, fill: Callable[[Path], None]) -> Path:
    """Fill a temporary folder beside `out` and rename it into place, so that `out` is whole or absent.

    Raises
    ------
    FileExistsError
        If `out` exists and is not an empty folder.
    """
    refuse_existing(out)
    out.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix=f".{out.name}.", dir=out.parent))
    try:
        fill(temporary)
        temporary.chmod(0o755)
        os.rename(temporary, out)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise
    return out


def refuse_existing(out: Path) -> None:
    """Raise unless `out` can be written without losing anything."""
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise FileExistsError(f"{out} is there already; remove it or choose another folder")

"""Files and folders that are complete or absent: written under a temporary name and renamed."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO


@contextmanager
def replacing(path: Path) -> Iterator[TextIO]:
    """UTF-8 text file beside `path`, in a folder that exists; renamed to `path` when the block ends without an error.

    Examples
    --------
    >>> path = Path(tempfile.mkdtemp()) / "summary.md"
    >>> with replacing(path) as file:
    ...     _ = file.write("whole")
    ...     path.exists()
    False
    >>> path.read_text(), [file.name for file in path.parent.iterdir()]
    ('whole', ['summary.md'])
    """
    handle, work = tempfile.mkstemp(prefix=f".{path.name}-", dir=path.parent)
    with os.fdopen(handle, "w", encoding="utf-8", newline="") as file:
        yield file
    os.chmod(work, 0o644)
    os.replace(work, path)


@contextmanager
def temporary_folder(out: Path) -> Iterator[Path]:
    """Empty folder beside `out`, to be renamed in the block; removed at the end if it is still there.

    Examples
    --------
    >>> out = Path(tempfile.mkdtemp()) / "report"
    >>> with temporary_folder(out) as work:
    ...     _ = (work / "index.html").write_text("whole")
    ...     _ = work.rename(out)
    >>> [path.name for path in out.parent.iterdir()], [path.name for path in out.iterdir()]
    (['report'], ['index.html'])
    """
    out.parent.mkdir(parents=True, exist_ok=True)
    work = Path(tempfile.mkdtemp(prefix=f".{out.name}-", dir=out.parent))
    try:
        work.chmod(0o755)
        yield work
    finally:
        shutil.rmtree(work, ignore_errors=True)

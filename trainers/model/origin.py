"""Origin of a checkpoint's weights: one line beside them, which model cards of what is trained from them repeat."""

from __future__ import annotations

from pathlib import Path

FILE = "origin.txt"


def write_origin(checkpoint: Path, origin: str) -> None:
    """State which weights a checkpoint holds."""
    (checkpoint / FILE).write_text(origin + "\n", encoding="utf-8")


def origin_of(checkpoint: str | Path) -> str:
    """Which weights a checkpoint holds: its stated origin, else its name.

    Examples
    --------
    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> write_origin(folder, "model.gguf (Q4_1)")
    >>> origin_of(folder), origin_of("OWNER/NAME")
    ('model.gguf (Q4_1)', 'OWNER/NAME')
    """
    file = Path(checkpoint) / FILE
    return file.read_text(encoding="utf-8").strip() if file.is_file() else str(checkpoint)

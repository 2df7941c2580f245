"""Published names of methods and data steps, read from their files without importing torch."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path

FOLDERS = tuple(Path(__file__).with_name(folder) for folder in ("methods", "data_steps"))


@cache
def published_names() -> Mapping[str, str]:
    """The name of each registered class whose docstring has a line ``Name: ...``, by identifier.

    Examples
    --------
    >>> published_names()["kto_sft"], published_names()["f_dpo"]
    ('KTO + SFT', 'f-DPO')
    """
    return dict(name for folder in FOLDERS for path in sorted(folder.glob("*.py")) for name in _names_of(path))


def _names_of(path: Path) -> Iterator[tuple[str, str]]:
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if not isinstance(node, ast.ClassDef):
            continue
        line = re.search(r"^Name: (.+)$", ast.get_docstring(node) or "", re.MULTILINE)
        for decorator in node.decorator_list:
            match decorator:
                case ast.Call(func=ast.Name(id="register"), args=[ast.Constant(value=str(identifier))]) if line:
                    yield identifier, line[1]

"""Page about a run in several oracle worlds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from reports.page.html.page import fill
from reports.page.markdown import titles
from reports.page.tables.table import Table


def render(tables: Sequence[Table], lines: Sequence[str], worlds: Sequence[int], manifest: Mapping[str, Any]) -> str:
    """The page, with a link to the report of each world; all text from data is escaped by the template."""
    title, description = titles(manifest)
    return fill(
        "worlds.html.j2",
        {},
        {},
        {},
        title=title,
        description=description,
        caveat=manifest.get("caveat", ""),
        tables=tables,
        lines=lines,
        worlds=worlds,
    )

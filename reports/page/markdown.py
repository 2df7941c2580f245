"""The report as Markdown, for pull requests and terminals, in an order that keeps diffs small."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from reports.findings import caveats, findings, measured
from reports.page.tables import Tables
from reports.page.tables.table import Table, show
from reports.results import Analysis


def render(analysis: Analysis, tables: Tables, manifest: Mapping[str, Any]) -> str:
    """The whole report without the samples."""
    title, description = titles(manifest)
    done, planned = measured(analysis)
    lines = [
        f"# {escape(title)}",
        "",
        f"Measured {done} of {planned} cells.",
        "",
    ]
    if description:
        lines += [escape(description), ""]
    lines += [line for note in (*weights(manifest), *prompt_formats(manifest)) for line in (escape(note), "")]
    lines += [line for note in data_notes(manifest) for line in (escape(note), "")]
    if manifest.get("caveat"):
        lines += [f"> {escape(manifest['caveat'])}", ""]
    lines += ["## Findings", ""]
    lines += [f"- {f'**{escape(f.size)}**: ' if f.size else ''}{escape(f.text)}" for f in findings(analysis)]
    lines += ["", "Read with care:", "", *[f"- {escape(text)}" for text in caveats(analysis, {})], ""]
    for panel in analysis.panels:
        lines += [f"![frontier, {escape(panel.size)}, {escape(panel.x.label)}](figures/{panel.file}.svg)", ""]
    for made in tables:
        lines += table(made)
    return "\n".join(lines).rstrip() + "\n"


def titles(manifest: Mapping[str, Any]) -> tuple[str, str]:
    """Title and description; `experiment` is a name, or an object that holds all three.

    Examples
    --------
    >>> titles({"experiment": "bench", "title": "Oracle world"})
    ('Oracle world', '')
    >>> titles({"experiment": {"name": "bench", "description": "Two sizes."}})
    ('bench', 'Two sizes.')
    """
    named = manifest.get("experiment") or "Report"
    inner = named if isinstance(named, dict) else {"name": named}
    about = inner | {key: manifest[key] for key in ("title", "description") if manifest.get(key)}
    return about.get("title") or about.get("name") or "Report", about.get("description") or ""


def weights(manifest: Mapping[str, Any]) -> list[str]:
    """For each size with a pretrained base a sentence that says which weights it has.

    Examples
    --------
    >>> weights({"weights": {"135m": "model.gguf (Q4_1; file sha256 b179)"}})
    ['Weights of 135m: model.gguf (Q4_1; file sha256 b179).']
    """
    return [f"Weights of {size}: {origin}." for size, origin in (manifest.get("weights") or {}).items()]


def prompt_formats(manifest: Mapping[str, Any]) -> list[str]:
    """For each size a sentence on the format of its prompts; none for a run whose manifest does not say.

    Examples
    --------
    >>> prompt_formats({"prompt_formats": {"small": {"format": "plain text"}}})
    ['Prompts of small: plain text.']
    """
    formats = manifest.get("prompt_formats") or {}
    return [f"Prompts of {size}: {described['format']}." for size, described in formats.items()]


def data_notes(manifest: Mapping[str, Any]) -> list[str]:
    """For each data set a sentence on how it was read and on its licence; none for a run whose manifest does not say.

    Examples
    --------
    >>> data_notes({"data_sources": [{"words": "preference pairs a.jsonl; licence: MIT by the experiment"}]})
    ['Data: preference pairs a.jsonl; licence: MIT by the experiment.']
    """
    return [f"Data: {source['words']}." for source in manifest.get("data_sources") or []]


def table(made: Table) -> list[str]:
    """A table as Markdown lines."""
    heads = [escape(column.title) for column in made.columns]
    rule = ["---:" if column.numeric else "---" for column in made.columns]
    rows = [
        [f"**{escape(show(value))}**" if i in row.marks else escape(show(value)) for i, value in enumerate(row.values)]
        for row in made.rows
    ]
    lines = [f"## {escape(made.title)}", "", *["| " + " | ".join(cells) + " |" for cells in (heads, rule, *rows)], ""]
    return [*lines, *([escape(made.note), ""] if made.note else [])]


def escape(text: str) -> str:
    """Text that Markdown and HTML leave as it is.

    Examples
    --------
    >>> escape("a|b <script>"), escape("win_rate _now_")
    ('a\\\\|b &lt;script>', 'win_rate \\\\_now\\\\_')
    """
    text = " ".join(str(text).split()).replace("&", "&amp;").replace("<", "&lt;")
    # A line that begins like a heading, a list or a quotation is none, an address is no link, and $ no formula.
    # Between two letters an underscore is one.
    text = re.sub(r"([\\|*`\[\]$~]|(?<![^\W_])_|_(?![^\W_]))", r"\\\1", re.sub(r"(?<=\w):(?=//)", "&#58;", text))
    return re.sub(r"^(\d+)(?=[.)] )", r"\1&#8203;", re.sub(r"^([#>+=-])", r"\\\1", text))


def code(text: str) -> str:
    """Text as code, whatever backticks it holds.

    Examples
    --------
    >>> code("run `date`")
    '`` run `date` ``'
    """
    text = " ".join(str(text).split())
    longest = max((len(run) for run in re.findall("`+", text)), default=0)
    return f"`{text}`" if not longest else f"{'`' * (longest + 1)} {text} {'`' * (longest + 1)}"

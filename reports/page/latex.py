"""Tables for papers: booktabs, intervals, and bold by test rather than by the larger mean."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from reports.page.tables.table import Table, Value, show
from reports.statistics.estimates import Estimate
from reports.text import number, parts

LONG = {"Command"}
"""Columns that a printed table leaves out."""


def write(tables: Iterable[Table], folder: Path) -> list[Path]:
    """Every table as `NAME.tex`, to be read by `\\input`."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for table in tables:
        path = folder / f"{table.name}.tex"
        path.write_text(render(table), encoding="utf-8")
        paths.append(path)
    return paths


def render(table: Table) -> str:
    """One `tabular` with booktabs rules; sizes are separated by a rule.

    Examples
    --------
    >>> from reports.page.tables.table import Column, Row
    >>> print(render(Table("t", "T", (Column("A & B", False), Column("n")), (Row(("x_1", 3)),))))
    % \\usepackage{booktabs}
    \\begin{tabular}{lr}
    \\toprule
    A \\& B & n \\\\
    \\midrule
    x\\_1 & 3 \\\\
    \\bottomrule
    \\end{tabular}
    """
    columns_shown = [i for i, column in enumerate(table.columns) if column.title not in LONG]
    columns = "".join("r" if table.columns[i].numeric else "l" for i in columns_shown)
    lines = ["% \\usepackage{booktabs}"]
    if table.note:
        lines.append(f"% {' '.join(table.note.split())}")
    lines += [
        f"\\begin{{tabular}}{{{columns}}}",
        "\\toprule",
        _line([escape(table.columns[i].title) for i in columns_shown]),
        "\\midrule",
    ]
    before = table.rows[0].size if table.rows else ""
    for row in table.rows:
        if row.size != before:
            lines.append("\\midrule")
            before = row.size
        lines.append(_line([_cell(row.values[i], i in row.marks) for i in columns_shown]))
    return "\n".join([*lines, "\\bottomrule", "\\end{tabular}", ""])


def _line(cells: list[str]) -> str:
    return " & ".join(cells) + r" \\"


def _cell(value: Value, marked: bool) -> str:
    if isinstance(value, Estimate):
        text, *ends = map(_math, parts(value))
        text = rf"\textbf{{{text}}}" if marked else text
        return rf"{text} {{\scriptsize [{', '.join(ends)}]}}" if ends else text
    text = _math(number(value)) if isinstance(value, float) else escape(show(value))
    return rf"\textbf{{{text}}}" if marked else text


def _math(text: str) -> str:
    return text.replace("−", "$-$").replace("–", "--").replace("∞", r"$\infty$")


def escape(text: str) -> str:
    """Text that LaTeX prints as it is.

    Examples
    --------
    >>> print(escape("50 % of a_b"))
    50 \\% of a\\_b
    """
    table = {
        "\\": r"\textbackslash{}",
        "~": r"\textasciitilde{}",
        "^": r"\textasciicircum{}",
        "<": "$<$",
        ">": "$>$",
        "|": "$|$",
        '"': "''",
        "\n": " ",
        "−": "$-$",
        "–": "--",
        "×": r"$\times$",
        "ε": r"$\epsilon$",
        "≤": r"$\le$",
        "γ": r"$\gamma$",
        "λ": r"$\lambda$",
        "β": r"$\beta$",
        "α": r"$\alpha$",
        "·": r"$\cdot$",
        "κ": r"$\kappa$",
        "τ": r"$\tau$",
    }
    table |= {character: f"\\{character}" for character in "&%$#_{}"}
    return "".join(table.get(character, character) for character in text)

"""How methods look, in HTML and on paper: colour, marker and dash, each enough alone.

Colours are Okabe and Ito's (safe for the common colour deficiencies) in an order that alternates light and dark; the
dark theme has lighter twins. Colours and markers repeat with different periods, so that 56 methods
can be told apart.
"""

from __future__ import annotations

from dataclasses import dataclass

LIGHT = ("#0072B2", "#D55E00", "#009E73", "#AA4499", "#B8860B", "#56B4E9", "#555555", "#882255")
DARK = ("#4FA8E0", "#FF8A47", "#2FCB9C", "#E08AC9", "#E6B93C", "#8FD3FF", "#B5B5B5", "#D9739F")
MARKERS = ("circle", "square", "triangle", "diamond", "down", "plus", "cross")
DASHES = ("", "5 3", "1.5 2.5", "7 2.5 1.5 2.5")


@dataclass(frozen=True)
class Style:
    """A method's look. `index` picks the CSS colour of the page."""

    index: int
    light: str
    dark: str
    marker: str
    dash: str


def styles(methods) -> dict[str, Style]:
    """A style per method; the same list gives the same styles.

    Examples
    --------
    >>> styles(["dpo", "upo"])["upo"].marker
    'square'
    """
    return {
        name: Style(
            i % len(LIGHT),
            LIGHT[i % len(LIGHT)],
            DARK[i % len(DARK)],
            MARKERS[i % len(MARKERS)],
            DASHES[i % len(DASHES)],
        )
        for i, name in enumerate(methods)
    }

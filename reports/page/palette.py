"""Colour, marker and dash of each method, in HTML and on paper; each distinguishes methods without the others.

UPO, the method that the others are compared with, has a colour and a marker that no other method has, and comes
first. The unaligned base is grey. The other colours are Okabe and Ito's and Tol's, which stay distinct under the
common colour deficiencies; each has a lighter twin for the dark theme.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

LIGHT = ("#D55E00", "#6B6B6B", "#0072B2", "#009E73", "#AA4499", "#B8860B", "#56B4E9", "#882255", "#332288", "#8A8A2B")
DARK = ("#FF8A47", "#A9A9A9", "#4FA8E0", "#2FCB9C", "#E08AC9", "#E6B93C", "#8FD3FF", "#D9739F", "#9A90F0", "#CFCF6A")
MARKERS = ("circle", "square", "triangle", "diamond", "down", "plus", "cross")
DASHES = ("", "5 3", "1.5 2.5", "7 2.5 1.5 2.5")
FIRST, BASE = "upo", "base"


@dataclass(frozen=True)
class Style:
    """The look of a method. `index` picks the CSS colour of the page."""

    index: int
    light: str
    dark: str
    marker: str
    dash: str


def styles(methods: Iterable[str]) -> dict[str, Style]:
    """A style for each method, UPO first; the same list gives the same styles.

    Colours and markers repeat with the coprime periods 8 and 7, so that 56 methods beside UPO and the base differ.

    Examples
    --------
    >>> looks = styles(["dpo", "upo"])
    >>> list(looks), looks["upo"].marker, looks["dpo"].marker
    (['upo', 'dpo'], 'star', 'circle')
    """
    names = list(methods)
    others = [name for name in names if name not in (FIRST, BASE)]
    looks = {FIRST: _style(0, "star", "")} if FIRST in names else {}
    looks |= {
        name: _style(2 + i % (len(LIGHT) - 2), MARKERS[i % len(MARKERS)], DASHES[(i + 1) % len(DASHES)])
        for i, name in enumerate(others)
    }
    return looks | ({BASE: _style(1, "circle", "")} if BASE in names else {})


def _style(index: int, marker: str, dash: str) -> Style:
    return Style(index, LIGHT[index], DARK[index], marker, dash)

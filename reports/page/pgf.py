"""PGF output without a LaTeX installation.

matplotlib measures text with a running LaTeX. Only the layout depends on the width, so the figure's own font is
measured instead; the document still sets the text in its own font.
"""

from __future__ import annotations

import io
from pathlib import Path
from typing import Literal

import matplotlib
from matplotlib.backend_bases import GraphicsContextBase
from matplotlib.backends.backend_agg import RendererAgg
from matplotlib.backends.backend_pgf import RendererPgf
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.text import Text

TEX = {
    **{character: f"\\{character}" for character in "$&#_{}"},
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "\n": " ",
    "−": "$-$",
    "←": r"$\leftarrow$",
    "→": r"$\rightarrow$",
    "↙": r"$\swarrow$",
    "≤": r"$\leq$",
    "β": r"$\beta$",
    "γ": r"$\gamma$",
    "α": r"$\alpha$",
    "τ": r"$\tau$",
    "×": r"$\times$",
}
"""Characters as LaTeX sets them; matplotlib itself makes % and ^ ordinary ones."""
Ismath = bool | Literal["TeX"]
HEADER = """%% Needs \\usepackage{pgf} and, with pdfLaTeX, an encoding that has the letters used.
%% Include with \\input; the figure is {width:.4f} in wide and sets its text in the document's fonts.
"""


class Renderer(RendererPgf):
    """matplotlib's PGF renderer with text measured in the figure's own font."""

    def __init__(self, figure: Figure, out: io.TextIOBase) -> None:
        RendererPgf.__init__(self, figure, out)
        width, height = figure.get_size_inches() * figure.dpi
        self._measure = RendererAgg(width, height, figure.dpi)

    def get_text_width_height_descent(self, s: str, prop: FontProperties, ismath: Ismath) -> tuple[float, float, float]:
        width, height, descent = self._measure.get_text_width_height_descent(s, prop, ismath)
        return float(width), float(height), float(descent)

    def draw_text(
        self,
        gc: GraphicsContextBase,
        x: float,
        y: float,
        s: str,
        prop: FontProperties,
        angle: float,
        ismath: Ismath = False,
        mtext: Text | None = None,
    ) -> None:
        text = "".join(TEX.get(character, character) for character in s)
        RendererPgf.draw_text(self, gc, x, y, text, prop, angle, ismath, mtext)


def save(figure: Figure, path: Path) -> Path:
    """Write the figure as a `pgfpicture` to be read by `\\input`."""
    out = io.StringIO()
    width, height = figure.get_size_inches()
    out.write(HEADER.replace("{width:.4f}", f"{width:.4f}"))
    out.write("\\begingroup\n\\makeatletter\n\\begin{pgfpicture}\n")
    out.write(f"\\pgfpathrectangle{{\\pgfpointorigin}}{{\\pgfqpoint{{{width:f}in}}{{{height:f}in}}}}\n")
    out.write("\\pgfusepath{use as bounding box, clip}\n")
    with matplotlib.rc_context({"pgf.rcfonts": False}):
        figure.draw(Renderer(figure, out))
    out.write("\\end{pgfpicture}\n\\makeatother\n\\endgroup\n")
    path.write_text(out.getvalue(), encoding="utf-8")
    return path

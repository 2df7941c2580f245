"""PGF output without a LaTeX installation.

matplotlib measures text with a running LaTeX. Only the layout depends on the width, so the figure's own font is
measured instead; the document still sets the text in its own font.
"""

from __future__ import annotations

import io
import re
from pathlib import Path

import matplotlib
from matplotlib.backends.backend_agg import RendererAgg
from matplotlib.backends.backend_pgf import RendererPgf
from matplotlib.figure import Figure

TEX = {
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
HEADER = """%% Needs \\usepackage{pgf} and, with pdfLaTeX, an encoding that has the letters used.
%% Include with \\input; the figure is {width:.4f} in wide and sets its text in the document's fonts.
"""


class Renderer(RendererPgf):
    """matplotlib's PGF renderer with text measured in the figure's own font."""

    def __init__(self, figure: Figure, out: io.TextIOBase) -> None:
        super().__init__(figure, out)
        self._measure = RendererAgg(*(figure.get_size_inches() * figure.dpi), figure.dpi)

    def get_text_width_height_descent(self, s, prop, ismath):
        return self._measure.get_text_width_height_descent(s, prop, ismath)

    def draw_text(self, gc, x, y, s, prop, angle, ismath=False, mtext=None):
        plain = s.replace("$", r"\$") if not ismath else s
        text = re.sub("[" + "".join(TEX) + "]", lambda found: TEX[found[0]], plain)
        super().draw_text(gc, x, y, text, prop, angle, ismath, mtext)


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

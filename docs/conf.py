"""Settings of the documentation site (Sphinx): the pages of this folder and a reference made from the code."""

from __future__ import annotations

import inspect
import re
from importlib import import_module
from pathlib import Path

import typer
from docutils.nodes import document
from sphinx.addnodes import pending_xref
from sphinx.application import Sphinx
from typer.cli import get_docs_for_click

from harness.cli.main import app
from prefrontier import __version__

project = "prefrontier"
author = "The prefrontier developers"
release = __version__
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx.ext.viewcode"]
exclude_patterns = ["examples"]
html_theme = "furo"
html_title = f"prefrontier {release}"
html_copy_source = False
html_show_copyright = False

# Pages are written for GitHub as well, so anchors are formed as there.
myst_heading_anchors = 4

default_role = "py:obj"  # a name in single backticks is code, and a link where the reference has it
autodoc_member_order = "bysource"
autodoc_default_options = {"members": True}
autodoc_typehints_format = "short"
napoleon_google_docstring = False

COMMANDS = Path(__file__).parent / "reference" / "commands.md"
"""Page of every verb and option, written anew by each build."""

command = typer.main.get_command(app)
COMMANDS.write_text(
    get_docs_for_click(obj=command, ctx=typer.Context(command), name="prefrontier", title="Commands"), encoding="utf-8"
)


def qualify(_: Sphinx, page: document) -> None:
    """Complete the imported names of annotations by the module that defines them: two modules may define one name."""
    for link in page.findall(pending_xref):
        module, name = link.get("py:module"), str(link["reftarget"])
        if module and name.isidentifier():
            source = inspect.getsource(import_module(module))
            if imported := re.search(rf"^ *from (\S+) import .*\b{name}\b", source, flags=re.M):
                link["reftarget"] = f"{imported[1]}.{name}"


def setup(app: Sphinx) -> None:
    app.connect("doctree-read", qualify)

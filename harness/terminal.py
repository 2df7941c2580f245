"""Lines on a terminal: names, paths and messages are text there, whatever they hold."""

from __future__ import annotations

from rich.console import Console
from rich.text import Text

from harness.errors import one_line


def say(console: Console, text: object) -> None:
    """Print one line that is neither wrapped nor read as markup, without control characters."""
    console.print(plain(text), highlight=False, soft_wrap=True)


def plain(text: object) -> Text:
    """A text for a table or a progress bar, as `say` prints it."""
    return Text(one_line(text))

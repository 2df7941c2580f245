"""``python -m trainers.methods [FILE]``: print the page about all methods, or write it to a file."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from trainers.methods.catalogue import broken_files, catalogue


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the page; the exit code is 1 where a file of a method or data step could not be imported."""
    parser = argparse.ArgumentParser(prog="python -m trainers.methods", description="Print the page about all methods.")
    parser.add_argument("file", type=Path, nargs="?", help="write it there instead")
    if file := parser.parse_args(arguments).file:
        file.write_text(catalogue(), encoding="utf-8")
    else:
        print(catalogue(), end="")
    return 1 if broken_files() else 0


if __name__ == "__main__":
    sys.exit(main())

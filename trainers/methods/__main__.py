"""``python -m trainers.methods [FILE]`` prints the page about all methods, or writes it to a file."""

from __future__ import annotations

import argparse
from pathlib import Path

from trainers.methods.catalogue import catalogue

parser = argparse.ArgumentParser(prog="python -m trainers.methods", description="Print the page about all methods.")
parser.add_argument("file", type=Path, nargs="?", help="write it there instead")
if file := parser.parse_args().file:
    file.write_text(catalogue(), encoding="utf-8")
else:
    print(catalogue(), end="")

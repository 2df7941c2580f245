"""``python -m trainers.methods [FILE]`` prints the page about all methods, or writes it to a file."""

from __future__ import annotations

import sys
from pathlib import Path

from trainers.methods.catalogue import catalogue

if len(sys.argv) > 1:
    Path(sys.argv[1]).write_text(catalogue(), encoding="utf-8")
else:
    print(catalogue(), end="")

"""Numbering of fault points in processes that this interpreter starts; found through PYTHONPATH."""

import os
from pathlib import Path

from tests.faults.points import VARIABLE, install

if VARIABLE in os.environ:
    install(Path(os.environ[VARIABLE]))

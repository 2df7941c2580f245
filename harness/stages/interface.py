"""Types of a stage's function ``run(parameters, inputs, out, progress)``."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

Parameters = Mapping[str, Any]
"""JSON values: the stage's parameters and settings together."""

Inputs = Mapping[str, Path]
"""Folders of artifacts, and files or folders of the user's, by role."""

Progress = Callable[[Any], None] | None
"""Receives how far a training run is (`trainers.config.Progress`)."""

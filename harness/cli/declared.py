"""Objectives that a command line declares."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import yaml

from harness.errors import UsageError


def declared_objective(text: str) -> tuple[str, dict[str, Any]]:
    """An objective's name and settings, from ``NAME={...}`` in YAML.

    Examples
    --------
    >>> declared_objective("marks={regex: '!', direction: minimize, bounds: [0, 10]}")
    ('marks', {'regex': '!', 'direction': 'minimize', 'bounds': [0, 10]})
    """
    name, separator, value = text.partition("=")
    try:
        settings = yaml.safe_load(value)
    except yaml.YAMLError:
        settings = None
    if not separator or not isinstance(settings, dict):
        raise UsageError(
            f"--objective {text}: write it as 'NAME={{regex: \"!\", direction: minimize, bounds: [0, 10]}}'"
        )
    return name, settings


def reference_point(own: Mapping[str, Mapping[str, Any]]) -> dict[str, float]:
    """The bad end of every objective of the user's, as far as it is stated; the schema refuses one that is not."""
    point = {}
    for name, settings in own.items():
        bounds, direction = settings.get("bounds"), settings.get("direction")
        if isinstance(bounds, list) and len(bounds) == 2:
            point[name] = bounds[0] if direction == "maximize" else bounds[1]
    return point

"""Names of the folders that every artifact may have."""

from __future__ import annotations

CHECKPOINT = "checkpoint"
"""The Hugging Face checkpoint of a training artifact."""

RESUME = "resume"
"""Part of an unfinished artifact that survives a kill, for stages that can resume."""

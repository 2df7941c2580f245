"""Plans of the entries that are not trained: one module for each kind, which registers its schema with `entry_cells`."""

from harness.plan.entries import checkpoint, files, served
from harness.plan.entries.cell import EntryCell, entry_cells, generate_stage

__all__ = ["EntryCell", "checkpoint", "entry_cells", "files", "generate_stage", "served"]

"""Plans of the entries that are not trained: one module for each kind, which registers its schema with `entry_cells`."""

from harness.plan.entries import files
from harness.plan.entries.cell import EntryCell, entry_cells

__all__ = ["EntryCell", "entry_cells", "files"]

"""Finished runs beside each other: what differs between them, paired differences on common items, and their frontiers."""

"""Experiment files: schema, loading and checks against what the other packages register."""

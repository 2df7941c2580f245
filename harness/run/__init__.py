"""Execution of a plan: scheduling, executors, downloads, progress and collection of the records."""

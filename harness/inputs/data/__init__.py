"""Data sets of an experiment: how they are named, their licences, and figures about their pairs."""

"""Checks of the data of an experiment before anything runs."""

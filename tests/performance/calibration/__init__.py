"""Calibration of the report's statistics on worlds with a known truth."""

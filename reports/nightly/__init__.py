"""Regression reports: baselines, gate, history and drift."""

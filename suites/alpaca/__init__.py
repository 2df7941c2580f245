"""Preference win rates through alpaca-eval."""

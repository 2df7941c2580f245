"""Judges: ratings from their verdicts, agreement among them, and win rates corrected by the labels of people."""

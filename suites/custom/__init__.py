"""Scorers of a user's own objectives: one module for each kind, which is found by itself.

A kind is a frozen data class of its settings with the method `score` (`suites.custom.scorer.Scorer`).
"""

from suites.custom.scorer import Running, Scored, Scorer, create, kinds, scorer, setting_names

__all__ = ["Running", "Scored", "Scorer", "create", "kinds", "scorer", "setting_names"]

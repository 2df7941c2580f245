"""The suite ``win_rate``: preference against the reference responses."""

from __future__ import annotations

from suites.alpaca.win_rate import WIN_RATE, WIN_RATE_SECOND
from suites.registry import Suite, register

register(Suite("win_rate", objectives=(WIN_RATE, WIN_RATE_SECOND), needs=("generations", "references", "judge")))

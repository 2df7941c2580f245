"""The suite ``exact``: closed-form expectations of a policy on the oracle world."""

from __future__ import annotations

from suites.registry import Suite, register

register(Suite("exact", objectives=(), needs=("policy", "enumeration", "target", "device")))

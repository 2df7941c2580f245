"""The default oracle world."""

from __future__ import annotations

import pytest

from suites.oracle.world import World


@pytest.fixture(scope="session")
def world() -> World:
    return World.build()

"""Location of the published data; tests that need it are skipped with the reason where it is absent."""

from __future__ import annotations

import os
from pathlib import Path

from tests.paths import SHARED

os.environ.setdefault("HF_HUB_OFFLINE", "1")

import pytest


@pytest.fixture(scope="session")
def shared():
    """The folder of a published data set, by name."""

    def find(name: str) -> Path:
        if not (SHARED / name).is_dir():
            pytest.skip(f"the data set {name} is not at {SHARED} (PREFRONTIER_SHARED_DATA names another folder)")
        return SHARED / name

    return find

"""A small seeded version of `tests.performance.calibration`: intervals contain the truth as often as they say."""

from __future__ import annotations

import pytest

from tests.performance.calibration import (
    coverage,
    false_alarms,
    length_control_coverage,
    null_world,
    power,
    spread_world,
)


@pytest.mark.parametrize("options", [{"seeds": 2, "seed_sd": 0.03, "along_sweep": 0.5}, {"seeds": 1, "seed_sd": 0.0}])
def test_intervals_contain_the_truth(options):
    """With 100 worlds a share of 0.95 is seen between 0.88 and 1.00 (four standard errors of 0.022)."""
    for name, share in coverage(spread_world(prompts=80, **options), 100).items():
        assert share >= 0.88, name


def test_nothing_is_found_where_there_is_nothing():
    """0.05 of 150 null worlds may raise an alarm; 0.12 would be four standard errors more."""
    found = false_alarms(null_world(seeds=2, seed_sd=0.02, prompts=80), 150)
    assert found["any difference"] <= 0.12 and found["dominates"] <= 0.12


def test_what_is_there_is_found():
    found = power([0.0, 0.3], 40)
    assert found[0.0] <= 0.2 and found[0.3] >= 0.9


def test_length_control_covers():
    assert length_control_coverage(150, prompts=100) >= 0.88

"""Inline labels: on their own line, inside the frame, without overlaps of points or of each other."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from reports.page.inline_labels import dense, places

BOX = np.array([58.0, 14.0])
ANGLES = np.linspace(0, np.pi / 2, 30)
ARCS = [radius * np.stack([np.cos(ANGLES), np.sin(ANGLES)], axis=1) for radius in (150.0, 190.0, 230.0, 270.0, 310.0)]


@pytest.fixture(scope="module")
def points() -> np.ndarray:
    return np.random.default_rng(0).uniform(0, 130, size=(20, 2))


def test_names_lie_on_their_lines_and_touch_nothing(points):
    positions = places(ARCS, points, BOX, (0, 0), (400, 400))
    for arc, at in zip(ARCS, positions, strict=True):
        assert np.hypot(*(dense(arc) - at).T).min() == 0
        assert (np.abs(points - at) >= BOX / 2).any(axis=1).all()
        assert (at >= BOX / 2).all() and (at <= 400 - BOX / 2).all()
    for one, two in itertools.combinations(positions, 2):
        assert (np.abs(one - two) >= BOX).any()


def test_a_line_outside_the_frame_has_no_name(points):
    assert places([ARCS[0] + 1000.0, ARCS[1]], points, BOX, (0, 0), (400, 400))[0] is None
    assert places([], points, BOX, (0, 0), (400, 400)) == []


def test_without_points_there_is_a_place():
    assert places([ARCS[0]], np.zeros((0, 2)), BOX, (0, 0), (400, 400))[0] is not None

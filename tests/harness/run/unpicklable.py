"""A stage whose error cannot be rebuilt in another process."""

from __future__ import annotations


class NeedsTwo(Exception):
    def __init__(self, first, second):
        super().__init__(f"{first} and {second}")


def run(parameters, inputs, out, progress=None):
    raise NeedsTwo("first", "second")

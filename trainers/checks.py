"""Range checks of hyperparameters, written as the interval that a paper would print."""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Integral, Real


def check_ranges(method: object, **intervals: str) -> None:
    """Check that numeric fields lie in their intervals.

    Parameters
    ----------
    method : object
        The method whose fields are checked.
    **intervals : str
        Field name to interval: ``"(0, inf)"``, ``"[0, 0.5)"``. Infinity and NaN are never inside.

    Raises
    ------
    ValueError
        Names the method, the field, the interval and the value.

    Examples
    --------
    >>> from types import SimpleNamespace
    >>> check_ranges(SimpleNamespace(beta=0.1), beta="(0, inf)")
    >>> check_ranges(SimpleNamespace(beta=-1), beta="(0, inf)")
    Traceback (most recent call last):
    ValueError: SimpleNamespace: beta must be a number in (0, inf), not -1
    """
    for name, interval in intervals.items():
        value = getattr(method, name)
        if isinstance(value, bool) or not (isinstance(value, Real) and _inside(float(value), interval)):
            raise ValueError(f"{type(method).__name__}: {name} must be a number in {interval}, not {value!r}")


def check_counts(method: object, **least: int) -> None:
    """Check that fields are whole numbers of at least the given size.

    Raises
    ------
    ValueError
        Names the method, the field, the bound and the value.

    Examples
    --------
    >>> from types import SimpleNamespace
    >>> check_counts(SimpleNamespace(samples=1), samples=2)
    Traceback (most recent call last):
    ValueError: SimpleNamespace: samples must be a whole number of at least 2, not 1
    """
    for name, bound in least.items():
        value = getattr(method, name)
        if isinstance(value, bool) or not isinstance(value, Integral) or int(value) < bound:
            raise ValueError(
                f"{type(method).__name__}: {name} must be a whole number of at least {bound}, not {value!r}"
            )


def check_choices(method: object, **choices: Sequence[object]) -> None:
    """Check that fields have one of their allowed values.

    Raises
    ------
    ValueError
        Names the method, the field, the choices and the value.

    Examples
    --------
    >>> from types import SimpleNamespace
    >>> check_choices(SimpleNamespace(anchor="hinge"), anchor=("hinge", "square"))
    """
    for name, allowed in choices.items():
        value = getattr(method, name)
        if value not in allowed:
            listed = ", ".join(map(repr, allowed))
            raise ValueError(f"{type(method).__name__}: {name} must be one of {listed}, not {value!r}")


def _inside(value: float, interval: str) -> bool:
    low, high = (float(end) for end in interval[1:-1].split(","))
    above = value > low if interval[0] == "(" else value >= low
    below = value < high if interval[-1] == ")" else value <= high
    return above and below

"""Checks of settings: types by their annotations, ranges as the interval that a paper would print."""

from __future__ import annotations

import math
import reprlib
import types
import typing
from collections.abc import Mapping, Sequence
from dataclasses import is_dataclass
from functools import cache
from numbers import Integral, Real
from typing import Any

LARGEST = 1e12
"""Size of a number that an unbounded interval still holds: products of larger ones leave float32."""
LARGEST_COUNT = 2**31 - 1


def require_types(cls: type, settings: Mapping[str, object]) -> None:
    """Check the types of settings that a file gives for the fields of a data class.

    Whole numbers are numbers; truth values and texts are not, and NaN is nothing. A mapping may stand for a data class.

    Raises
    ------
    ValueError
        Names the class, the field, what is expected and the value. Fields that the class does not have are passed over.

    Examples
    --------
    >>> from trainers.config import TrainConfig
    >>> require_types(TrainConfig, {"learning_rate": 1, "lora": {"rank": 8}})
    >>> require_types(TrainConfig, {"batch_size": True})
    Traceback (most recent call last):
    ValueError: TrainConfig: batch_size must be a whole number, not True
    """
    hints = _hints(cls)
    for name, value in settings.items():
        if name in hints and not _fits(value, hints[name]):
            expected = _words(hints[name])
            raise ValueError(f"{cls.__name__}: {name} must be {expected}, not {reprlib.repr(value)}")


@cache
def _hints(cls: type) -> Mapping[str, Any]:
    return typing.get_type_hints(cls)


def _fits(value: object, hint: Any) -> bool:
    """Whether a value from a file is of the type of an annotation."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        return any(_fits(value, argument) for argument in arguments)
    if origin is typing.Literal:
        return any(type(value) is type(choice) and value == choice for choice in arguments)
    if origin in (list, tuple, Sequence):
        return isinstance(value, list | tuple) and all(_fits(item, arguments[0]) for item in value)
    if origin in (dict, Mapping):
        return isinstance(value, Mapping)
    if hint is int:
        return isinstance(value, Integral) and not isinstance(value, bool)
    if hint is float:
        return not math.isnan(_number(value))
    if is_dataclass(hint):
        return isinstance(value, Mapping | typing.cast(type, hint))
    return hint is Any or (value is None if hint in (None, type(None)) else isinstance(value, hint))


_WORDS: Mapping[Any, str] = {
    float: "a number", int: "a whole number", str: "a text", bool: "true or false", type(None): "null",
}  # fmt: skip


def _words(hint: Any) -> str:
    """An annotation in words."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        return " or ".join(map(_words, arguments))
    if origin is typing.Literal:
        return " or ".join(map(repr, arguments))
    if origin in (list, tuple, Sequence):
        return "a list"
    return _WORDS.get(hint, "a mapping")


def check_ranges(method: object, **intervals: str) -> None:
    """Check that numeric fields lie in their intervals.

    Parameters
    ----------
    method : object
        The method whose fields are checked.
    **intervals : str
        Field name to interval: ``"(0, inf)"``, ``"[0, 0.5)"``. Infinity, NaN and numbers beyond ±10¹² are never inside.

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
        number = _number(value)
        if not _inside(number, interval):
            bound = f"{interval} up to {LARGEST:g}" if LARGEST < abs(number) < math.inf else interval
            raise ValueError(f"{type(method).__name__}: {name} must be a number in {bound}, not {reprlib.repr(value)}")


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
        if isinstance(value, bool) or not isinstance(value, Integral) or not bound <= int(value) <= LARGEST_COUNT:
            raise ValueError(
                f"{type(method).__name__}: {name} must be a whole number of at least {bound}, not {reprlib.repr(value)}"
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


def _number(value: object) -> float:
    """A value as a number; NaN for what is none."""
    if isinstance(value, bool) or not isinstance(value, Real):
        return math.nan
    try:
        return float(value)
    except OverflowError:
        return math.inf


def _inside(value: float, interval: str) -> bool:
    if not abs(value) <= LARGEST:
        return False
    low, high = (float(end) for end in interval[1:-1].split(","))
    above = value > low if interval[0] == "(" else value >= low
    below = value < high if interval[-1] == ")" else value <= high
    return above and below

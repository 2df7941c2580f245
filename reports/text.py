"""Text forms of numbers, lists and method names, shared by every page, table and figure."""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING

from trainers.names import published_names

if TYPE_CHECKING:
    from reports.statistics.estimates import Estimate

MOST_DECIMALS = 4
SYMBOLS = {"alpha": "α", "beta": "β", "gamma": "γ", "tau": "τ", "learning_rate": "lr"}
"""Usual symbols of swept hyperparameters."""


def display_name(entry: str) -> str:
    """The published name of a method, or the entry's own name.

    Examples
    --------
    >>> display_name("kto_sft"), display_name("my_run")
    ('KTO + SFT', 'my_run')
    """
    return published_names().get(entry, entry)


def display_label(label: str) -> str:
    """The label of a configuration, an entry followed by `name=value`, with published names and symbols.

    Examples
    --------
    >>> display_label("upo gamma=0.5"), display_label("my_run weight=2"), display_label("base")
    ('UPO γ=0.5', 'my_run weight=2', 'base')
    """
    entry, *settings = label.split(" ")
    named = (setting.partition("=") for setting in settings)
    return " ".join([display_name(entry), *(SYMBOLS.get(name, name) + equals + value for name, equals, value in named)])


def number(value: float | None, width: float | None = None) -> str:
    """A number with three decimals; more if it or its interval `width` is small, fewer if it is large.

    Examples
    --------
    >>> number(0.12345), number(12.345), number(250000), number(None)
    ('0.123', '12.35', '250,000', '–')
    >>> number(0.00123), number(-1e-9), number(0.4713, width=0.0047)
    ('0.0012', '0.000', '0.4713')
    """
    if value is None or math.isnan(value):
        return "–"
    if math.isinf(value):
        return "∞" if value > 0 else "−∞"
    size = abs(value)
    if size >= 100:
        decimals = 0 if size >= 1000 or value == int(value) else 1
    else:
        decimals = max(2 if size >= 10 else 3, _two_digits(size if width is None else width))
    # a value that rounds to 0 has no sign
    value = value if round(size, decimals) else 0.0
    return f"{value:,.{decimals}f}".replace("-", "−")


def _two_digits(size: float) -> int:
    """Decimals that show two digits of a number."""
    return min(MOST_DECIMALS, 1 - math.floor(math.log10(size))) if size >= 10.0**-MOST_DECIMALS / 2 else 0


def parts(estimate: Estimate) -> tuple[str, ...]:
    """Value, low and high with as many decimals as two digits of the interval need; the value alone without one.

    Examples
    --------
    >>> from reports.statistics.estimates import Estimate
    >>> parts(Estimate(0.0021, 0.001, 0.0005, 0.0067, 0.95, 10, 0, "t")), parts(Estimate(0.5, None, None, None, 0.95, 10, 0, ""))
    (('0.0021', '0.0005', '0.0067'), ('0.500',))
    """
    low, high = estimate.low, estimate.high
    if low is None or high is None:
        return (number(estimate.value),)
    return tuple(number(value, high - low) for value in (estimate.value, low, high))


def with_interval(estimate: Estimate | None) -> str:
    """`value [low, high]`.

    Examples
    --------
    >>> from reports.statistics.estimates import Estimate
    >>> with_interval(Estimate(0.5, 0.1, 0.3, 0.7, 0.95, 10, 0, "t"))
    '0.500 [0.300, 0.700]'
    """
    if estimate is None:
        return "–"
    value, *ends = parts(estimate)
    return f"{value} [{', '.join(ends)}]" if ends else value


def percent(value: float | None) -> str:
    """A probability as a whole percentage that is never rounded to certainty.

    Examples
    --------
    >>> percent(0.5), percent(0.9999), percent(0.0001), percent(1.0)
    ('50 %', '> 99 %', '< 1 %', '> 99 %')
    """
    if value is None:
        return "–"
    if value > 0.99:
        return "> 99 %"
    if value < 0.01:
        return "< 1 %"
    return f"{100 * value:.0f} %"


def p_text(p: float | None) -> str:
    """A p-value for people.

    Examples
    --------
    >>> p_text(0.00001), p_text(0.034)
    ('p < 0.001', 'p = 0.034')
    """
    return "" if p is None else ("p < 0.001" if p < 0.001 else f"p = {p:.3f}" if p < 0.1 else f"p = {p:.2f}")


def duration(seconds: float) -> str:
    """Seconds, minutes or hours.

    Examples
    --------
    >>> duration(12.5), duration(200), duration(7300)
    ('12.5 s', '3.3 min', '2.0 h')
    """
    if seconds < 120:
        return f"{seconds:.1f} s"
    return f"{seconds / 60:.1f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def join(words: list[str], last: str = "and") -> str:
    """A list in a sentence.

    Examples
    --------
    >>> join(["a", "b", "c"])
    'a, b and c'
    """
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} {last} {words[-1]}" if words else ""


def some(words: list[str], most: int = 4) -> str:
    """A list in a sentence; the end of a long one is replaced by a count.

    Examples
    --------
    >>> some(["a", "b"]), some(["a", "b", "c", "d", "e", "f"], most=2)
    ('a and b', 'a, b and 4 others')
    """
    # one more name is no longer than "1 others"
    return join(words) if len(words) <= most + 1 else f"{', '.join(words[:most])} and {len(words) - most} others"


def plural(count: int, noun: str) -> str:
    """A count with its noun.

    Examples
    --------
    >>> plural(1, "seed"), plural(1200, "seed")
    ('1 seed', '1,200 seeds')
    """
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


def file_name(*words: str) -> str:
    """Words as a file name.

    Examples
    --------
    >>> file_name("frontier", "0.14 M", "toxicity")
    'frontier-0.14-M-toxicity'
    """
    return "-".join(re.sub(r"[^A-Za-z0-9._]+", "-", word).strip("-") for word in words)

"""YAML of experiment files: plain values, no key twice, bounded in size, depth and number of values."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from harness.errors import CONTROL, UsageError

LARGEST_FILE = 256 * 1024
"""Bytes of an experiment file, at most; the shipped ones have a few thousand."""
LARGEST_NUMBER = 2**63
DEEPEST = 32
MOST_VALUES = 100_000
"""Values of a file with its aliases written out, at most."""

_FLOAT = re.compile(
    r"[-+]?(?:\d+\.?\d*|\.\d+)[eE][-+]?\d+$|[-+]?(?:\d+\.\d*|\.\d+)$|[-+]?\.(?:inf|Inf|INF)$|\.(?:nan|NaN|NAN)$"
)
_INT = re.compile(r"[-+]?(?:0|[1-9]\d*)$|0x[0-9a-fA-F]+$|0o[0-7]+$")
_TAGS = "tag:yaml.org,2002:"


_RESOLVERS = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag.removeprefix(_TAGS) in ("bool", "null", "merge")]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
"""How a plain scalar gets its type. Numbers are as in YAML 1.2: 5e-7 is one, 1:30 and dates are texts."""
for _first in "-+.0123456789":
    _RESOLVERS[_first] = [*_RESOLVERS.get(_first, []), (f"{_TAGS}float", _FLOAT), (f"{_TAGS}int", _INT)]

_Loader = type("_Loader", (yaml.SafeLoader,), {"yaml_implicit_resolvers": _RESOLVERS})
_Dumper = type(
    "_Dumper", (yaml.SafeDumper,), {"yaml_implicit_resolvers": _RESOLVERS, "ignore_aliases": lambda self, data: True}
)


def read_yaml(path: Path) -> Any:
    """The value of a YAML file.

    Raises
    ------
    UsageError
        In one line, with the file and where there is one the line: for what is no file, not UTF-8, not YAML, too large, too
        deep, or holds a key twice or a value that is neither text, number, truth value, null, list nor mapping.
    """
    try:
        if not path.is_file():
            raise UsageError(f"{path}: {_no_file(path)}")
        with path.open("rb") as file:
            content = file.read(LARGEST_FILE + 1)
    except (OSError, ValueError) as error:  # ValueError: a null byte in the name
        raise UsageError(f"{str(path)!r}: cannot be read ({getattr(error, 'strerror', None) or error})") from None
    if len(content) > LARGEST_FILE:
        raise UsageError(f"{path}: larger than {LARGEST_FILE // 1024} KiB, which no experiment is")
    try:
        return parse_yaml(content.decode("utf-8-sig"), str(path))
    except UnicodeDecodeError as error:
        raise UsageError(f"{path}: not UTF-8 text ({error.reason} at byte {error.start})") from None


def parse_yaml(text: str, where: str) -> Any:
    """The value of a YAML text; `UsageError` as `read_yaml` raises it.

    Examples
    --------
    >>> parse_yaml("{learning_rate: 5e-7, sizes: {1m: null}}", "--set")
    {'learning_rate': 5e-07, 'sizes': {'1m': None}}
    >>> parse_yaml("{seeds: [1], seeds: [2]}", "mine.yaml")
    Traceback (most recent call last):
    harness.errors.UsageError: mine.yaml:1: not valid YAML (the key 'seeds' is already in line 1)
    """
    try:
        loader: Any = _Loader(text)
        try:
            node = loader.get_single_node()
            if node is not None:
                _require_bounded(node)
            value = None if node is None else loader.construct_document(node)
        finally:
            loader.dispose()
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f":{mark.line + 1}" if mark else ""
        reason = getattr(error, "problem", None) or getattr(error, "reason", None) or str(error).splitlines()[0]
        raise UsageError(f"{where}{line}: not valid YAML ({reason})") from None
    except RecursionError:
        raise UsageError(f"{where}: nested deeper than {DEEPEST} levels") from None
    except (ValueError, OverflowError) as error:
        raise UsageError(f"{where}: not valid YAML ({error})") from None
    for key, fault in _faults(value, ""):
        raise UsageError(f"{where}: {key}: {fault}" if key else f"{where}: {fault}")
    return value


def write_yaml(value: Any) -> str:
    """YAML text from which `parse_yaml` reads the same value."""
    text: str = yaml.dump(value, Dumper=_Dumper, sort_keys=False, allow_unicode=True)
    return text


def _no_file(path: Path) -> str:
    if path.is_dir():
        return "a folder; an experiment is one .yaml file"
    return "no regular file" if path.exists() else "no such file"


def _require_bounded(root: yaml.Node) -> None:
    """Measure a document with every alias written out."""
    measured: dict[int, tuple[int, int]] = {}

    def measure(node: yaml.Node, depth: int) -> tuple[int, int]:
        """Number of values and of levels below a node at a depth."""
        if id(node) not in measured and depth <= DEEPEST:
            children = node.value if isinstance(node, yaml.SequenceNode) else []
            if isinstance(node, yaml.MappingNode):
                _require_keys(node)
                children = [child for pair in node.value for child in pair]
            below = [measure(child, depth + 1) for child in children]
            measured[id(node)] = 1 + sum(size for size, _ in below), 1 + max((levels for _, levels in below), default=0)
        size, levels = measured.get(id(node), (1, 1))
        if depth + levels - 1 > DEEPEST:
            raise yaml.MarkedYAMLError(problem=f"nested deeper than {DEEPEST} levels", problem_mark=node.start_mark)
        return size, levels

    if measure(root, 1)[0] > MOST_VALUES:
        raise yaml.MarkedYAMLError(problem=f"more than {MOST_VALUES:,} values with its aliases written out")


def _require_keys(node: yaml.MappingNode) -> None:
    """Raise where a key of a mapping is no text or occurs twice."""
    lines: dict[str, int] = {}
    for key, _ in node.value:
        if key.tag == f"{_TAGS}merge":
            continue
        if key.tag != f"{_TAGS}str":
            shown = repr(key.value) if isinstance(key.value, str) else "that is a collection"
            raise yaml.MarkedYAMLError(problem=f"the key {shown} is no text; quote it", problem_mark=key.start_mark)
        if key.value in lines:
            problem = f"the key {key.value!r} is already in line {lines[key.value]}"
            raise yaml.MarkedYAMLError(problem=problem, problem_mark=key.start_mark)
        lines[key.value] = key.start_mark.line + 1


def _faults(value: Any, key: str) -> Iterator[tuple[str, str]]:
    """What no key of an experiment may hold, with the key."""
    match value:
        case dict():
            for name, item in value.items():
                yield from _faults(name, key)
                yield from _faults(item, f"{key}.{name}" if key else name)
        case list():
            for number, item in enumerate(value):
                yield from _faults(item, f"{key}.{number}" if key else str(number))
        case str():
            if odd := CONTROL.search(re.sub(r"[\t\r\n]", " ", value)):
                yield key, f"holds the control character {ascii(odd[0])}"
        case bool() | None:
            pass
        case int():
            if abs(value) >= LARGEST_NUMBER:
                yield key, f"a whole number of {len(str(abs(value)))} digits is too large"
        case float():
            if value != value:
                yield key, "NaN is no value"
        case _:
            yield key, f"should be text, a number, true, false, a list or a mapping, not {type(value).__name__}"

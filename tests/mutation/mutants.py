"""Mutants of a Python source file: one small change each, found in its syntax tree."""

from __future__ import annotations

import ast
import copy
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

COMPARISONS: dict[type[ast.cmpop], tuple[type[ast.cmpop], ...]] = {
    ast.Lt: (ast.LtE, ast.GtE), ast.LtE: (ast.Lt, ast.Gt), ast.Gt: (ast.GtE, ast.LtE), ast.GtE: (ast.Gt, ast.Lt),
    ast.Eq: (ast.NotEq,), ast.NotEq: (ast.Eq,), ast.Is: (ast.IsNot,), ast.IsNot: (ast.Is,),
    ast.In: (ast.NotIn,), ast.NotIn: (ast.In,),
}  # fmt: skip
ARITHMETIC: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult, ast.FloorDiv: ast.Mult,
    ast.Mod: ast.Mult, ast.Pow: ast.Mult, ast.BitAnd: ast.BitOr, ast.BitOr: ast.BitAnd,
}  # fmt: skip
EXTREMA = {
    "min": "max", "max": "min", "minimum": "maximum", "maximum": "minimum", "argmin": "argmax", "argmax": "argmin",
}  # fmt: skip
CHECKED_ALREADY = {"strict"}
"""Keyword arguments that only turn an internal check on."""


@dataclass(frozen=True)
class Mutant:
    """One change: the text `before` between two offsets of a file becomes `after`."""

    path: str
    line: int
    start: int
    end: int
    before: str
    after: str

    def apply(self, source: str) -> str:
        """The mutated source, with as many lines as the original."""
        changed = self.after + "\n" * (source[self.start : self.end].count("\n") - self.after.count("\n"))
        return source[: self.start] + changed + source[self.end :]

    @property
    def id(self) -> str:
        """Identifier that survives edits elsewhere in the file only if the line stays."""
        return f"{self.path}:{self.line}:{self.start}:{self.before} -> {self.after}"


def mutants(path: str, root: Path) -> list[Mutant]:
    """All mutants of a file.

    Docstrings, messages (f-strings, `raise`, `warn`), annotations, decorators and patterns of `match` are left alone.
    """
    source = (root / path).read_text(encoding="utf-8")
    starts = _line_starts(source)
    made = []
    for node, changed in _changes(ast.parse(source)):
        start, end = (
            _offset(starts, source, node.lineno, node.col_offset),
            _offset(starts, source, node.end_lineno or 0, node.end_col_offset or 0),
        )
        before, after = " ".join(source[start:end].split()), f"({ast.unparse(changed)})"
        made.append(Mutant(path, node.lineno, start, end, before, after))
    return made


def _line_starts(source: str) -> list[int]:
    starts = [0]
    for line in source.splitlines(keepends=True):
        starts.append(starts[-1] + len(line))
    return starts


def _offset(starts: list[int], source: str, line: int, column: int) -> int:
    """Offset in characters; the syntax tree counts columns in bytes."""
    text = source[starts[line - 1] : starts[line]]
    return starts[line - 1] + len(text.encode()[:column].decode())


def _changes(node: ast.AST) -> Iterator[tuple[ast.expr, ast.expr]]:
    """Expressions with their replacements, below a node."""
    if isinstance(node, ast.expr):
        for changed in _replacements(node):
            yield node, changed
    for child in _children(node):
        yield from _changes(child)


def _children(node: ast.AST) -> Iterator[ast.AST]:
    """The parts of a node that decide what the code computes."""
    match node:
        case ast.FunctionDef():
            yield from node.args.defaults
            yield from (default for default in node.args.kw_defaults if default)
            yield from node.body
        case ast.ClassDef():
            yield from node.body
        case ast.AnnAssign():
            yield from [node.value] if node.value else []
        case ast.Raise() | ast.JoinedStr() | ast.Import() | ast.ImportFrom():
            return
        case ast.Assign(value=ast.BinOp(op=ast.BitOr(), left=ast.Name() | ast.BinOp())) if _is_type(node.value):
            return
        case ast.If(test=ast.Name(id="TYPE_CHECKING")):
            return
        case ast.Call(func=ast.Name(id="isinstance")):
            yield node.args[0]
        case ast.Call(func=ast.Attribute(attr="warn")):
            return
        case ast.Call():
            yield node.func
            yield from node.args
            yield from (each.value for each in node.keywords if each.arg not in CHECKED_ALREADY)
        case ast.match_case():
            yield from [node.guard] if node.guard else []
            yield from node.body
        case _:
            yield from ast.iter_child_nodes(node)


def _is_type(node: ast.expr) -> bool:
    """Whether an expression is a union of type names, such as `str | int | None`."""
    match node:
        case ast.BinOp(op=ast.BitOr()):
            return _is_type(node.left) and _is_type(node.right)
        case ast.Name() | ast.Constant(value=None) | ast.Subscript():
            return True
        case _:
            return False


def _replacements(node: ast.expr) -> Iterator[ast.expr]:
    match node:
        case ast.Compare():
            for i, operator in enumerate(node.ops):
                for other in COMPARISONS[type(operator)]:
                    yield ast.Compare(node.left, [*node.ops[:i], other(), *node.ops[i + 1 :]], node.comparators)
        case ast.BinOp() if type(node.op) in ARITHMETIC:
            yield ast.BinOp(node.left, ARITHMETIC[type(node.op)](), node.right)
        case ast.BoolOp():
            yield ast.BoolOp(ast.Or() if isinstance(node.op, ast.And) else ast.And(), node.values)
        case ast.UnaryOp(op=ast.Not() | ast.USub() | ast.Invert()):
            yield node.operand
        case ast.Constant(value=bool()):
            yield ast.Constant(not node.value)
        case ast.Constant(value=int() | float()):
            yield ast.Constant(node.value + 1)
            yield ast.Constant(node.value - 1)
        case ast.Call():
            yield from _calls(node)


def _calls(node: ast.Call) -> Iterator[ast.expr]:
    """The other extremum, and bounds in each other's place."""
    name = node.func.id if isinstance(node.func, ast.Name) else getattr(node.func, "attr", "")
    if name in EXTREMA:
        changed = copy.deepcopy(node)
        if isinstance(changed.func, ast.Name):
            changed.func.id = EXTREMA[name]
        elif isinstance(changed.func, ast.Attribute):
            changed.func.attr = EXTREMA[name]
        yield changed
    bounds = [keyword for keyword in node.keywords if keyword.arg in ("min", "max")]
    if bounds:
        changed = copy.deepcopy(node)
        for keyword in changed.keywords:
            if keyword.arg in ("min", "max"):
                keyword.arg = EXTREMA[keyword.arg]
        yield changed

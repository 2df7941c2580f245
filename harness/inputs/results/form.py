"""Interface and registry of the forms of results, and the reading of a file by its form."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules

from harness.errors import UsageError
from harness.inputs.results.files import rows
from harness.inputs.results.result import Result
from trainers.data.fields import Fields, Unusable

Located = tuple[str, Fields]
"""Where a row is, and the row."""

Read = Callable[[Path, Iterable[Located]], Iterator[Result]]


@dataclass(frozen=True)
class Form:
    """A form of results.

    Parameters
    ----------
    name : str
    title : str
        In messages: the first line of the docstring of its function.
    recognises : callable
        Whether a row is of this form.
    read : callable
        From the file's path and its rows to results. It may raise `trainers.data.fields.Unusable`.
    module : str
    general : bool
        Whether a row that another form recognises as well is the other's.
    """

    name: str
    title: str
    recognises: Callable[[Fields], bool]
    read: Read
    module: str
    general: bool = False


_forms: dict[str, Form] = {}


def form(name: str, recognises: Callable[[Fields], bool], general: bool = False) -> Callable[[Read], Read]:
    """Decorator that registers the function that reads a form."""

    def decorate(read: Read) -> Read:
        if name in _forms and _forms[name].module != read.__module__:
            raise ValueError(f"{read.__module__}: the form {name!r} is registered already, by {_forms[name].module}")
        title = (read.__doc__ or name).strip().splitlines()[0].rstrip(".")
        _forms[name] = Form(name, title, recognises, read, read.__module__, general)
        return read

    return decorate


def columns(*names: str) -> Callable[[Fields], bool]:
    """A test whether a row has all of these fields."""
    return lambda row: all(name in row.values for name in names)


@cache
def _load() -> None:
    import harness.inputs.results as package

    for module in iter_modules(package.__path__):
        import_module(f"{package.__name__}.{module.name}")


def forms() -> dict[str, Form]:
    """Every form by name, the general ones last; all modules of this package are imported."""
    _load()
    return dict(sorted(_forms.items(), key=lambda item: item[1].general))


def create(name: str) -> Form:
    """A form whose module is imported."""
    return _forms[name]


def read_results(path: Path, columns: Mapping[str, str] | None = None) -> tuple[Form, list[Result]]:
    """The form of a file and its results.

    Parameters
    ----------
    path : Path
        A file, or a folder of files of one form.
    columns : mapping of str to str, optional
        The file's own names of fields, by the names that are read here: ``{"prompt": "question"}``.

    Raises
    ------
    UsageError
        In one line, naming the file and the row: for a file that cannot be read, of no known form, or without a row.
    """
    parts = _parts(path)
    if not parts:
        raise UsageError(f"{path}: no file of results (.jsonl) in this folder")
    form: Form | None = None
    results: list[Result] = []
    for part in parts:
        form, read = _read(part, columns or {}, form)
        results += read
    assert form is not None
    return form, results


def _read(path: Path, columns: Mapping[str, str], expected: Form | None) -> tuple[Form, list[Result]]:
    where, first = next(_located(path, columns), ("", None))
    if first is None:
        raise UsageError(f"{path}: holds no row")
    form = next((form for form in forms().values() if form.recognises(first)), None)
    if form is None:
        has = ", ".join(sorted(map(str, first.values))) or "no field"
        titles = "; ".join(form.title for form in forms().values())
        raise UsageError(f"{where}: of no known form of results; the row has {has}. Known are: {titles}")
    if expected is not None and form is not expected:
        raise UsageError(f"{path}: {form.title}, where the files before are: {expected.title}")
    return form, _read_part(form, path, columns)


def read_as(name: str, path: Path, columns: Mapping[str, str]) -> list[Result]:
    """The results of a file of a given form, whose module is imported (`read_results`)."""
    return [result for part in _parts(path) for result in _read_part(create(name), part, columns)]


def _parts(path: Path) -> list[Path]:
    return sorted(path.rglob("*.jsonl")) if path.is_dir() else [path]


def _read_part(form: Form, path: Path, columns: Mapping[str, str]) -> list[Result]:
    where = str(path)

    def noted() -> Iterator[Located]:
        nonlocal where
        for row in _located(path, columns):
            where = row[0]
            yield row

    try:
        results = list(form.read(path, noted()))
    except Unusable as fault:
        raise UsageError(f"{where}: {fault.why}{': ' + fault.detail if fault.detail else ''}") from None
    if not results:
        raise UsageError(f"{path}: {form.title}, without a result")
    return results


def _located(path: Path, columns: Mapping[str, str]) -> Iterator[Located]:
    for number, (where, row) in enumerate(rows(path)):
        try:
            fields = Fields.of(row)
        except Unusable as fault:
            raise UsageError(f"{where}: {fault.why}: {fault.detail}") from None
        if number == 0 and (missing := [name for name in columns.values() if name not in fields.values]):
            has = ", ".join(sorted(map(str, fields.values)))
            raise UsageError(f"{where}: columns: no field {missing[0]!r}; the row has {has}")
        renamed = {column: fields.values[name] for column, name in columns.items()}
        yield where, Fields({**fields.values, **renamed})


def first_of(row: Fields, names: Sequence[str]) -> str | None:
    """The first of several spellings of a field that a row has."""
    return next((name for name in names if name in row.values), None)

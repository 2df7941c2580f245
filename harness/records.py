"""Schema of the records: the tables that suites write and reports read.

A run's ``records/`` folder holds one Parquet file per table below. Nothing else passes between the
rooms, so a report can be rebuilt from the folder alone. Field names are for ever: add, never rename.

`suites` and `reports` import this module and nothing else of `harness`. It imports none of our modules, and no heavy
library at the top.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, field, fields
from enum import StrEnum
from pathlib import Path
from types import UnionType
from typing import TYPE_CHECKING, Any, Literal, Union, get_args, get_origin, get_type_hints

if TYPE_CHECKING:
    import pandas as pd
    from _typeshed import DataclassInstance

SCHEMA_VERSION = 3
"""Version of the tables below. Version 1 had no reference responses in `Generation`, version 2 no `decode_tokens` and
`adaptation_seconds` in `Cell`."""

_VERSION_KEY = b"prefrontier.schema"
"""Key of the version in the metadata of a Parquet file; files without it are of version 1."""


class SchemaError(ValueError):
    """Records that this code does not read: of a newer version, damaged, or with other columns or values."""


class Status(StrEnum):
    """What became of an item. Every item has a row whatever happened to it.

    ``EMPTY`` counts as a failure and carries the worst value of its objective; ``TRUNCATED`` carries
    the value of the truncated text; ``ERROR`` and ``SKIPPED`` carry no value and count as missing.
    ``UNPARSABLE`` carries the worst value where the text itself is no answer, and none where it was the
    scorer that could not read or judge it.
    """

    OK = "ok"
    ERROR = "error"
    UNPARSABLE = "unparsable"
    TRUNCATED = "truncated"
    EMPTY = "empty"
    SKIPPED = "skipped"


Direction = Literal["maximize", "minimize"]


@dataclass(frozen=True)
class Objective:
    """Something a policy is measured by. The direction is stated, never inferred.

    Parameters
    ----------
    name : str
        Identifier used in every table, e.g. ``"win_rate"``.
    label : str
        How figures and tables write it, e.g. ``"Win rate against the reference"``.
    direction : {"maximize", "minimize"}
    unit : str
        ``"probability"``, ``"grade"``, ``"tokens"``, ``"seconds"`` ...
    bounds : tuple of float
        ``(low, high)``; infinite where there is none. The bad end is what a failed item is given and
        what missing items are bounded by.
    role : {"user", "designer", "benchmark", "cost", "descriptive"}
        Whose interest it is; decides the axis it takes in a frontier figure. A descriptive one is in the tables
        and on no frontier.
    reference_point : float or None
        The hypervolume reference for this objective, stated by the experiment.

    Examples
    --------
    >>> toxicity = Objective("toxicity", "Toxicity", "minimize", "probability", (0.0, 1.0), "designer")
    >>> toxicity.worst, toxicity.best
    (1.0, 0.0)
    """

    name: str
    label: str
    direction: Direction
    unit: str
    bounds: tuple[float, float] = (float("-inf"), float("inf"))
    role: Literal["user", "designer", "benchmark", "cost", "descriptive"] = "designer"
    reference_point: float | None = None

    def __post_init__(self) -> None:
        if self.direction not in ("maximize", "minimize"):
            raise ValueError(
                f"objective {self.name!r}: direction must be 'maximize' or 'minimize', not {self.direction!r}"
            )
        if not self.bounds[0] < self.bounds[1]:
            raise ValueError(f"objective {self.name!r}: bounds {self.bounds} are not (low, high)")

    @property
    def worst(self) -> float:
        """The bad end of the bounds."""
        return self.bounds[0] if self.direction == "maximize" else self.bounds[1]

    @property
    def best(self) -> float:
        """The good end of the bounds."""
        return self.bounds[1] if self.direction == "maximize" else self.bounds[0]


@dataclass(frozen=True)
class ItemScore:
    """One suite's verdict on one item of one cell (a trained policy).

    ``item`` is unique within (cell, objective) and the same across cells, so that methods can be paired;
    ``cluster`` is the prompt it belongs to; ``trial`` numbers repeated samples of one prompt.
    """

    objective: str
    item: str
    cluster: str
    value: float | None
    status: Status = Status.OK
    trial: int = 0
    cell: str = ""
    detail: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Generation:
    """One sampled response, with how it ended; `reference` is the response that a judge compares it with, if any."""

    item: str
    cluster: str
    prompt: str
    response: str
    n_tokens: int
    status: Status = Status.OK
    trial: int = 0
    cell: str = ""
    reference: str = ""


@dataclass(frozen=True)
class Measure:
    """One figure about a whole cell that is not a mean of items.

    ``group`` is ``"health"`` (log-prob displacement, KL, length, EOS rate ...), ``"exact"`` (closed-form
    expectations, gap to the true frontier), ``"summary"`` (length-controlled win rate, corpus
    diversity), ``"judge"`` (how far the judge's verdicts can be relied on), ``"quality"`` (of a trained scorer) or
    ``"rows left out"`` (rows of the data by the reason why they were not used).
    """

    group: str
    name: str
    value: float
    cell: str = ""


@dataclass(frozen=True)
class Cell:
    """One trained policy: a method with its hyperparameters, at one size, with one seed.

    ``cell`` identifies it; cells that differ only by seed share ``point``. ``sweep`` names the one
    hyperparameter that the experiment sweeps for the method, and ``sweep_value`` its value here.
    ``judge_cost`` is what its judges charged, in the currency of their price list. ``decode_tokens`` is what is read and
    drawn for an answer, of all contexts, models and candidates, and ``adaptation_seconds`` the time for a new user.
    """

    cell: str
    point: str
    method: str
    label: str
    size: str
    seed: int
    parameters: dict[str, Any]
    sweep: str | None = None
    sweep_value: float | None = None
    status: Literal["ok", "failed", "missing"] = "ok"
    error: str = ""
    n_parameters: int = 0
    train_seconds: float = 0.0
    evaluate_seconds: float = 0.0
    trained_tokens: int = 0
    generated_tokens: int = 0
    judge_cost: float = 0.0
    decode_tokens: float = 0.0
    adaptation_seconds: float = 0.0
    checkpoint: str = ""
    command: str = ""


@dataclass(frozen=True)
class TruthPoint:
    """One objective's value at one point of the true frontier for one KL budget (oracle world only)."""

    budget: float
    point: int
    objective: str
    value: float


@dataclass(frozen=True)
class CurvePoint:
    """One training metric at one optimizer step of one cell."""

    cell: str
    step: int
    metric: str
    value: float


TABLES: dict[str, type[DataclassInstance]] = {
    "objectives": Objective,
    "cells": Cell,
    "items": ItemScore,
    "generations": Generation,
    "measures": Measure,
    "truth": TruthPoint,
    "curves": CurvePoint,
}


def to_frame(rows: Sequence[DataclassInstance], row_type: type[DataclassInstance] | None = None) -> pd.DataFrame:
    """Rows of one record type as a data frame; dictionaries become JSON text.

    Examples
    --------
    >>> frame = to_frame([ItemScore("win_rate", "p0#0", "p0", 1.0, cell="a")])
    >>> frame[["objective", "value", "status"]].to_numpy().tolist()
    [['win_rate', 1.0, 'ok']]
    """
    import pandas as pd

    row_type = row_type or type(rows[0])
    columns = [field.name for field in fields(row_type)]
    frame = pd.DataFrame([_plain(asdict(row)) for row in rows], columns=columns)
    return frame.astype({"value": float}) if "value" in columns else frame


def _plain(row: dict[str, Any]) -> dict[str, Any]:
    for name, value in row.items():
        if isinstance(value, dict):
            row[name] = json.dumps(value, sort_keys=True)
        elif isinstance(value, StrEnum):
            row[name] = value.value
        elif isinstance(value, tuple):
            row[name] = list(value)
    return row


@dataclass(frozen=True)
class Records:
    """All tables of one run as data frames, in a stable order.

    Examples
    --------
    >>> import tempfile
    >>> records = Records.build(items=[ItemScore("win_rate", "p0#0", "p0", 0.5, cell="a")])
    >>> folder = Path(tempfile.mkdtemp())
    >>> records.write(folder)
    >>> Records.read(folder).items.value.tolist()
    [0.5]
    """

    objectives: pd.DataFrame
    cells: pd.DataFrame
    items: pd.DataFrame
    generations: pd.DataFrame
    measures: pd.DataFrame
    truth: pd.DataFrame
    curves: pd.DataFrame

    @classmethod
    def build(cls, **tables: Iterable[DataclassInstance]) -> Records:
        """Build from lists of record rows; tables not named are empty."""
        unknown = set(tables) - set(TABLES)
        if unknown:
            raise TypeError(f"unknown table {sorted(unknown)}; the tables are {sorted(TABLES)}")
        return cls(**{name: to_frame(list(tables.get(name, ())), row) for name, row in TABLES.items()})

    @classmethod
    def read(cls, folder: Path) -> Records:
        """Read a ``records/`` folder, of this version or an older one.

        Raises
        ------
        FileNotFoundError
            Naming the tables that are missing.
        SchemaError
            In one line, for records of a newer version, a damaged file, or a column that is missing or of another kind.
        """
        missing = [f"{name}.parquet" for name in TABLES if not (folder / f"{name}.parquet").is_file()]
        if missing:
            raise FileNotFoundError(f"{folder} is not a complete records folder: {', '.join(missing)} missing")
        version = max(_version(folder / f"{name}.parquet") for name in TABLES)
        if version > SCHEMA_VERSION:
            raise SchemaError(
                f"{folder}: records of schema version {version}; this version of prefrontier reads versions up to "
                f"{SCHEMA_VERSION}, so update it"
            )
        tables = {name: _table(folder / f"{name}.parquet") for name in TABLES}
        for older in range(version, SCHEMA_VERSION):
            tables = MIGRATIONS[older](tables)
        for name, row_type in TABLES.items():
            for column, hint in get_type_hints(row_type).items():
                if fault := _fault(tables[name], column, hint):
                    raise SchemaError(f"{folder / name}.parquet: column {column!r}: {fault}")
        return cls(
            **{name: _plain_texts(tables[name][[field.name for field in fields(row)]]) for name, row in TABLES.items()}
        )

    def write(self, folder: Path) -> None:
        """Write every table, sorted by its identifying columns so that equal runs give equal files."""
        import pyarrow
        import pyarrow.parquet

        folder.mkdir(parents=True, exist_ok=True)
        for name in TABLES:
            frame = getattr(self, name)
            keys = [key for key in ("cell", "objective", "group", "metric", "name", "item", "step") if key in frame]
            if keys and name != "objectives":
                frame = frame.sort_values(keys, kind="stable", ignore_index=True)
            table = pyarrow.Table.from_pandas(frame, preserve_index=False)
            metadata = {**(table.schema.metadata or {}), _VERSION_KEY: str(SCHEMA_VERSION).encode()}
            pyarrow.parquet.write_table(table.replace_schema_metadata(metadata), folder / f"{name}.parquet")


def _version(file: Path) -> int:
    """The schema version of a table's file."""
    import pyarrow
    import pyarrow.parquet

    try:
        version = int((pyarrow.parquet.read_schema(file).metadata or {}).get(_VERSION_KEY, b"1"))
    except (pyarrow.ArrowException, OSError, ValueError) as error:
        raise SchemaError(f"{file}: damaged Parquet file: {_first_line(error)}") from None
    if version < 1:
        raise SchemaError(f"{file}: there is no schema version {version}")
    return version


REPEATED = ("cell", "objective", "item", "cluster", "status", "detail", "group", "name", "metric")
"""Columns of texts that most rows of a large table have from others: each text is read and checked once."""


def _table(file: Path) -> pd.DataFrame:
    """A table as it is in its file, with the columns of `REPEATED` as categories where they hold texts."""
    import pyarrow
    import pyarrow.parquet

    try:
        return pyarrow.parquet.read_table(file, read_dictionary=REPEATED).to_pandas()
    except (pyarrow.ArrowException, OSError, ValueError, OverflowError) as error:
        raise SchemaError(f"{file}: damaged Parquet file: {_first_line(error)}") from None


def _plain_texts(table: pd.DataFrame) -> pd.DataFrame:
    """A table with texts in place of categories; rows with equal texts share them."""
    categories = table.select_dtypes("category").columns
    return table.astype(dict.fromkeys(categories, object))


def _first_line(error: Exception) -> str:
    return next(iter(str(error).splitlines()), type(error).__name__)


def _fault(table: pd.DataFrame, name: str, hint: Any) -> str | None:
    """What keeps a column from holding values of a field's type; None where nothing does."""
    import pandas as pd

    if name not in table:
        return "is missing"
    if table.empty:
        return None
    column = table[name]
    if isinstance(column, pd.DataFrame):
        return "is there twice"
    options = get_args(hint) if get_origin(hint) in (Union, UnionType) else (hint,)
    wanted = next(option for option in options if option is not type(None))
    absent = column.isna()
    # A failed cell has no figures, and an item that was not measured no value.
    if absent.any() and wanted is not float and type(None) not in options:
        return f"row {int(absent.argmax())} has no value"
    return _kind_fault(column[~absent], wanted)


def _kind_fault(column: pd.Series, wanted: Any) -> str | None:
    """The first value of a column that is of another kind than a field."""
    import pandas as pd

    if isinstance(column.dtype, pd.CategoricalDtype):
        column = column.drop_duplicates().astype(object)
    kind = pd.api.types.infer_dtype(column, skipna=False)
    if wanted in (int, float):
        numbers = ("integer",) if wanted is int else ("integer", "floating", "mixed-integer-float")
        return None if kind in (*numbers, "empty") else f"should hold numbers, not {kind}"
    if get_origin(wanted) is tuple:
        pairs = column.map(
            lambda value: len(value) == 2 and all(isinstance(end, float | int) for end in value), na_action=None
        )
        return None if pairs.all() else f"should hold pairs of numbers, not {column[~pairs].iloc[0]!r}"
    if kind not in ("string", "empty"):
        return f"should hold texts, not {kind}"
    if get_origin(wanted) is dict and len(column) < MOST_PARSED:
        return next((f"{text!r} is no JSON object" for text in column.unique() if not _is_object(text)), None)
    choices = get_args(wanted) if get_origin(wanted) is Literal else tuple(wanted) if wanted is Status else None
    odd = [] if choices is None else sorted(set(column.unique()) - set(choices))
    return f"{odd[0]!r} is none of {', '.join(choices or ())}" if odd else None


MOST_PARSED = 10_000
"""Rows up to which the details of a table are read when it is: those of cells, not those of millions of items."""


def _is_object(text: str) -> bool:
    try:
        return isinstance(json.loads(text), dict)
    except (ValueError, RecursionError):
        return False


def _with_references(tables: dict[str, pd.DataFrame]) -> dict[str, pd.DataFrame]:
    """Version 2: generations hold the response that they are compared with; older ones have none."""
    return {**tables, "generations": tables["generations"].assign(reference="")}


def _with_user_costs(tables: dict[str, pd.DataFrame]) -> dict[str, pd.DataFrame]:
    """Version 3: cells have the costs of decoding an answer and of adapting to a user; older ones have not measured them."""
    return {**tables, "cells": tables["cells"].assign(decode_tokens=0.0, adaptation_seconds=0.0)}


MIGRATIONS: dict[int, Callable[[dict[str, pd.DataFrame]], dict[str, pd.DataFrame]]] = {
    1: _with_references,
    2: _with_user_costs,
}
"""By version: from the tables of that version to those of the next."""

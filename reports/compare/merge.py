"""Records of several sides as those of one run, on the items that all sides have.

Prompts are matched by their text where the runs stored it, else by their ids; an objective that was measured in another way, or
on no common prompt, is left out, and a line says so.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from harness.records import Records
from reports.compare.sides import Side
from reports.nightly.measurement_check import OBJECTIVE_FIELDS, measured_ways
from reports.run_folder import Refused, Stored
from reports.text import display_label, display_name, join, plural

EXACT = "exact"
"""Group of the measures that hold for one set of data alone."""
REFERENCE = "reference_point"


@dataclass(frozen=True)
class Shared:
    """An objective that sides are compared on: the number of prompts of each side, and of those that all have.

    `prompts` is empty for a figure of whole cells, as a cost is.
    """

    objective: str
    prompts: tuple[int, ...]
    common: int


@dataclass(frozen=True)
class Setting:
    """A method with its hyperparameters at one size: what points of several sides have in common."""

    method: str
    label: str
    size: str

    @property
    def shown(self) -> str:
        """The setting's published name, with the entry's own where the label does not say it.

        Examples
        --------
        >>> Setting("dpo", "dpo beta=0.5", "tiny").shown, Setting("mine", "dpo beta=0.5", "tiny").shown
        ('DPO β=0.5', 'mine: DPO β=0.5')
        """
        label, method = display_label(self.label), display_name(self.method)
        return label if label.lower().startswith(method.lower()) else f"{method}: {label}"


@dataclass(frozen=True)
class Merged:
    """One set of records of all sides.

    Parameters
    ----------
    records : Records
        Methods carry the name of their side, unless there is one side only.
    shared : tuple of Shared
        The objectives that are compared.
    settings : dict of str to tuple of (str, Setting)
        Side and setting of every point of `records`.
    notes : tuple of str
        What was left out, and why.
    """

    records: Records
    shared: tuple[Shared, ...]
    settings: Mapping[str, tuple[str, Setting]]
    notes: tuple[str, ...]


def merge(sides: Sequence[Side]) -> Merged:
    """Records of the sides under names that all share.

    Raises
    ------
    Refused
        For a run that has a cell twice.
    """
    notes: list[str] = []
    parts = [_side(side, several=len(sides) > 1, notes=notes) for side in sides]
    prompts = _Prompts()
    parts = [prompts.renamed(part) for part in parts]
    same_data = _same_data([run for side in sides for run in side.runs])
    alike = [name for name in _alike(sides, parts, notes) if same_data or _of_any_data(name, parts, notes)]
    shared, kept = _common(sides, parts, alike, notes)
    objectives = parts[0].objectives
    objectives = objectives[objectives.name.isin([each.objective for each in shared])].reset_index(drop=True)
    items = pd.concat([_restricted(part.items, kept) for part in parts], ignore_index=True)
    measures = pd.concat([part.measures for part in parts], ignore_index=True)
    records = Records(
        objectives=objectives,
        cells=pd.concat([part.cells for part in parts], ignore_index=True),
        items=items,
        generations=pd.concat([part.generations for part in parts], ignore_index=True),
        measures=measures if same_data else measures[measures.group != EXACT].reset_index(drop=True),
        truth=parts[0].truth if same_data else parts[0].truth.iloc[:0],
        curves=parts[0].curves.iloc[:0],
    )
    return Merged(records, tuple(shared), _settings(sides), tuple(notes))


def _side(side: Side, several: bool, notes: list[str]) -> Records:
    """The cells of a side's runs, each once, under names that begin with the side's."""
    cells: dict[tuple[str, str, str, int], str] = {}
    tables: list[Records] = []
    for run in side.runs:
        rows = run.records.cells
        identity = list(zip(rows.method, rows.label, rows["size"], rows.seed.astype(int), strict=True))
        if len(set(identity)) < len(identity):
            raise Refused(f"{run.folder}: two cells have the same method, label, size and seed")
        again = [name in cells for name in identity]
        if any(again):
            notes.append(
                f"{plural(sum(again), 'cell')} of {run.folder} are in another run of {side.name} too: counted once"
            )
        names = {}
        for (method, label, size, seed), cell, known in zip(identity, rows.cell, again, strict=True):
            if not known:
                names[cell] = cells[method, label, size, seed] = f"{side.name}/{method}/{label}/{size}/{seed}"
        tables.append(_renamed(run.records, names, side.name if several else ""))
    return tables[0] if len(tables) == 1 else _stacked(tables)


def _renamed(records: Records, names: Mapping[str, str], prefix: str) -> Records:
    """The cells that `names` has, under these names."""

    def rows(frame: pd.DataFrame) -> pd.DataFrame:
        frame = frame[frame.cell.isin(names)]
        return frame.assign(cell=frame.cell.map(names))

    cells = rows(records.cells)
    labels = cells.label.map(display_label)
    cells = cells.assign(
        point=cells.cell.str.rpartition("/")[0],
        method=f"{prefix}: " + cells.method if prefix else cells.method,
        label=f"{prefix}: " + labels if prefix else labels,
    )
    return replace(
        records,
        cells=cells,
        items=rows(records.items),
        generations=rows(records.generations),
        measures=rows(records.measures),
    )


def _stacked(tables: Sequence[Records]) -> Records:
    stacked = {
        name: pd.concat([getattr(each, name) for each in tables], ignore_index=True)
        for name in ("cells", "items", "generations", "measures")
    }
    return replace(tables[0], **stacked)


class _Prompts:
    """One id for each prompt: that of the run in which it is first, told apart where another prompt has it."""

    def __init__(self) -> None:
        self._of_text: dict[str, str] = {}
        self._text_of: dict[str, str] = {}

    def renamed(self, records: Records) -> Records:
        """The records with prompts under their common ids."""
        texts = records.generations.drop_duplicates("cluster").set_index("cluster").prompt.to_dict()
        ids = {cluster: self._id(cluster, text) for cluster, text in texts.items()}
        changed = {cluster: new for cluster, new in ids.items() if new != cluster}
        if not changed:
            return records
        return replace(
            records,
            items=_with_prompts(records.items, changed),
            generations=_with_prompts(records.generations, changed),
        )

    def _id(self, cluster: str, text: str) -> str:
        if text in self._of_text:
            return self._of_text[text]
        name, count = cluster, 1
        while name in self._text_of:
            count += 1
            name = f"{cluster} ({count})"
        self._text_of[name], self._of_text[text] = text, name
        return name


def _with_prompts(frame: pd.DataFrame, ids: Mapping[str, str]) -> pd.DataFrame:
    """Rows under other ids of prompts; an item's id begins with that of its prompt."""
    clusters = frame.cluster.map(lambda cluster: ids.get(cluster, cluster))
    items = [
        new + item[len(old) :] if item.startswith(old) else item
        for item, old, new in zip(frame["item"], frame.cluster, clusters, strict=True)
    ]
    return frame.assign(cluster=clusters, item=items)


def _alike(sides: Sequence[Side], parts: Sequence[Records], notes: list[str]) -> list[str]:
    """Objectives that all sides have measured in the same way."""
    facts = [part.objectives.set_index("name") for part in parts]
    ways = [measured_ways(part.items) for part in parts]
    alike = []
    for name in dict.fromkeys(name for table in facts for name in table.index):
        lacking = [side.name for side, table in zip(sides, facts, strict=True) if name not in table.index]
        if lacking:
            notes.append(f"{name} is left out: not measured in {join(lacking)}")
            continue
        odd = [
            field for field in OBJECTIVE_FIELDS if len({repr(_plain(table.loc[name, field])) for table in facts}) > 1
        ]
        if REFERENCE in odd:
            notes.append(f"{name}: the reference points differ; that of {sides[0].name} is used")
            odd.remove(REFERENCE)
        odd += _other_ways([side.get(name, {}) for side in ways])
        if odd:
            notes.append(f"{name} is left out: measured in another way ({join(odd)})")
            continue
        alike.append(name)
    return alike


def _plain(value: object) -> object:
    """A cell of a table as something with a faithful `repr`."""
    if isinstance(value, np.ndarray | list | tuple):
        return [float(end) for end in value]
    return None if value is None or value != value else value


def _other_ways(ways: Sequence[Mapping[str, set[str]]]) -> list[str]:
    keys = dict.fromkeys(key for way in ways for key in way)
    return [key for key in keys if len({json.dumps(sorted(way.get(key, ()))) for way in ways}) > 1]


def _same_data(runs: Sequence[Stored]) -> bool:
    return all(run.experiment.get("data") == runs[0].experiment.get("data") for run in runs)


def _of_any_data(name: str, parts: Sequence[Records], notes: list[str]) -> bool:
    """Whether an objective has items, or is a cost of the cells; a closed-form figure belongs to its data."""
    if name in parts[0].cells or any((part.items.objective == name).any() for part in parts):
        return True
    notes.append(f"{name} is left out: a figure without items, and the data differ")
    return False


def _common(
    sides: Sequence[Side], parts: Sequence[Records], alike: Iterable[str], notes: list[str]
) -> tuple[list[Shared], dict[str, frozenset[str]]]:
    """The objectives with common prompts, and these prompts by objective."""
    shared, kept = [], {}
    for name in alike:
        sets = [frozenset(part.items.cluster[part.items.objective == name]) for part in parts]
        if not any(sets):
            shared.append(Shared(name, (), 0))
            continue
        common = frozenset.intersection(*sets)
        if not common:
            counts = join([f"{len(of):,} in {side.name}" for side, of in zip(sides, sets, strict=True)])
            notes.append(f"{name} is left out: no prompt in common ({counts})")
            continue
        shared.append(Shared(name, tuple(map(len, sets)), len(common)))
        kept[name] = common
    return shared, kept


def _restricted(items: pd.DataFrame, kept: Mapping[str, frozenset[str]]) -> pd.DataFrame:
    """The rows of common prompts."""
    inside = [cluster in kept.get(name, ()) for name, cluster in zip(items.objective, items.cluster, strict=True)]
    return items[inside]


def _settings(sides: Sequence[Side]) -> dict[str, tuple[str, Setting]]:
    """Side and setting by point."""
    return {
        f"{side.name}/{'/'.join(identity)}": (side.name, Setting(*identity))
        for side in sides
        for run in side.runs
        for identity in run.records.cells[["method", "label", "size"]].itertuples(index=False, name=None)
    }

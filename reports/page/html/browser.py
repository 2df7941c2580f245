"""Item browser: a page beside the report with every output, its scores and the reference, in files that scripts load from disk.

`browse.html` reads `items/index.js`, which has the scores of all outputs as columns, and then `items/text-NNN.js` with the
prompts and responses of one range of prompts each. A page that is opened from disk may load scripts and nothing else.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from markupsafe import Markup

from harness.records import Objective, Status
from reports.frontiers.judges import opinions
from reports.grids import Study
from reports.page import charts
from reports.page.html.page import fill, template_text
from reports.page.html.samples import representatives
from reports.page.palette import Style
from reports.results import Analysis
from reports.text import display_label

PAGE, FOLDER = "browse.html", "items"
CHUNK = 2**21
"""Characters of prompts and responses in one file of texts, about."""
DECIMALS = 4


def write(
    analysis: Analysis, looks: Mapping[str, Style], title: str, folder: Path, back: str = "index.html"
) -> Path | None:
    """Write the page and its files into a report's folder; None where the run has no outputs.

    Parameters
    ----------
    analysis : Analysis
    looks : mapping of str to Style
        Colour and marker by method.
    title : str
    folder : Path
    back : str
        The page that it belongs to.
    """
    rows = outputs(analysis.study)
    if rows.empty:
        return None
    items = folder / FOLDER
    items.mkdir()
    prompts = rows.drop_duplicates("cluster").reset_index(drop=True)
    texts = _texts(prompts, rows)
    for number, chunk in enumerate(texts):
        _script(items / f"text-{number:03}.js", "text", number, chunk)
    _script(items / "index.js", "index", _index(analysis, rows, [len(chunk["prompts"]) for chunk in texts]))
    page = fill(
        "browse.html.j2",
        looks,
        {},
        {name: (analysis.label(name), Markup(charts.legend(look))) for name, look in looks.items()},
        title=title,
        back=back,
        sizes=analysis.study.sizes,
        statuses=[status for status in Status if (rows.status == status.value).any()],
        objectives=_objectives(analysis.study),
        judges=[objective.label for objective in _judges(analysis.study)],
        outputs=len(rows),
        prompts=len(prompts),
        folder=FOLDER,
        browser=Markup(template_text("browse.js")),
    )
    (folder / PAGE).write_text(page, encoding="utf-8")
    return folder / PAGE


def outputs(study: Study) -> pd.DataFrame:
    """Every response with one column of scores for each objective, sorted by prompt, configuration and trial."""
    cells = study.records.cells
    generations = study.records.generations
    generations = generations[generations.cell.isin(cells.cell)]
    scores = study.records.items
    scores = scores[scores.objective.isin([objective.name for objective in _objectives(study)])]
    wide = scores.pivot_table(
        index=["cell", "item"], columns="objective", values="value", dropna=False, aggfunc="first"
    )
    order = {cell: place for place, cell in enumerate(_cells(study).cell)}
    rows = generations.merge(wide.reset_index(), "left", ["cell", "item"])
    rows = rows.assign(place=rows.cell.map(order)).sort_values(["cluster", "place", "trial", "item"], kind="stable")
    return rows.reset_index(drop=True)


def _objectives(study: Study) -> list[Objective]:
    """The objectives that outputs have a value of."""
    generated = set(study.records.generations["item"].unique())
    scored = study.records.items
    names = set(scored[scored["item"].isin(generated)].objective.unique())
    return [grid.objective for grid in study.grids.values() if grid.objective.name in names]


def _judges(study: Study) -> list[Objective]:
    """The user objectives of two judges; empty for one judge."""
    users = [each for each in opinions(study.objectives("user", "descriptive")) if each in _objectives(study)]
    return users if len(users) == 2 else []


def _cells(study: Study) -> pd.DataFrame:
    """Cells in the order of the report's points."""
    order = {point.id: place for place, point in enumerate(study.points)}
    cells = study.records.cells
    return cells.assign(place=cells.point.map(order)).sort_values(["place", "seed"], kind="stable")


def _index(analysis: Analysis, rows: pd.DataFrame, chunks: Sequence[int]) -> dict[str, Any]:
    """Everything but the texts, as columns; `first` has the row at which each prompt begins, and the end."""
    study = analysis.study
    cells, chosen = _cells(study), representatives(analysis)
    judged = [objective.name for objective in _judges(study)]
    codes, _ = pd.factorize(rows.cluster)
    return {
        "cells": {
            "label": [display_label(label) for label in cells.label],
            "method": cells.method.tolist(),
            "size": cells["size"].tolist(),
            "seed": cells.seed.astype(int).tolist(),
            "chosen": cells.point.isin(chosen).astype(int).tolist(),
        },
        "objectives": [
            {"name": o.name, "label": o.label, "maximize": o.direction == "maximize"} for o in _objectives(study)
        ],
        "judges": judged,
        "statuses": [status.value for status in Status],
        "chunks": list(chunks),
        "first": [*np.flatnonzero(np.diff(codes, prepend=-1)).tolist(), len(rows)],
        "cell": rows.place.astype(int).tolist(),
        "status": rows.status.map({status.value: i for i, status in enumerate(Status)}).tolist(),
        "trial": rows.trial.astype(int).tolist(),
        "tokens": rows.n_tokens.astype(int).tolist(),
        "scores": {
            objective.name: [
                None if value != value else value for value in rows[objective.name].round(DECIMALS).tolist()
            ]
            for objective in _objectives(study)
        },
    }


def _texts(prompts: pd.DataFrame, rows: pd.DataFrame) -> list[dict[str, list[str]]]:
    """Prompts, references and responses in chunks of whole prompts."""
    responses = rows.groupby("cluster", sort=False).response.agg(list)
    references = prompts.reference.fillna("") if "reference" in prompts else [""] * len(prompts)
    chunks: list[dict[str, list[str]]] = []
    length = CHUNK
    for prompt, reference, answers in zip(prompts.prompt, references, responses, strict=True):
        if length >= CHUNK:
            chunks.append({"prompts": [], "references": [], "responses": []})
            length = 0
        for name, texts in (("prompts", [prompt]), ("references", [reference]), ("responses", answers)):
            chunks[-1][name] += texts
            length += sum(map(len, texts))
    return chunks


def _script(path: Path, function: str, *arguments: object) -> None:
    """A file that hands its content to a function of the page, as JSON in a string: browsers read that faster than a literal."""
    text = json.dumps(arguments, separators=(",", ":"), allow_nan=False)
    path.write_text(f"browse.{function}(...JSON.parse({json.dumps(text)}));\n", encoding="ascii")

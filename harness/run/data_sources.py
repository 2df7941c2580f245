"""Sources of a run's data for the manifest: how each was read, its licence and terms, and what it was used for."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from harness.inputs.data.terms import Terms, terms_of
from harness.inputs.prompt_sets import KNOWN
from harness.plan.cells import Plan
from harness.plan.data.evaluation_prompts import EVALUATION_SETS, shared_prompts
from harness.plan.data.pair_files import PairFile
from harness.plan.shared_stages import pair_files
from harness.spec.data import OracleData, PairData, PairSource, PromptSet
from harness.store.store import Store
from trainers.data.forms.recognition import Recognised, named

PAIRS, PROMPTS, LABELS = "preference pairs", "evaluation prompts", "labels of toxicity"


@dataclass(frozen=True)
class DataSource:
    """A data set that a run used.

    Parameters
    ----------
    name : str
        A file's name, or the id of a data set on the hub.
    role : str
        What it was used for.
    form : str
        How its rows were read; empty where that is of no concern.
    terms : Terms
    note : str
        What a reader of the report has to know besides.
    """

    name: str
    role: str
    form: str
    terms: Terms
    note: str = ""

    def __str__(self) -> str:
        form = f", read as: {self.form}" if self.form else ""
        note = f"; {self.note}" if self.note else ""
        return f"{self.role} {self.name}{form}; licence: {self.terms}{note}"


def described(source: DataSource) -> dict[str, Any]:
    """A source as the manifest has it."""
    return {**asdict(source), "words": str(source), "non_commercial": source.terms.non_commercial}


def data_sources(plan: Plan, store: Store) -> list[DataSource]:
    """The sources of a plan's data; forms of the hub's data sets are known once they have been read."""
    data = plan.experiment.data
    if isinstance(data, OracleData):
        return []
    sources = list(_pairs(plan, data, store)) if isinstance(data, PairData) else []
    if data.prompts is not None:
        sources += list(_prompts(data.prompts))
    if (labelled := plan.experiment.toxicity.labelled) is not None:
        sources.append(DataSource(Path(labelled).name, LABELS, "", terms_of(labelled)))
    return sources


def _pairs(plan: Plan, data: PairData, store: Store) -> Iterator[DataSource]:
    files, read = pair_files(data), _read_forms(plan, store)
    for number, part in enumerate(data.parts):
        form: Recognised | None = named(part.form) if part.form else None
        if number in files:
            form = files[number].form
        words = str(form) if form else read[number] if number < len(read) else ""
        name = Path(part.path).name if number in files else f"{part.path} ({part.split})"
        terms = terms_of(part.path, part.licence, form.terms if form else "")
        yield DataSource(name, PAIRS, words, terms, _trained_on(data, part, files.get(number)))


def _trained_on(data: PairData, part: PairSource, file: PairFile | None) -> str:
    """Evaluation prompts among the training data, which the experiment allows."""
    if part.path in EVALUATION_SETS:
        return "a set to evaluate on, trained on (data.evaluation_prompts: train)"
    count = shared_prompts(data.prompts, file) if file is not None else 0
    return f"{count} pairs answer prompts that are evaluated on (data.evaluation_prompts: train)" if count else ""


def _read_forms(plan: Plan, store: Store) -> list[str]:
    """The forms of the data sets as the stage that read them noted them."""
    stage = next((stage for stage in plan.stages.values() if stage.kind == "pairs"), None)
    if stage is None or not store.has(stage.key):
        return []
    counts = json.loads((store.path(stage.key) / "counts.json").read_text(encoding="utf-8"))
    return list(counts.get("forms", []))


def _prompts(prompts: PromptSet) -> Iterator[DataSource]:
    if prompts.set in KNOWN and not Path(prompts.set).is_file():
        yield DataSource(prompts.set, PROMPTS, "", terms_of(KNOWN[prompts.set].repository))
    else:
        yield DataSource(Path(prompts.set).name, PROMPTS, "", terms_of(prompts.set))
    if prompts.references is not None:
        yield DataSource(Path(prompts.references).name, "reference responses", "", terms_of(prompts.references))

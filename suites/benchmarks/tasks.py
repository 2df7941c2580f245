"""The published benchmarks: lm-eval's own task definitions, and how files of one's own take the hub's place.

One table says which definition a task has, where a folder of data sets keeps its items, and what has to be done to
a row so that it has the fields of the hub's. Everything else (prompt, few-shot examples, answer filters, metrics) is
the definition's own: a task written here includes it and changes nothing but where the rows come from.
"""

from __future__ import annotations

import csv
import gzip
import importlib.util
import io
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import yaml

Part = Literal["items", "examples"]
"""What a file holds: the questions, or the rows that few-shot examples are drawn from."""
Row = dict


def as_it_is(task: str, row: Row) -> Row | None:
    """A row that has the hub's fields already."""
    return row


def bbh(task: str, row: Row) -> Row | None:
    """One file holds all 27 tasks; a row says its own."""
    return {"input": row["input"], "target": row["target"]} if task.endswith(f"_{row['task']}") else None


def mmlu(task: str, row: Row) -> Row | None:
    """One file holds all 57 subjects; a row says its own."""
    same = task == f"mmlu_{row['subject']}"
    return {name: row[name] for name in ("question", "subject", "choices", "answer")} if same else None


def hellaswag(task: str, row: Row) -> Row | None:
    """A row with the hub's fields, or one whose query and choices are cleaned already (as OLMo keeps them).

    The definition cleans ``activity_label: ctx_a ctx_b`` and the endings by itself. A blank that cleaning left at the
    beginning of a choice is kept from being stripped by an empty bracket in front, which cleaning removes.
    """
    if "endings" in row:
        return row
    label, _, context = row["query"].partition(": ")
    endings = [f"[]{choice}" if choice.startswith(" ") else choice for choice in row["choices"]]
    return {"activity_label": label, "ctx_a": context, "ctx_b": "", "endings": endings, "label": str(row["gold"])}


def lambada(task: str, row: Row) -> Row | None:
    """The whole passage as one text, given so or as the context and its last word."""
    return {"text": row["text"] if "text" in row else f"{row['context']} {row['continuation']}"}


def truthfulqa_choices(task: str, row: Row) -> Row | None:
    """A row of TruthfulQA.csv as the hub's ``multiple_choice`` set has it: the true answers come first."""
    if "mc1_targets" in row:
        return row
    best, true, false = row["Best Answer"].strip(), _answers(row["Correct Answers"]), _answers(row["Incorrect Answers"])
    return {
        "question": row["Question"],
        "mc1_targets": {"choices": [best, *false], "labels": [1] + [0] * len(false)},
        "mc2_targets": {"choices": [*true, *false], "labels": [1] * len(true) + [0] * len(false)},
    }


def truthfulqa_answers(task: str, row: Row) -> Row | None:
    """A row of TruthfulQA.csv as the hub's ``generation`` set has it."""
    if "correct_answers" in row:
        return row
    return {
        "question": row["Question"],
        "best_answer": row["Best Answer"].strip(),
        "correct_answers": _answers(row["Correct Answers"]),
        "incorrect_answers": _answers(row["Incorrect Answers"]),
    }


def _answers(text: str) -> list[str]:
    return [answer.strip() for answer in text.split(";") if answer.strip()]


@dataclass(frozen=True)
class Benchmark:
    """Tasks of lm-eval that measure one thing.

    Parameters
    ----------
    name, label : str
        The objective's name, and how figures write it.
    definition : str
        lm-eval's YAML below its ``tasks`` folder; a pattern where the benchmark has many tasks.
    metric : str
        The per-question figure that counts, a value in [0, 1]; of several answer filters the task's first.
    items, examples : str
        Patterns of the files in a folder of data sets; no examples where the definition takes none.
    row : callable
        ``(task, row of the file)`` to a row with the hub's fields; None for a row of another task.
    shots : int
        Examples per question that the definition draws from the file of examples where nothing else is asked for.
    prefix : str
        What a task's name has before the stem of its file, where `definition` is a pattern.
    runs_code : bool
        Whether answers are executed.
    """

    name: str
    label: str
    definition: str
    metric: str
    items: str
    examples: str | None = None
    row: Callable[[str, Row], Row | None] = as_it_is
    shots: int = 0
    prefix: str = ""
    runs_code: bool = False

    @property
    def definitions(self) -> dict[str, Path]:
        """lm-eval's YAML of each task, by the task's name there."""
        if "*" not in self.definition:
            return {self.name: definitions_folder() / self.definition}
        return {f"{self.prefix}{path.stem}": path for path in sorted(definitions_folder().glob(self.definition))}


BENCHMARKS: dict[str, Benchmark] = {
    benchmark.name: benchmark
    for benchmark in (
        Benchmark(
            "gsm8k",
            "GSM8K",
            "gsm8k/gsm8k.yaml",
            "exact_match",
            "gsm8k/test.jsonl*",
            "gsm8k/train.jsonl*",
            shots=5,
        ),
        Benchmark(
            "bbh",
            "BIG-Bench Hard",
            "bbh/cot_fewshot/[!_]*.yaml",
            "exact_match",
            "bbh/*tasks.jsonl*",
            row=bbh,
            prefix="bbh_cot_fewshot_",
        ),
        Benchmark(
            "humaneval", "HumanEval", "humaneval/humaneval.yaml", "pass@1", "humaneval/HumanEval.jsonl*", runs_code=True
        ),
        Benchmark(
            "truthfulqa_mc1",
            "TruthfulQA MC1",
            "truthfulqa/truthfulqa_mc1.yaml",
            "acc",
            "truthfulqa/TruthfulQA.csv*",
            row=truthfulqa_choices,
        ),
        Benchmark(
            "truthfulqa_mc2",
            "TruthfulQA MC2",
            "truthfulqa/truthfulqa_mc2.yaml",
            "acc",
            "truthfulqa/TruthfulQA.csv*",
            row=truthfulqa_choices,
        ),
        Benchmark(
            "truthfulqa_gen",
            "TruthfulQA generation (BLEU)",
            "truthfulqa/truthfulqa_gen.yaml",
            "bleu_acc",
            "truthfulqa/TruthfulQA.csv*",
            row=truthfulqa_answers,
        ),
        Benchmark(
            "hellaswag",
            "HellaSwag",
            "hellaswag/hellaswag.yaml",
            "acc_norm",
            "hellaswag*/*val*.jsonl*",
            "hellaswag*/*train*.jsonl*",
            row=hellaswag,
        ),
        Benchmark(
            "mmlu",
            "MMLU",
            "mmlu/default/mmlu_*.yaml",
            "acc",
            "mmlu/test.jsonl*",
            "mmlu/dev.jsonl*",
            row=mmlu,
        ),
        Benchmark("winogrande", "WinoGrande", "winogrande/default.yaml", "acc", "*/winogrande*.jsonl*"),
        Benchmark("piqa", "PIQA", "piqa/piqa.yaml", "acc_norm", "*/piqa.jsonl*"),
        Benchmark("openbookqa", "OpenBookQA", "openbookqa/openbookqa.yaml", "acc_norm", "*/openbookqa.jsonl*"),
        Benchmark(
            "lambada_openai", "LAMBADA", "lambada/lambada_openai.yaml", "acc", "*/lambada_openai.jsonl*", row=lambada
        ),
    )
}


def definitions_folder() -> Path:
    """lm-eval's folder of task definitions, found without importing it."""
    return Path(importlib.util.find_spec("lm_eval").submodule_search_locations[0]) / "tasks"


def tasks_of(names: Sequence[str]) -> dict[str, Benchmark]:
    """The tasks that names stand for, each with its benchmark: a benchmark stands for all of its tasks.

    Raises
    ------
    KeyError
        With the first name that is neither a benchmark nor one of their tasks.

    Examples
    --------
    >>> list(tasks_of(["gsm8k", "mmlu_anatomy"]))
    ['gsm8k', 'mmlu_anatomy']
    >>> len(tasks_of(["bbh"])), len(tasks_of(["mmlu"]))
    (27, 57)
    """
    every = {task: benchmark for benchmark in BENCHMARKS.values() for task in benchmark.definitions}
    chosen: dict[str, Benchmark] = {}
    for name in names:
        own = {name: every[name]} if name in every else dict.fromkeys(BENCHMARKS[name].definitions, BENCHMARKS[name])
        chosen |= own
    return chosen


def hub_set(definition: Path) -> tuple[str, str | None]:
    """The data set on the hub, and its configuration, that a definition reads.

    Examples
    --------
    >>> hub_set(BENCHMARKS["mmlu"].definitions["mmlu_anatomy"])
    ('cais/mmlu', 'anatomy')
    """
    own = yaml.load(definition.read_text(encoding="utf-8"), Loader=_Names)
    included = own.get("include", [])
    merged: dict = {}
    for name in included if isinstance(included, list) else [included]:
        merged |= dict(zip(("dataset_path", "dataset_name"), hub_set(definition.parent / name), strict=True))
    merged |= own
    return merged.get("dataset_path"), merged.get("dataset_name")


class _Names(yaml.SafeLoader):
    """Reads a definition without the functions it names."""


_Names.add_constructor("!function", lambda loader, node: None)


def find_files(benchmark: Benchmark, folder: Path) -> dict[Part, Path]:
    """The files of a benchmark in a folder of data sets.

    Raises
    ------
    ValueError
        If the folder has no file of the benchmark's items.
    """
    found = {
        part: next(iter(sorted(folder.glob(pattern))), None)
        for part, pattern in (("items", benchmark.items), ("examples", benchmark.examples))
        if pattern
    }
    if found["items"] is None:
        raise ValueError(f"{folder} has no file {benchmark.items} with the items of {benchmark.name}")
    return {part: path for part, path in found.items() if path is not None}


def write_tasks(
    names: Sequence[str],
    files: Mapping[str, Mapping[Part, Path]],
    folder: Path,
    fewshot: Mapping[str, int] | None = None,
) -> list[str]:
    """Write a folder of task YAMLs that ``lm_eval --include_path`` runs as well.

    Parameters
    ----------
    names : sequence of str
        Benchmarks or single tasks of `BENCHMARKS`.
    files : mapping
        Local files by benchmark; one that has none is taken from the hub.
    folder : Path
        Gets a YAML per task, and its rows as JSONL where they come from files.
    fewshot : mapping, optional
        Examples per question by benchmark, instead of the definition's own number.

    Returns
    -------
    list of str
        The tasks, by lm-eval's own names.

    Raises
    ------
    ValueError
        Naming the file: for a row that lacks a field, a task without rows, or examples that no file holds.
    """
    tasks = tasks_of(names)
    rows: dict[Path, list[Row]] = {}
    folder.mkdir(parents=True, exist_ok=True)
    for task, benchmark in tasks.items():
        settings = {"include": str(benchmark.definitions[task]), "task": task}
        shots = (fewshot or {}).get(benchmark.name)
        if shots is not None:
            settings["num_fewshot"] = shots
        own = files.get(benchmark.name, {})
        if own:
            require_examples(benchmark, own, shots)
            settings |= _local(folder, task, benchmark, own, rows)
        (folder / f"{task}.yaml").write_text(yaml.safe_dump(settings, sort_keys=False), encoding="utf-8")
    return list(tasks)


def require_examples(benchmark: Benchmark, files: Mapping[Part, Path], shots: int | None) -> None:
    """Raise unless the examples that are to be shown can be drawn from a file."""
    wanted = benchmark.shots if shots is None else shots
    if wanted and "examples" not in files:
        raise ValueError(
            f"{benchmark.name} is to show {wanted} examples, and no file holds any "
            f"(benchmarks.data.{benchmark.name}.examples names one, benchmarks.fewshot.{benchmark.name}: 0 shows none)"
        )


def _local(folder: Path, task: str, benchmark: Benchmark, files: Mapping[Part, Path], rows: dict) -> dict:
    """What the definition has to be told so that it reads these files; splits are called by what they hold."""
    written = {}
    for part, path in files.items():
        if path not in rows:
            rows[path] = list(read_rows(path))
        target = folder / f"{task}.{part}.jsonl"
        _write(target, task, benchmark, path, rows[path])
        written[part] = str(target.resolve())
    return {
        "dataset_path": "json",
        "dataset_name": None,
        # The library's cache would keep a copy of every such file for ever.
        "dataset_kwargs": {"data_files": written, "cache_dir": str((folder / "cache").resolve())},
        "test_split": "items",
        "validation_split": None,
        "training_split": None,
        "fewshot_split": "examples" if "examples" in written else None,
    }


def _write(target: Path, task: str, benchmark: Benchmark, source: Path, rows: list[Row]) -> None:
    count = 0
    with target.open("w", encoding="utf-8") as file:
        for number, row in enumerate(rows, start=1):
            try:
                adapted = benchmark.row(task, row)
            except KeyError as missing:
                fields = ", ".join(map(str, row))
                raise ValueError(
                    f"{source}: row {number}: {benchmark.name} needs {missing}, the row has {fields}"
                ) from None
            if adapted is not None:
                file.write(json.dumps(adapted, ensure_ascii=False) + "\n")
                count += 1
    if not count:
        raise ValueError(f"{source}: no row is of {task}")


def read_rows(path: Path) -> Iterator[Row]:
    """Rows of a ``.jsonl``, ``.csv`` (each also ``.gz``) or ``.parquet`` file."""
    if path.suffix == ".parquet":
        import pyarrow.parquet

        yield from pyarrow.parquet.read_table(path).to_pylist()
        return
    raw = path.read_bytes()
    text = (gzip.decompress(raw) if path.suffix == ".gz" else raw).decode("utf-8-sig")
    if ".csv" in path.suffixes:
        yield from csv.DictReader(io.StringIO(text, newline=""))
    else:
        # Not splitlines: a JSON string may hold a line separator of Unicode as it is.
        yield from (json.loads(line) for line in text.split("\n") if line.strip())

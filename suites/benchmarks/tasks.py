"""The published benchmarks: lm-eval's own task definitions, with rows from the hub or from local files.

The table `BENCHMARKS` names the definition of each task, the files of its items in a folder of data sets, and the
conversion of a row to the hub's fields (`suites.benchmarks.rows`). Prompt, few-shot examples, answer filters and metrics are
the definition's own: a task written here includes it and changes only the source of the rows.
"""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import yaml

from suites.benchmarks import rows
from suites.benchmarks.rows import Row, RowError, read_rows

Part = Literal["items", "examples"]
"""Content of a file: the questions, or the rows that few-shot examples are drawn from."""


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
    items : str
        Pattern of the file of items in a folder of data sets.
    row : callable
        ``(task, row of the file)`` to a row with the hub's fields; None for a row of another task.
    examples : str, optional
        Pattern of the file of examples; None where the definition takes none.
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
    row: Callable[[str, Row], Row | None]
    examples: str | None = None
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
            "gsm8k", "GSM8K", "gsm8k/gsm8k.yaml", "exact_match", "gsm8k/test.jsonl*", rows.gsm8k,
            examples="gsm8k/train.jsonl*", shots=5,
        ),
        Benchmark(
            "bbh", "BIG-Bench Hard", "bbh/cot_fewshot/[!_]*.yaml", "exact_match", "bbh/*tasks.jsonl*", rows.bbh,
            prefix="bbh_cot_fewshot_",
        ),
        Benchmark(
            "humaneval", "HumanEval", "humaneval/humaneval.yaml", "pass@1", "humaneval/HumanEval.jsonl*",
            rows.humaneval, runs_code=True,
        ),
        Benchmark(
            "truthfulqa_mc1", "TruthfulQA MC1", "truthfulqa/truthfulqa_mc1.yaml", "acc",
            "truthfulqa/TruthfulQA.csv*", rows.truthfulqa_choices,
        ),
        Benchmark(
            "truthfulqa_mc2", "TruthfulQA MC2", "truthfulqa/truthfulqa_mc2.yaml", "acc",
            "truthfulqa/TruthfulQA.csv*", rows.truthfulqa_choices,
        ),
        Benchmark(
            "truthfulqa_gen", "TruthfulQA generation (BLEU)", "truthfulqa/truthfulqa_gen.yaml", "bleu_acc",
            "truthfulqa/TruthfulQA.csv*", rows.truthfulqa_answers,
        ),
        Benchmark(
            "hellaswag", "HellaSwag", "hellaswag/hellaswag.yaml", "acc_norm", "hellaswag*/*val*.jsonl*",
            rows.hellaswag, examples="hellaswag*/*train*.jsonl*",
        ),
        Benchmark(
            "mmlu", "MMLU", "mmlu/default/mmlu_*.yaml", "acc", "mmlu/test.jsonl*", rows.mmlu,
            examples="mmlu/dev.jsonl*",
        ),
        Benchmark(
            "winogrande", "WinoGrande", "winogrande/default.yaml", "acc", "*/winogrande*.jsonl*", rows.winogrande
        ),
        Benchmark("piqa", "PIQA", "piqa/piqa.yaml", "acc_norm", "*/piqa.jsonl*", rows.piqa),
        Benchmark(
            "openbookqa", "OpenBookQA", "openbookqa/openbookqa.yaml", "acc_norm", "*/openbookqa.jsonl*",
            rows.openbookqa,
        ),
        Benchmark(
            "lambada_openai", "LAMBADA", "lambada/lambada_openai.yaml", "acc", "*/lambada_openai.jsonl*", rows.lambada
        ),
    )
}  # fmt: skip


def definitions_folder() -> Path:
    """lm-eval's folder of task definitions, found without importing it."""
    spec = importlib.util.find_spec("lm_eval")
    if spec is None or not spec.submodule_search_locations:
        raise ModuleNotFoundError("lm_eval is not installed")
    return Path(spec.submodule_search_locations[0]) / "tasks"


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


def hub_set(definition: Path) -> tuple[str | None, str | None]:
    """The data set on the hub, and its configuration, that a definition reads.

    Examples
    --------
    >>> hub_set(BENCHMARKS["mmlu"].definitions["mmlu_anatomy"])
    ('cais/mmlu', 'anatomy')
    """
    own = yaml.load(definition.read_text(encoding="utf-8"), Loader=_Names)
    included = own.get("include", [])
    merged: dict[str, Any] = {}
    for name in included if isinstance(included, list) else [included]:
        merged |= dict(zip(("dataset_path", "dataset_name"), hub_set(definition.parent / name), strict=True))
    merged |= own
    return merged.get("dataset_path"), merged.get("dataset_name")


class _Names(yaml.SafeLoader):  # type: ignore[misc]  # PyYAML is published without type information
    """Loader of a definition without the functions that it names."""


_Names.add_constructor("!function", lambda loader, node: None)


def find_files(benchmark: Benchmark, folder: Path) -> dict[Part, Path]:
    """The files of a benchmark in a folder of data sets.

    Raises
    ------
    ValueError
        If the folder has no file of the benchmark's items.
    """
    patterns: dict[Part, str | None] = {"items": benchmark.items, "examples": benchmark.examples}
    files = {part: min(folder.glob(pattern), default=None) for part, pattern in patterns.items() if pattern}
    if files["items"] is None:
        raise ValueError(f"{folder} has no file {benchmark.items} with the items of {benchmark.name}")
    return {part: path for part, path in files.items() if path is not None}


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
        Naming the file: for a row with a missing or unusable field, a task without rows, or examples that no file has.
    """
    tasks = tasks_of(names)
    loaded: dict[Path, list[dict[str, Any]]] = {}
    folder.mkdir(parents=True, exist_ok=True)
    for task, benchmark in tasks.items():
        settings: dict[str, Any] = {"include": str(benchmark.definitions[task]), "task": task}
        shots = (fewshot or {}).get(benchmark.name)
        if shots is not None:
            settings["num_fewshot"] = shots
        own = files.get(benchmark.name, {})
        if own:
            require_examples(benchmark, own, shots)
            settings |= _local(folder, task, benchmark, own, loaded)
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


def _local(
    folder: Path,
    task: str,
    benchmark: Benchmark,
    files: Mapping[Part, Path],
    loaded: dict[Path, list[dict[str, Any]]],
) -> dict[str, Any]:
    """Settings that make the definition read local files; its splits are named after their content."""
    written: dict[str, str] = {}
    for part, path in files.items():
        if path not in loaded:
            loaded[path] = list(read_rows(path))
        target = folder / f"{task}.{part}.jsonl"
        _write(target, task, benchmark, path, loaded[path])
        written[part] = str(target.resolve())
    return {
        "dataset_path": "json",
        "dataset_name": None,
        # In its default cache folder the library would keep a copy of every such file.
        "dataset_kwargs": {"data_files": written, "cache_dir": str((folder / "cache").resolve())},
        "test_split": "items",
        "validation_split": None,
        "training_split": None,
        "fewshot_split": "examples" if "examples" in written else None,
    }


def _write(target: Path, task: str, benchmark: Benchmark, source: Path, rows: Sequence[Row]) -> None:
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
            except RowError as error:
                raise ValueError(f"{source}: row {number}: {error}") from None
            if adapted is not None:
                file.write(json.dumps(adapted, ensure_ascii=False) + "\n")
                count += 1
    if not count:
        raise ValueError(f"{source}: no row is of {task}")

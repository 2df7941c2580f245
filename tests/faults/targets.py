"""Kinds of files that a user gives: examples, a mutation of them, the code that reads them, and the command that does."""

from __future__ import annotations

import gzip
import io
import json
import random
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import yaml

from harness.errors import UsageError
from harness.inputs.prompt_sets import file_rows, read_prompts, read_references
from harness.inputs.results import read_results
from harness.plan.cells import make_plan
from harness.records import TABLES, SchemaError
from harness.spec.loading import SHIPPED, load
from reports.analysis import analyse
from reports.nightly import history
from reports.nightly.gate import Thresholds, judge
from reports.run_folder import Refused, read
from suites.benchmarks.tasks import BENCHMARKS, write_tasks
from suites.toxicity.labels import read_labelled
from tests.faults.mutations import mutate_bytes, mutate_table, mutate_value
from tests.paths import ROOT
from tests.paths import TOY as TOY_FILE
from trainers.data.forms import forms
from trainers.data.records import read_mixture
from trainers.data.rows import DataError

TOY = Path(TOY_FILE)
Seed = tuple[str, bytes]
"""A file's suffix and content."""


@dataclass(frozen=True)
class Target:
    """One kind of file.

    Parameters
    ----------
    seeds : list of Seed
        Good files.
    check : callable
        Reads a file; an exception of `refusals` with one line is a refusal, any other one a fault.
    refusals : tuple of type
    command : callable
        The arguments of ``prefrontier`` that read the file.
    exits : tuple of int
        Exit codes of that command, whatever the file holds.
    """

    seeds: Sequence[Seed]
    mutate: Callable[[Seed, Seed, random.Random], Seed]
    check: Callable[[Path], object]
    refusals: tuple[type[Exception], ...]
    command: Callable[[Path], list[str]]
    exits: tuple[int, ...] = (0, 4)


def targets(folder: Path) -> dict[str, Target]:
    """Every kind, with the files that several checks need below `folder`."""
    hh = ["plan", "hh", "--set"]
    pairs = folder / "pairs.jsonl"
    pairs.write_bytes(_lines([_pair(number) for number in range(400)]))
    own = [f"data.path={pairs}", "--set"]
    run = _run_folder(folder / "run")
    return {
        "experiment": Target(_experiments(), _text(_yaml), _plan, (UsageError,), lambda file: ["plan", str(file)]),
        "pairs": Target(
            _pair_files(), _text(_rows), _read_pairs, (DataError,), lambda file: [*hh, f"data.path={file}"]
        ),
        "prompts": Target(
            _prompt_files(), _text(_rows), _read_prompts, (UsageError,), lambda file: [*hh, *own, f"data.prompts.set={file}"]
        ),
        "results": Target(
            _result_files(), _text(_rows), read_results, (UsageError,), lambda file: [*hh, *own, f"methods={{mine: {{generations: '{file}'}}}}"]
        ),
        "labels": Target(
            _label_files(), _text(_cells), read_labelled, (ValueError,), lambda file: [*hh, *own, f"toxicity.labelled={file}"]
        ),
        "benchmark": Target(
            _benchmark_files(), _text(_rows), partial(_read_benchmark, folder / "tasks"), (ValueError,), partial(_benchmark, own)
        ),
        "records": Target(
            _record_files(run), _record, partial(_read_records, run, folder / "work"), (SchemaError, Refused),
            partial(_report, run, folder / "command"),
        ),
        "baseline": Target(
            _baseline_files(run), _record, partial(_judge, run, folder / "work"), (SchemaError, Refused, UsageError),
            partial(_gate, run, folder / "command"), (0, 1, 3, 4, 5),
        ),
    }  # fmt: skip


def _text(structured: Callable[[Seed, random.Random], Seed]) -> Callable[[Seed, Seed, random.Random], Seed]:
    """Mutate a file by its bytes or by what it holds."""

    def mutate(seed: Seed, other: Seed, rng: random.Random) -> Seed:
        if rng.random() < 0.65:
            try:
                seed = structured(seed, rng)
            except Exception:  # the example is itself a mutated file, which nothing may be able to read
                return seed[0], mutate_bytes(seed[1], rng, other[1])
            if rng.random() < 0.8:
                return seed
        return seed[0], mutate_bytes(seed[1], rng, other[1])

    return mutate


# Experiments


def _experiments() -> list[Seed]:
    files = [*SHIPPED.glob("*.yaml"), *(ROOT / "tests" / "harness").glob("*.yaml")]
    return [(".yaml", file.read_bytes()) for file in sorted(files)]


def _yaml(seed: Seed, rng: random.Random) -> Seed:
    value = mutate_value(yaml.safe_load(seed[1]), rng)
    return ".yaml", yaml.safe_dump(value, allow_unicode=True, sort_keys=False).encode("utf-8", "surrogatepass")


def _plan(file: Path) -> object:
    return make_plan(load(str(file)))


# Rows: pairs, prompts, benchmarks


def _pair(number: int) -> dict[str, str]:
    return {"prompt": f"What is {number}?", "chosen": f" It is {number}.", "rejected": " No idea."}


def _lines(rows: Sequence[Any]) -> bytes:
    return b"".join(json.dumps(row, ensure_ascii=False).encode("utf-8", "surrogatepass") + b"\n" for row in rows)


def _forms(rows: Sequence[Any]) -> list[Seed]:
    """Rows in every kind of file."""
    lines = _lines(rows)
    return [
        (".jsonl", lines),
        (".jsonl.gz", gzip.compress(lines)),
        (".parquet", _parquet(rows) or _parquet(rows[:1]) or b"PAR1"),
    ]


def _parquet(rows: Sequence[Any]) -> bytes | None:
    """Rows as a Parquet file; None where it cannot hold them."""
    out = io.BytesIO()
    try:
        pd.DataFrame(rows).to_parquet(out)
    except Exception:  # the library raises many types
        return None
    return out.getvalue()


def _pair_files() -> list[Seed]:
    rows = {name: [dict(row) for row in _examples(name)] for name in sorted(forms())}
    tables = [(".csv", pd.DataFrame(some).to_csv(index=False).encode()) for some in rows.values()]
    tables.append((".tsv", b"prompt\tchosen\trejected\nWhy?\t So.\t No.\nHow?\t Thus.\t No.\n"))
    return [seed for some in rows.values() for seed in [*_forms(some), (".json", json.dumps(some).encode())]] + tables


def _examples(name: str) -> Sequence[Any]:
    from trainers.data.forms import create

    return create(name).examples


def _rows(seed: Seed, rng: random.Random) -> Seed:
    """Mutate the values of a file of rows; a Parquet file may become JSON lines where it cannot hold them."""
    suffix, content = seed
    if suffix == ".csv":
        return _cells(seed, rng)
    if suffix == ".parquet":
        rows = pd.read_parquet(io.BytesIO(content)).to_dict("records")
    else:
        text = gzip.decompress(content) if suffix.endswith(".gz") else content
        rows = json.loads(text) if suffix == ".json" else [json.loads(line) for line in text.splitlines()]
    rows = mutate_value(rows, rng)
    if suffix == ".json":
        return suffix, json.dumps(rows).encode()
    rows = rows if isinstance(rows, list) else [rows]
    if suffix == ".parquet":
        table = _parquet(rows)
        return (suffix, table) if table else (".jsonl", _lines(json.loads(json.dumps(rows, default=str))))
    lines = _lines(rows)
    return suffix, gzip.compress(lines) if suffix.endswith(".gz") else lines


def _read_pairs(file: Path) -> object:
    """Read in every form; a file that all refuse is refused."""
    refusal: Exception | None = None
    records = None
    for name in sorted(forms()):
        for on_invalid in ("drop", "error"):
            try:
                records = read_mixture([(file, "train", name)], on_invalid=on_invalid)
            except DataError as error:
                one_line(error)
                refusal = error
    if records is None and refusal is not None:
        raise refusal
    return records


def _prompt_files() -> list[Seed]:
    rows: list[list[dict[str, Any]]] = [
        [{"instruction": "Why?", "output": "So.", "dataset": "x"}, {"instruction": "How?", "input": "Now", "output": "Thus."}],
        [{"id": "a", "instruction": "Do", "instances": [{"input": "x", "output": "y"}]}],
        [{"question_id": 1, "category": "c", "turns": ["Why?", "And?"], "reference": ["r", "s"]}, {"question_id": 2, "turns": ["How?"]}],
        [{"question_id": 1, "answer_id": "q", "choices": [{"index": 0, "turns": ["So.", "Yes."]}]}],
        [{"prompt_id": 5, "prompt": ["Why?", "And?"], "reference": []}, {"prompt": "How?", "reference": "Thus."}],
    ]  # fmt: skip
    return [seed for some in rows for seed in [*_forms(some), (".json", json.dumps(some).encode())]]


def _read_prompts(file: Path) -> object:
    try:
        read_references(file_rows(file))
    except UsageError as error:
        one_line(error)
    return read_prompts(file_rows(file))


@cache
def _benchmark_rows() -> dict[str, list[dict[str, Any]]]:
    """A few rows of each benchmark, in its hub form."""
    return {
        "gsm8k": [{"question": "1 + 1?", "answer": "It is 2.\n#### 2"}],
        "hellaswag": [{"ind": 1, "activity_label": "A", "ctx_a": "He", "ctx_b": "runs", "ctx": "He runs", "endings": ["a", "b", "c", "d"], "label": "1"}],
        "mmlu": [{"question": "Which?", "choices": ["a", "b", "c", "d"], "answer": 2, "subject": "anatomy"}],
        "piqa": [{"goal": "Eat", "sol1": "a", "sol2": "b", "label": 0}],
        "winogrande": [{"sentence": "A _ b", "option1": "x", "option2": "y", "answer": "1"}],
        "openbookqa": [{"question_stem": "Which?", "choices": {"text": ["a", "b", "c", "d"], "label": ["A", "B", "C", "D"]}, "answerKey": "A"}],
        "lambada": [{"text": "the end is here"}],
    }  # fmt: skip


def _benchmark_files() -> list[Seed]:
    return [seed for name, rows in _benchmark_rows().items() if name in BENCHMARKS for seed in _forms(rows)] + [
        (".csv", b"goal,sol1,sol2,label\nEat,a,b,0\n"),
        (".csv", b"question,choices,answer,subject\nWhich?,\"['a', 'b', 'c', 'd']\",C,anatomy\n"),
    ]


def _read_benchmark(folder: Path, file: Path) -> object:
    """Convert as each benchmark whose rows are alike; a file that all refuse is refused."""
    refusal: Exception | None = None
    made = []
    for name in _benchmark_rows():
        if name not in BENCHMARKS:
            continue
        shutil.rmtree(folder, ignore_errors=True)
        try:
            made += write_tasks([next(iter(BENCHMARKS[name].definitions))], {name: {"items": file}}, folder, {name: 0})
        except ValueError as error:
            one_line(error)
            refusal = error
    if not made and refusal is not None:
        raise refusal
    return made


def _benchmark(own: list[str], file: Path) -> list[str]:
    spec = f"benchmarks={{tasks: [piqa], data: {{piqa: '{file}'}}, fewshot: 0}}"
    return ["plan", "hh", "--set", *own, spec, "--set", "suites=[style, benchmark]"]


# Results of models that were run elsewhere


def _result_files() -> list[Seed]:
    outputs = [
        {"instruction": "Why?", "output": "So.", "generator": "mine"},
        {"instruction": "How?", "output": "", "generator": "mine"},
    ]
    judged = {
        "instruction": "Why?",
        "output_1": "So.",
        "output_2": "No.",
        "preference": 1.5,
        "annotator": "a",
        "generator_2": "mine",
    }
    sample = {
        "epoch": 1, "input": "Why?", "output": {"choices": [{"message": {"content": "So."}}]},
        "scores": {"match": {"value": "C"}, "length": {"value": {"words": 1}}},
    }  # fmt: skip
    log = {"version": 2, "status": "success", "eval": {"task": "t", "model": "mine"}, "samples": [sample]}
    asked = {
        "doc_id": 0, "doc": {"question": "Why?"}, "target": "So.", "arguments": [["Why?", " So."]], "resps": [["So."]],
        "filtered_resps": ["So."], "exact_match": 1.0,
    }  # fmt: skip
    scores = [
        {"prompt": "Why?", "id": "a", "trial": 0, "win_rate": 0.5},
        {"prompt": "How?", "id": "b", "trial": 0, "win_rate": 1},
    ]
    files = [*_forms(outputs), *_forms([judged]), *_forms([asked]), *_forms(scores)]
    return [
        *files,
        (".json", json.dumps(log).encode()),
        (".json", json.dumps([judged]).encode()),
        (".csv", b"prompt,response\nWhy?,So.\n"),
    ]


# Labels


def _label_files() -> list[Seed]:
    texts = [
        "text,is_toxic\nhello,Not Toxic\nyou fool,Toxic\n",
        "id,comment_text,toxic,severe_toxic,obscene,threat,insult,identity_hate\n1,hello,0,0,0,0,0,0\n2,fool,1,0,0,0,1,0\n",
        ",count,hate_speech,offensive_language,neither,class,tweet\n0,3,0,0,3,2,hi\n1,3,0,3,0,1,bad\n",
        'comment_text,toxicity,obscene\n"a, b",0.2,0.0\n"c\nd",0.9,0.5\n',
    ]
    plain = [(".csv", text.encode()) for text in texts]
    return [*plain, *((".csv.gz", gzip.compress(content)) for _, content in plain)]


def _cells(seed: Seed, rng: random.Random) -> Seed:
    suffix, content = seed
    text = gzip.decompress(content) if suffix.endswith(".gz") else content
    table = mutate_table(pd.read_csv(io.BytesIO(text), dtype=str, keep_default_na=False), rng)
    out = table.to_csv(index=False, errors="replace").encode("utf-8", "replace")
    return suffix, gzip.compress(out) if suffix.endswith(".gz") else out


# Records and baselines. A seed's suffix is the file's path within the run folder.


def _run_folder(folder: Path) -> Path:
    """A small run with everything that reports and gates read."""
    from tests.reports.nights import night, prompts, write

    effects = prompts(np.random.default_rng(0), 12)
    about = {"name": "toy", "title": "A toy", "description": "d"}
    return write(
        folder, night(np.random.default_rng(0), effects), experiment=about, caveat="c", failures=[], budgets={"dpo": 1}
    )


def _record_files(run: Path) -> list[Seed]:
    return [
        *((f"records/{name}.parquet", (run / "records" / f"{name}.parquet").read_bytes()) for name in TABLES),
        ("manifest.json", (run / "manifest.json").read_bytes()),
    ]


def _baseline_files(run: Path) -> list[Seed]:
    yaml_file = ("experiment.resolved.yaml", (run / "experiment.resolved.yaml").read_bytes())
    header = ",".join(history.COLUMNS)
    return [*_record_files(run), yaml_file, ("history/0001.csv", f"{header}\n".encode())]


def _record(seed: Seed, other: Seed, rng: random.Random) -> Seed:
    name, content = seed
    if rng.random() < 0.3:
        return name, mutate_bytes(content, rng, other[1])
    try:
        if name.endswith(".parquet"):
            out = io.BytesIO()
            table = mutate_table(pd.read_parquet(io.BytesIO(content)), rng)
            table.to_parquet(out)
            return name, out.getvalue()
        if name.endswith(".json"):
            return name, json.dumps(mutate_value(json.loads(content), rng)).encode()
        if name.endswith(".yaml"):
            return name, _yaml((".yaml", content), rng)[1]
    except Exception:  # what such a file cannot hold
        pass
    return name, mutate_bytes(content, rng, other[1])


def place(run: Path, work: Path, file: Path) -> Path:
    """The run folder with one file replaced by a mutated one, whose name holds the path with dots for slashes."""
    shutil.rmtree(work, ignore_errors=True)
    shutil.copytree(run, work)
    target = work / file.name.partition("-")[2].replace("+", "/")
    target.parent.mkdir(exist_ok=True)
    shutil.copy2(file, target)
    return work


def _read_records(run: Path, work: Path, file: Path) -> object:
    stored = read(place(run, work, file))
    return analyse(stored.records, 20, 0)


def _judge(run: Path, work: Path, file: Path) -> object:
    stored = read(place(run, work, file))
    history.read(work / "history")
    return judge(read(run), stored, Thresholds(), 20)


def _report(run: Path, work: Path, file: Path) -> list[str]:
    return ["report", str(place(run, work, file))]


def _gate(run: Path, work: Path, file: Path) -> list[str]:
    return ["gate", str(run), "--baseline", str(place(run, work, file))]


def one_line(error: Exception) -> None:
    """Raise `AssertionError` for a message that the command cannot show as one line of readable length."""
    text = str(error)
    assert text.strip(), "an empty message"
    assert len(text) <= 1500, f"a message of {len(text):,} characters: {text[:300]!r}"

"""Published benchmarks of an experiment, resolved to tasks and files before anything runs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.errors import UsageError, nearest
from harness.plan.stage import File
from harness.spec.evaluation import Benchmarks

if TYPE_CHECKING:
    from suites.benchmarks.tasks import Benchmark, Part


def benchmark_stage(spec: Benchmarks) -> tuple[dict[str, Any], dict[str, File]]:
    """The parameters and the file inputs of `score_benchmark`; inputs are called ``BENCHMARK/items|examples``.

    Raises
    ------
    UsageError
        Naming the key: for an unknown task, a file that is not there, or code execution that is not permitted.
    """
    from suites.benchmarks.tasks import BENCHMARKS, require_examples, tasks_of

    try:
        chosen = tasks_of(spec.tasks)
    except KeyError as unknown:
        name = str(unknown.args[0])
        choices = [*BENCHMARKS, *(task for benchmark in BENCHMARKS.values() for task in benchmark.definitions)]
        raise UsageError(f"benchmarks.tasks: unknown benchmark {name!r}{nearest(name, choices)}") from None
    used = {benchmark.name: benchmark for benchmark in chosen.values()}
    for name, benchmark in used.items():
        if benchmark.runs_code and not spec.allow_code_execution:
            raise UsageError(
                f"benchmarks.tasks: {name} runs programs that the model writes; "
                "benchmarks.allow_code_execution: true permits it (in a process with limits, not in a container)"
            )
    fewshot = spec.fewshot if isinstance(spec.fewshot, dict) else dict.fromkeys(used, spec.fewshot)
    for section, names in (("data", spec.data if isinstance(spec.data, dict) else ()), ("fewshot", fewshot)):
        for name in names:
            if name not in used:
                raise UsageError(f"benchmarks.{section}: {name!r} is not among the benchmarks{nearest(name, used)}")
    parameters = {
        "tasks": list(chosen),
        "fewshot": fewshot,
        "limit": spec.limit,
        "batch_size": spec.batch_size,
        "allow_code_execution": spec.allow_code_execution,
    }
    inputs: dict[str, File] = {}
    for name, benchmark in used.items():
        files = _files(spec, benchmark)
        if files:
            try:
                require_examples(benchmark, files, fewshot.get(name))
            except ValueError as missing:
                raise UsageError(f"benchmarks.data: {missing}") from None
        inputs |= {f"{name}/{part}": File(path) for part, path in files.items()}
    return parameters, inputs


def _files(spec: Benchmarks, benchmark: Benchmark) -> dict[Part, Path]:
    from suites.benchmarks.tasks import find_files

    if isinstance(spec.data, str):
        folder = Path(spec.data)
        if not folder.is_dir():
            raise UsageError(f"benchmarks.data: {folder}: no such folder")
        try:
            return find_files(benchmark, folder)
        except ValueError as missing:
            raise UsageError(f"benchmarks.data: {missing}") from None
    own = spec.data.get(benchmark.name)
    if own is None:
        return {}
    named: dict[Part, str] = {"items": own if isinstance(own, str) else own.items}
    if not isinstance(own, str) and own.examples is not None:
        named["examples"] = own.examples
    for part, path in named.items():
        if not Path(path).is_file():
            raise UsageError(f"benchmarks.data.{benchmark.name}.{part}: {path}: no such file")
    return {part: Path(path) for part, path in named.items()}

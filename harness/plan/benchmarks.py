"""What an experiment says about published benchmarks, resolved to tasks and files before anything runs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from harness.errors import UsageError, nearest
from harness.plan.stage import File
from harness.spec.evaluation import Benchmarks


def benchmark_stage(spec: Benchmarks) -> tuple[dict[str, Any], dict[str, File]]:
    """The parameters and the file inputs of `score_benchmark`; inputs are called ``BENCHMARK/items|examples``.

    Raises
    ------
    UsageError
        Naming the key: for an unknown task, a file that is not there, or code execution without leave.
    """
    from suites.benchmarks.tasks import BENCHMARKS, require_examples, tasks_of

    try:
        chosen = tasks_of(spec.tasks)
    except KeyError as unknown:
        name = str(unknown.args[0])
        known = [*BENCHMARKS, *(task for found in BENCHMARKS.values() for task in found.definitions)]
        raise UsageError(f"benchmarks.tasks: unknown benchmark {name!r}{nearest(name, known)}") from None
    used = {found.name: found for found in chosen.values()}
    for name, found in used.items():
        if found.runs_code and not spec.allow_code_execution:
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
    inputs = {}
    for name, found in used.items():
        files = _files(spec, found)
        if files:
            try:
                require_examples(found, files, fewshot.get(name))
            except ValueError as missing:
                raise UsageError(f"benchmarks.data: {missing}") from None
        inputs |= {f"{name}/{part}": File(path) for part, path in files.items()}
    return parameters, inputs


def _files(spec: Benchmarks, benchmark) -> dict[str, Path]:
    from suites.benchmarks.tasks import find_files

    if isinstance(spec.data, str):
        folder = Path(spec.data)
        if not folder.is_dir():
            raise UsageError(f"benchmarks.data: {folder}: no such folder")
        try:
            return find_files(benchmark, folder)
        except ValueError as missing:
            raise UsageError(f"benchmarks.data: {missing}") from None
    given = spec.data.get(benchmark.name)
    if given is None:
        return {}
    named = {"items": given} if isinstance(given, str) else given.model_dump(exclude_none=True)
    for part, path in named.items():
        if not Path(path).is_file():
            raise UsageError(f"benchmarks.data.{benchmark.name}.{part}: {path}: no such file")
    return {part: Path(path) for part, path in named.items()}

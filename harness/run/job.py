"""Jobs: stages in the form that a worker process receives, and their execution."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any

from harness.errors import StageFailed, described
from harness.plan.stage import File, Model, Stage
from harness.plugins import load_plugins, plugin_file
from harness.store.store import Store
from suites.judges.redaction import redact


@dataclass(frozen=True)
class Job:
    """A stage made plain: what a worker process needs, and nothing that is slow to pickle."""

    kind: str
    label: str
    key: str
    module: str
    parameters: Mapping[str, Any]
    inputs: Mapping[str, str]
    """Artifact keys; external files and folders as ``file:PATH``, the store's caches as ``cache:NAME``."""
    store: Path
    settings: Mapping[str, Any] = field(default_factory=dict)
    plugins: tuple[str, ...] = ()
    """Files of the user's that hold code of the stage."""

    @classmethod
    def of(cls, stage: Stage, store: Store) -> Job:
        inputs = {
            name: f"file:{source.path}" if isinstance(source, File | Model) else source.key
            for name, source in stage.inputs.items()
        }
        plugins = tuple(str(file) for module in stage.code if (file := plugin_file(module)))
        return cls(
            stage.kind,
            stage.label,
            stage.key,
            stage.module,
            stage.parameters,
            inputs,
            store.root,
            stage.settings,
            plugins,
        )


def execute(job: Job, progress: Callable[..., None] | None = None) -> float:
    """Run one job into the store and return its seconds; nothing is done where the artifact is whole.

    Of several processes with the same job one computes, and the others wait for it.
    """
    store = Store(job.store)
    if store.get(job.key) is None:
        with store.lock(job.key):
            if store.get(job.key) is None:
                _compute(job, store, progress)
    return float(store.manifest(job.key)["seconds"])


def attempt(job: Job, progress: Callable[..., None] | None = None) -> float:
    """`execute` for another process: the traceback of an error goes to this one's output.

    Raises
    ------
    StageFailed
        For any error of the stage.
    """
    try:
        return execute(job, progress)
    except Exception as error:
        print(redact(traceback.format_exc()), file=sys.stderr, flush=True)
        raise StageFailed(described(error)) from None


def _compute(job: Job, store: Store, progress: Callable[..., None] | None) -> None:
    load_plugins(job.plugins)
    folders = {name: _resolve(store, name, source) for name, source in job.inputs.items()}
    run = import_module(job.module).run
    about = {"kind": job.kind, "label": job.label, "parameters": job.parameters, "inputs": job.inputs}
    with store.writing(job.key, about) as out:
        run({**job.parameters, **job.settings}, folders, out, progress)


def _resolve(store: Store, name: str, source: str) -> Path:
    if source.startswith("file:"):
        return Path(source.removeprefix("file:"))
    if source.startswith("cache:"):
        return store.cache(source.removeprefix("cache:"))
    folder = store.path(source)
    if not store.has(source):
        raise FileNotFoundError(f"input {name!r} ({source}) is not in the store")
    return folder

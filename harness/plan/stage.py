"""Stages of a plan: a kind with parameters and inputs, and the key of the artifact that they determine."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from harness.plan.fingerprint import fingerprint
from harness.spec.experiment import Experiment
from harness.store.store import sha256

_JSON = json.JSONEncoder(sort_keys=True)


@dataclass(frozen=True)
class File:
    """A file of the user's as an input, identified by its bytes."""

    path: Path

    @cached_property
    def key(self) -> str:
        return sha256(self.path)


@dataclass(frozen=True)
class Model:
    """A checkpoint of the user's as an input, identified by the bytes of its files.

    Examples
    --------
    >>> import tempfile
    >>> one, moved = (Path(tempfile.mkdtemp()) for _ in range(2))
    >>> for folder in (one, moved):
    ...     _ = (folder / "config.json").write_text("{}")
    >>> Model.folder(one).key == Model.folder(moved).key
    True
    """

    path: Path
    files: tuple[Path, ...]
    """Part of the key with their names relative to `path`'s folder."""

    @classmethod
    def folder(cls, path: Path) -> Model:
        """All files of a folder except hidden ones, which no library loads."""
        files = (file for file in path.rglob("*") if file.is_file())
        return cls(path, tuple(f for f in files if not any(p.startswith(".") for p in f.relative_to(path).parts)))

    @classmethod
    def file(cls, path: Path) -> Model:
        """A checkpoint file, with the configuration and the tokenizer that lie beside it."""
        beside = (file for pattern in ("*.json", "*.txt", "*.model") for file in path.parent.glob(pattern))
        return cls(path, (path, *beside))

    @cached_property
    def key(self) -> str:
        root = self.path if self.path.is_dir() else self.path.parent
        rows = sorted([file.relative_to(root).as_posix(), sha256(file)] for file in set(self.files))
        return hashlib.sha256(json.dumps(rows).encode()).hexdigest()


@dataclass(frozen=True)
class Cache:
    """A folder of the store that stages share; its contents save work and change no result."""

    name: str

    @property
    def key(self) -> str:
        return f"cache:{self.name}"


@dataclass(frozen=True, eq=False)
class Stage:
    """One step of a plan.

    Its module has the function ``run(parameters, inputs, out, progress)``, which turns the inputs' folders into the
    artifact's folder.

    Parameters
    ----------
    kind : str
        Name of a module in ``harness.stages``, unless `runner` names one.
    label : str
        Name in progress, logs and errors; not part of the key.
    parameters : mapping
        JSON values; everything that determines the artifact besides inputs and code.
    inputs : mapping of str to Stage, File, Model or Cache
    settings : mapping
        JSON values that say how the stage runs and not what it makes (a time limit, a budget); no part of the key.
    code : tuple of str
        Modules beyond the kind's own whose source determines the artifact (a method's file).
    runner : str
        Module in ``harness.stages`` that runs several kinds; empty for the kind's own.
    """

    kind: str
    label: str
    parameters: Mapping[str, Any] = field(default_factory=dict)
    inputs: Mapping[str, Source] = field(default_factory=dict)
    code: tuple[str, ...] = ()
    settings: Mapping[str, Any] = field(default_factory=dict)
    runner: str = ""

    @property
    def module(self) -> str:
        """Name of the module that runs the stage."""
        return f"harness.stages.{self.runner or self.kind}"

    @cached_property
    def key(self) -> str:
        identity = {
            "kind": self.kind,
            "code": fingerprint((self.module, *self.code)),
            "parameters": self.parameters,
            "inputs": {name: source.key for name, source in self.inputs.items()},
        }
        return hashlib.sha256(_JSON.encode(identity).encode()).hexdigest()[:32]

    @property
    def requires(self) -> list[Stage]:
        """The stages among the inputs."""
        return [source for source in self.inputs.values() if isinstance(source, Stage)]


Source = Stage | File | Model | Cache
"""An input of a stage."""


def device_settings(experiment: Experiment) -> dict[str, Any]:
    """Settings of every stage that runs a model: the device that trains the policies."""
    return {"device": experiment.training.get("device", "cpu")}

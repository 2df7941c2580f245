"""One alignment from a YAML file: ``python -m trainers FILE``, on several processes ``torchrun ... -m trainers FILE``.

The file has the keys ``method``, ``base``, ``data`` and ``out`` and may have ``parameters`` (the method's), ``training``
(a `TrainConfig`), ``references``, ``reference_logps``, ``rewards``, ``objective_weights`` and ``prompt_states``, all as
for `trainers.align.align`.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import yaml
from accelerate import PartialState

from trainers.align import align
from trainers.config import Progress, TrainConfig
from trainers.methods import create
from trainers.processes import is_first

REQUIRED = ("method", "base", "data", "out")
OPTIONAL = ("parameters", "training", "references", "reference_logps", "rewards", "objective_weights", "prompt_states")


def main(file: str) -> None:
    """Align with the settings of `file`; the first process reports."""
    settings = yaml.safe_load(Path(file).read_text(encoding="utf-8"))
    if not isinstance(settings, dict):
        raise SystemExit(f"{file}: a mapping of settings is expected")
    if missing := [key for key in REQUIRED if key not in settings]:
        raise SystemExit(f"{file}: lacks {', '.join(missing)}")
    if unknown := sorted(set(settings) - {*REQUIRED, *OPTIONAL}):
        raise SystemExit(f"{file}: unknown key {unknown[0]!r}; known are {', '.join((*REQUIRED, *OPTIONAL))}")
    try:
        method = create(settings.pop("method"), **settings.pop("parameters", {}))
        training = settings.pop("training", {})
        on_gpu = training.get("device", "cpu").startswith("cuda")
        processes = PartialState(cpu=not on_gpu)
        if on_gpu:
            training["device"] = str(processes.device)
        config = TrainConfig(**training)
    except (TypeError, ValueError) as error:
        raise SystemExit(f"{file}: {error}") from None
    base, data, out = (settings.pop(key) for key in ("base", "data", "out"))
    try:
        result = align(method, base, data, config, out, **settings, progress=_report)
        if is_first():
            print(f"{result.checkpoint}: {result.steps} steps, {result.tokens:,} tokens, {result.seconds:.0f} s")
    finally:
        processes.destroy_process_group()


def _report(progress: Progress) -> None:
    print(f"step {progress.step}/{progress.total_steps}  loss {progress.loss:.4f}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        prog="python -m trainers", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("file", help="YAML, as above")
    main(parser.parse_args().file)

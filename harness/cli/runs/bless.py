"""The verb ``bless``: a run becomes the baseline that later runs are compared with."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from harness.cli.answer import Answer
from harness.errors import UsageError
from harness.run.provenance import command
from reports.nightly.baseline import bless
from reports.run_folder import Refused


def make_baseline(run_dir: Path, baseline: Path, reason: str) -> Answer:
    """Copy the run as the next baseline and print what is guarded no longer."""
    try:
        made, dropped = bless(run_dir, baseline, reason, command(), datetime.now(UTC))
    except Refused as error:
        raise UsageError(str(error)) from error
    print(f"baseline: {made}")
    if dropped:
        print(
            f"{len(dropped)} cells of the baseline before are not in it and are guarded no longer: {'; '.join(dropped)}"
        )
    return Answer(facts={"baseline": made, "no_longer_guarded": dropped})

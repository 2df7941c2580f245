"""The tracker ``tensorboard``: event files in ``trackers/tensorboard`` of the run, one folder for each cell."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

from harness.run.trackers import TrackedCell, TrackedRun, register

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter


@register("tensorboard", package="tensorboard")
def log(run: TrackedRun) -> None:
    """Write event files; those of an earlier run in the same folder are replaced."""
    import numpy as np
    from PIL import Image
    from torch.utils.tensorboard import SummaryWriter

    folder = run.place("tensorboard")
    shutil.rmtree(folder)
    for cell in run.cells:
        with SummaryWriter(str(folder / cell.name)) as writer:
            _log_cell(writer, cell)
    with SummaryWriter(str(folder / "frontier")) as writer:
        for name, table in run.tables.items():
            writer.add_text(name, table.to_markdown(index=False))
        for name, file in run.figures.items():
            with Image.open(file) as image:
                writer.add_image(name, np.asarray(image.convert("RGB")), dataformats="HWC")


def _log_cell(writer: SummaryWriter, cell: TrackedCell) -> None:
    for step, metrics in cell.curves.items():
        for metric, value in metrics.items():
            writer.add_scalar(f"training/{metric}", value, step)
    scores = {f"scores/{objective}": value for objective, value in cell.scores.items()}
    # The tab "HParams" compares the cells; the run name "." keeps the figures in the cell's own folder.
    writer.add_hparams(dict(cell.settings), scores, run_name=".", global_step=cell.last_step)

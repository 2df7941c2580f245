"""Time profile of a training step: `python -m tests.performance.profile_step [--precision P] [--large | --sweep]`.

Shares of the profiler's self time over a few gradients of DPO on the benchmark's workload, by kind of operation. Shares,
unlike seconds, bear other work on the machine.
"""

from __future__ import annotations

import argparse
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch.profiler import ProfilerActivity, profile

from tests.performance.gradients import dpo_objective
from tests.performance.sides import BATCH
from tests.performance.sweep import CONFIG, WAYS, prepare_sweep
from tests.performance.train_step import LARGEST
from tests.performance.workload import MODEL
from trainers import sweep
from trainers.methods import create
from trainers.model.packing import shuffled
from trainers.sweep import Run, align_together

KINDS = {
    "matrix products": ("aten::mm", "aten::addmm"),
    "batched products and attention": (
        "aten::_scaled_dot_product_flash_attention_for_cpu",
        "aten::bmm",
        "aten::baddbmm",
        "aten::_softmax",
    ),
    "copies and casts": ("aten::copy_", "aten::cat", "aten::_to_copy", "aten::fill_", "aten::empty_strided"),
    "log-softmax": ("aten::exp_", "aten::sub_", "aten::logsumexp", "aten::amax", "aten::sub"),
}
"""Operations by the beginning of their names; what is left is element-wise arithmetic and bookkeeping."""


def shares(work: Callable[[], object]) -> dict[str, float]:
    """Share of self time by kind."""
    with profile(activities=[ProfilerActivity.CPU]) as seen:
        work()
    times: Counter[str] = Counter()
    for event in seen.key_averages():
        if not event.key.startswith("USDT"):
            kind = next((kind for kind, names in KINDS.items() if event.key.startswith(names)), "everything else")
            times[kind] += event.self_cpu_time_total
    return {kind: spent / times.total() for kind, spent in times.most_common()}


def steps(dtype: str, large: bool) -> Callable[[], object]:
    """Three gradients of DPO."""
    objective = dpo_objective(dtype, batches=4, model=LARGEST if large else MODEL)
    batches = shuffled(len(objective.encoded), BATCH, 0)
    objective.backward(next(batches), 0)
    return lambda: [objective.backward(next(batches), 0) for _ in range(3)]


@contextmanager
def sweep_in_step() -> Iterator[Callable[[], object]]:
    """Eight policies of `tests.performance.sweep`, 96 steps of 8 pairs, from one stacked pass."""
    sweep.STACK_BELOW = WAYS["in step"]
    with tempfile.TemporaryDirectory() as folder:
        base, pairs, files = prepare_sweep(Path(folder), 512)
        config = replace(CONFIG, batch_size=8, max_steps=96)
        methods = [create("dpo", beta=beta) for beta in np.geomspace(0.1, 1.0, 8)]
        runs = [Run(method, config, Path(folder) / str(number)) for number, method in enumerate(methods)]
        yield lambda: align_together(runs, base, pairs, reference_logps=files)


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m tests.performance.profile_step", description=__doc__.split("\n")[0]
    )
    parser.add_argument("--precision", choices=("bfloat16", "float32"), default="float32")
    parser.add_argument("--threads", type=int, default=1)
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--large", action="store_true", help="the largest benchmarked size")
    what.add_argument("--sweep", action="store_true", help="a sweep of eight small policies instead, in step, float32")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    with sweep_in_step() if options.sweep else nullcontext(steps(options.precision, options.large)) as work:
        for kind, share in shares(work).items():
            print(f"{100 * share:5.1f} %  {kind}")


if __name__ == "__main__":
    main()

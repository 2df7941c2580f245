"""Where a training step's time goes: `python -m tests.performance.profile_step [--precision P] [--threads N]`.

Shares of the profiler's self time over a few gradients of DPO on the benchmark's workload, by kind of operation.
Shares, unlike seconds, bear other work on the machine.
"""

from __future__ import annotations

import argparse
from collections import Counter

import torch
from torch.profiler import ProfilerActivity, profile

from tests.performance.sides import BATCH
from tests.performance.train_step import LARGEST, dpo_objective
from tests.performance.workload import MODEL
from trainers.packing import shuffled

KINDS = {
    "matrix products": ("aten::mm", "aten::addmm"),
    "attention": ("aten::_scaled_dot_product_flash_attention_for_cpu", "aten::bmm", "aten::baddbmm", "aten::_softmax"),
    "copies and casts": ("aten::copy_", "aten::cat", "aten::_to_copy", "aten::fill_", "aten::empty_strided"),
    "log-softmax": ("aten::exp_", "aten::sub_", "aten::logsumexp", "aten::amax", "aten::sub"),
}
"""Operations by the beginning of their names; what is left is element-wise arithmetic and bookkeeping."""


def shares(dtype: str, threads: int, large: bool) -> dict[str, float]:
    """Share of self time by kind."""
    torch.set_num_threads(threads)
    objective = dpo_objective(dtype, batches=4, model=LARGEST if large else MODEL)
    batches = shuffled(len(objective.encoded), BATCH, 0)
    objective.backward(next(batches), 0)
    with profile(activities=[ProfilerActivity.CPU]) as seen:
        for _ in range(3):
            objective.backward(next(batches), 0)
    times: Counter[str] = Counter()
    for event in seen.key_averages():
        if not event.key.startswith("USDT"):
            kind = next((kind for kind, names in KINDS.items() if event.key.startswith(names)), "everything else")
            times[kind] += event.self_cpu_time_total
    return {kind: spent / times.total() for kind, spent in times.most_common()}


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m tests.performance.profile_step", description=__doc__.split("\n")[0]
    )
    parser.add_argument("--precision", choices=("bfloat16", "float32"), default="float32")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--large", action="store_true", help="the largest benchmarked size")
    given = parser.parse_args()
    for kind, share in shares(given.precision, given.threads, given.large).items():
        print(f"{100 * share:5.1f} %  {kind}")


if __name__ == "__main__":
    main()

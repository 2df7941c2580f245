"""The two trainers of the comparison, each in a process of its own that takes steps on request.

`python -m tests.performance.sides '{...}'` reads numbers of steps from standard input, a line each, and answers with
one line of JSON for every line: first what the set-up took, then seconds and losses, at end of input the peak memory.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tests.performance.workload import CONTEXT, Workload

if TYPE_CHECKING:
    from trl import DPOConfig

BATCH = 8
BETA = 0.1
LEARNING_RATE = 1e-4
MAX_GRAD_NORM = 10.0


@dataclass(frozen=True)
class Settings:
    """Settings of a side.

    Parameters
    ----------
    side : {"ours", "trl"}
    folder : str
        Of the workload.
    dtype : {"float32", "bfloat16"}
    threads : int
    precompute : bool
        Whether TRL's reference is computed before training. Ours always is.
    checkpointing : bool
        Whether TRL computes activations again in the backward pass, its default.
    micro_batch_tokens : int
        Ours: tokens that go through the model at once.
    """

    side: str
    folder: str
    dtype: str = "float32"
    threads: int = 1
    precompute: bool = True
    checkpointing: bool = False
    micro_batch_tokens: int = 16384


class Turns:
    """Hands control back and forth: the trainer reports every step, and waits when its turn is over."""

    def __init__(self) -> None:
        self.answers = os.fdopen(os.dup(1), "w")
        os.dup2(2, 1)  # whatever a library prints is no answer
        self.left, self.losses, self.began = 0, [], 0.0

    def answer(self, **values) -> None:
        print(json.dumps(values), file=self.answers, flush=True)

    def ready(self, reference_seconds: float, baseline: float) -> None:
        """Set up; wait for the first turn."""
        self.answer(reference_seconds=reference_seconds, baseline=baseline)
        self._wait()

    def step(self, loss: float) -> None:
        """One step done."""
        self.losses.append(loss)
        self.left -= 1
        if not self.left:
            self.answer(seconds=time.perf_counter() - self.began, losses=self.losses)
            self._wait()

    def _wait(self) -> None:
        line = sys.stdin.readline()
        if not line:
            peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
            self.answer(peak=peak)
            sys.exit()
        self.left, self.losses, self.began = int(line), [], time.perf_counter()


def resident() -> float:
    """Memory of this process now, MiB."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 2**20


def ours(settings: Settings, workload: Workload, turns: Turns) -> None:
    """The parts of `trainers.align` between loading and saving."""
    import torch

    from trainers.config import TrainConfig
    from trainers.data.tokenizer import load_tokenizer
    from trainers.methods import create
    from trainers.model.loading import layout_for, load
    from trainers.model.response_logprobs import score_all
    from trainers.objective.gradient import MethodInputs, Objective
    from trainers.optim.loop import fit
    from trainers.optim.optimizer import Group

    baseline = resident()
    config = TrainConfig(
        learning_rate=LEARNING_RATE,
        batch_size=BATCH,
        optimizer="adamw",
        warmup_steps=0,
        max_grad_norm=MAX_GRAD_NORM,
        dtype=settings.dtype,
        micro_batch_tokens=settings.micro_batch_tokens,
        log_every=1,
    )
    policy = load(workload.folder)
    encoded = workload.encoded(load_tokenizer(workload.folder), BATCH, config.seed)
    layout = layout_for(policy, encoded.longest(), config.micro_batch_tokens)
    began = time.perf_counter()
    reference = torch.from_numpy(score_all(policy, encoded, layout, config))
    seconds = time.perf_counter() - began
    desirable = torch.tensor([[True, False]]).expand(len(encoded), 2)
    method_inputs = MethodInputs(desirable, reference[None])
    objective = Objective(create("dpo", beta=BETA), policy, None, encoded, method_inputs, layout, config)
    groups = [Group("policy", list(policy.parameters()), config.learning_rate, config.max_grad_norm)]
    turns.ready(seconds, baseline)
    fit(
        {"policy": policy},
        groups,
        objective.backward,
        encoded.ids,
        config,
        workload.folder / "no-state",
        {},
        lambda progress: turns.step(progress.loss),
    )


def trl(settings: Settings, workload: Workload, turns: Turns) -> None:
    """DPOTrainer on the same pairs in the same order, with its fused head and no truncation."""
    import tempfile

    import torch
    from datasets import Dataset
    from transformers import AutoModelForCausalLM, AutoTokenizer, TrainerCallback
    from trl import DPOTrainer

    baseline = resident()

    class Watched(DPOTrainer):
        reference_seconds = 0.0

        def _precompute_ref_logps(self, *arguments):
            began = time.perf_counter()
            result = super()._precompute_ref_logps(*arguments)
            self.reference_seconds = time.perf_counter() - began
            return result

        def training_step(self, *arguments, **options):
            self.last_loss = super().training_step(*arguments, **options)
            return self.last_loss

    class Report(TrainerCallback):
        def on_step_end(self, *arguments, **options):
            turns.step(trainer.last_loss.item())

    model = AutoModelForCausalLM.from_pretrained(workload.folder, dtype=torch.float32, attn_implementation="sdpa")
    rows = [{"prompt": p.prompt, "chosen": p.chosen, "rejected": p.rejected} for p in workload.pairs]
    with tempfile.TemporaryDirectory() as out:
        trainer = Watched(
            model,
            AutoModelForCausalLM.from_pretrained(workload.folder, dtype=torch.float32)
            if not settings.precompute
            else None,
            _trl_config(settings, out),
            train_dataset=Dataset.from_list(rows),
            processing_class=AutoTokenizer.from_pretrained(workload.folder),
            callbacks=[Report()],
        )
        turns.ready(trainer.reference_seconds, baseline)
        trainer.train()


def _trl_config(settings: Settings, out: str) -> DPOConfig:
    """The settings of `ours` in TRL's words."""
    from trl import DPOConfig

    return DPOConfig(
        out,
        beta=BETA,
        max_length=CONTEXT,
        precompute_ref_log_probs=settings.precompute,
        precompute_ref_batch_size=BATCH,
        gradient_checkpointing=settings.checkpointing,
        per_device_train_batch_size=BATCH,
        learning_rate=LEARNING_RATE,
        lr_scheduler_type="constant",
        warmup_steps=0,
        weight_decay=0.0,
        max_grad_norm=MAX_GRAD_NORM,
        optim="adamw_torch_fused",
        train_sampling_strategy="sequential",
        num_train_epochs=1,
        bf16=settings.dtype == "bfloat16",
        use_cpu=True,
        dataloader_pin_memory=False,
        logging_strategy="no",
        save_strategy="no",
        report_to="none",
        disable_tqdm=True,
    )


class Side:
    """A side's process, seen from the one that compares."""

    def __init__(self, settings: Settings, workload: Workload) -> None:
        file = workload.folder / "workload.json"
        file.write_text(json.dumps([asdict(pair) for pair in workload.pairs]))
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.performance.sides", json.dumps(asdict(settings))],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=os.environ
            | {
                "OMP_NUM_THREADS": str(settings.threads),
                "HF_DATASETS_DISABLE_PROGRESS_BARS": "1",
                "HF_HUB_OFFLINE": "1",
                "TQDM_DISABLE": "1",
                "TOKENIZERS_PARALLELISM": "false",
            },
        )
        # Two sides that set themselves up at once would measure each other.
        setup = self._answer()
        self.reference_seconds, self.baseline = setup["reference_seconds"], setup["baseline"]

    def steps(self, n: int) -> tuple[float, list[float]]:
        """Take `n` steps: seconds, and every step's loss."""
        self.process.stdin.write(f"{n}\n")
        self.process.stdin.flush()
        answer = self._answer()
        return answer["seconds"], answer["losses"]

    def peak(self) -> float:
        """End the process; its peak memory in MiB."""
        self.process.stdin.close()
        peak = self._answer()["peak"]
        self.process.wait()
        return peak

    def _answer(self) -> dict:
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError(f"a side ended early:\n{self.process.stderr.read()[-3000:]}")
        return json.loads(line)


@contextmanager
def sides(settings: dict[str, Settings], workload: Workload) -> Iterator[dict[str, Side]]:
    """Processes by name, ended whatever happens."""
    started: dict[str, Side] = {}
    try:
        for name, method_inputs in settings.items():
            started[name] = Side(method_inputs, workload)
        yield started
    finally:
        for side in started.values():
            side.process.kill()
            side.process.wait()


def main() -> None:
    import torch

    from trainers.data.records import Pair

    turns = Turns()
    settings = Settings(**json.loads(sys.argv[1]))
    torch.set_num_threads(settings.threads)
    folder = Path(settings.folder)
    pairs = [Pair(**row) for row in json.loads((folder / "workload.json").read_text())]
    {"ours": ours, "trl": trl}[settings.side](settings, Workload(folder, pairs, ""), turns)


if __name__ == "__main__":
    main()

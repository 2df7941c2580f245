"""Several policies from one base in one process, with shared preparation and, where steps are short, a shared pass.

The policies of a sweep differ in hyperparameters, learning rate or method. Those that see the same examples in the
same order get their hidden states from one pass over stacked parameters (`torch.func`); from there on, and for
clipping, the optimizer, the curve and resumable states, each runs exactly as `trainers.align.align` runs it.
"""

from __future__ import annotations

import copy
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.func import functional_call, vmap

from trainers.align import alignment
from trainers.config import TrainConfig, TrainResult
from trainers.data.records import Example, Pair
from trainers.methods.registry import Method
from trainers.model.causal_lm import Head, decoder_and_head
from trainers.model.packing import Layout, example_sizes
from trainers.objective.base_cache import BaseCache, preparation
from trainers.objective.gradient import Objective
from trainers.objective.method_inputs import InputSources
from trainers.objective.reference import reference_logps as write_reference_logps
from trainers.optim.loop import Step, Steps, drive

STACK_BELOW = 64 * 768
"""Tokens of a step times the model's width, below which starting operations costs more than the arithmetic.

Measured on one core with `python -m tests.performance.sweep`: the stacked pass needs fewer operations, but their
results leave the processor's caches. On other devices operations are far cheaper than starting them.
"""


@dataclass(frozen=True)
class Run:
    """One policy of several: the arguments of `trainers.align.align` that are its own."""

    method: Method
    config: TrainConfig
    out: Path


def align_together(
    runs: Sequence[Run],
    base: str | Path,
    data: str | Path | Sequence[Pair] | Sequence[Example],
    *,
    reference_logps: Sequence[str | Path] = (),
    rewards: str | Path | None = None,
    objective_weights: Mapping[str, float] | None = None,
) -> list[TrainResult | Exception]:
    """Align several policies; each ends as `trainers.align.align` alone would have ended it.

    Data is encoded, and reference and starting point are scored, once for all. Runs with the same seed and batch
    size whose methods need the same are trained in step where steps are short, and one after the other otherwise.

    Parameters
    ----------
    runs : sequence of Run
    base, data, reference_logps, rewards, objective_weights
        As for `align`; without `reference_logps` the base is the reference, scored once.

    Returns
    -------
    list of TrainResult or Exception
        In the order of `runs`. A policy that fails leaves its exception here and does not stop the others.
    """
    results: list[TrainResult | Exception | None] = [None] * len(runs)
    made: dict[tuple[TrainConfig, bool], tuple[BaseCache, Sequence[str | Path]]] = {}
    with tempfile.TemporaryDirectory() as folder:

        def begin(number: int) -> Steps[TrainResult]:
            run = runs[number]
            settings = preparation(run.config), run.method.needs.base_responses
            if settings not in made:
                base_cache = BaseCache.from_base(base, data, run.config, run.method.needs.base_responses)
                files = reference_logps
                per_token = any(r.method.needs.token_level for r in runs)
                quantised = run.config.lora and run.config.lora.bits
                if not files and not quantised and any(r.method.needs.references for r in runs):
                    file = Path(folder) / f"reference{len(made)}.parquet"
                    files = [write_reference_logps(base, base_cache.records, run.config, file, per_token)]
                made[settings] = base_cache, files
            base_cache, files = made[settings]
            files = files if run.method.needs.references else ()
            sources = InputSources((), files, rewards, objective_weights or {})
            return alignment(run.method, base, data, run.config, run.out, sources, base_cache=base_cache)

        def alike(number: int) -> str:
            run = runs[number]
            same = ("seed", "batch_size", "lora", "gradient_checkpointing")
            return repr((preparation(run.config), run.method.needs, [getattr(run.config, n) for n in same]))

        for _, group in groupby(sorted(range(len(runs)), key=alike), key=alike):
            numbers = list(group)
            begun = [begin(number) for number in numbers]
            config = runs[numbers[0]].config
            base_cache = made[preparation(config), runs[numbers[0]].method.needs.base_responses][0]
            train = _in_step if len(numbers) > 1 and _is_short(base_cache, config) else _in_turn
            for number, result in zip(numbers, train(begun), strict=True):
                results[number] = result
    return [result for result in results if result is not None]


def _is_short(base_cache: BaseCache, config: TrainConfig) -> bool:
    """Whether steps are short enough for stacking to be faster, and the model supports it."""
    tokens = config.batch_size * example_sizes(base_cache.encoded, base_cache.layout).mean()
    return (
        base_cache.layout.shared
        and not config.gradient_checkpointing
        and tokens * base_cache.layout.hidden < STACK_BELOW
    )


def _in_turn(runs: list[Steps[TrainResult]]) -> list[TrainResult | Exception]:
    def end(run: Steps[TrainResult]) -> TrainResult | Exception:
        try:
            return drive(run)
        except Exception as fault:  # whatever it is, it is this policy's alone
            return fault

    return [end(run) for run in runs]


def _in_step(runs: list[Steps[TrainResult]]) -> list[TrainResult | Exception]:
    """Take runs to their ends, every step of all of them from one pass."""
    results: dict[int, TrainResult | Exception] = {}
    asked: dict[int, tuple[Objective, np.ndarray, int]] = {}

    def advance(number: int, outcome: Step | None) -> None:
        asked.pop(number, None)
        try:
            backward, batch, step = next(runs[number]) if outcome is None else runs[number].send(outcome)
            if not isinstance(backward, Objective):
                raise TypeError(f"{type(backward).__name__} has no policy that could be stacked")
            asked[number] = backward, batch, step
        except StopIteration as end:
            results[number] = end.value
        except Exception as fault:
            results[number] = fault

    for number in range(len(runs)):
        advance(number, None)
    stack = Stack([objective for objective, _, _ in asked.values()])
    while asked:
        # A resumed run may be ahead of the others, and waits.
        now = min(step for _, _, step in asked.values())
        outcomes: dict[int, Step] = {}
        for number, (objective, batch, step) in list(asked.items()):
            if step == now:
                try:
                    outcomes[number] = objective(batch, step)
                except Exception as fault:
                    del asked[number]
                    results[number] = fault
        stack.backward()
        for number, outcome in outcomes.items():
            advance(number, outcome)
    return [results[number] for number in range(len(runs))]


class Stack:
    """The decoders of several policies as one, for as long as all of them are given the same rows.

    An objective's policy is replaced by a slot of the stack. The first slot that is called with some rows computes
    the hidden states of all policies, the others find theirs. An objective differentiates down to its own hidden
    states; `backward` takes these gradients through the decoders, all at once.
    """

    def __init__(self, objectives: Sequence[Objective]) -> None:
        decoders, heads = zip(*(decoder_and_head(objective.policy) for objective in objectives), strict=True)
        # Batched matrix products take the place of fused attention, which has no rule for stacked inputs.
        self._decoder = copy.deepcopy(decoders[0])
        self._decoder.set_attn_implementation("eager")
        self.parameters = [{n: p for n, p in d.named_parameters() if p.requires_grad} for d in decoders]
        self._passes: list[tuple[Tensor, Tensor, tuple[Tensor, ...]]] = []
        self._slots = [_Slot(self, number, head) for number, head in enumerate(heads)]
        for objective, slot in zip(objectives, self._slots, strict=True):
            objective.policy = slot
            objective.layout = Layout(True, objective.layout.hidden, objective.layout.micro_batch_tokens)

    def states(self, slot: _Slot, inputs: Mapping[str, Any]) -> Tensor:
        """The hidden states of one policy for its next inputs."""
        if slot.passed == len(self._passes):
            stacked = {name: torch.stack([own[name] for own in self.parameters]) for name in self.parameters[0]}
            states = vmap(lambda own: functional_call(self._decoder, own, kwargs=dict(inputs)).last_hidden_state)(
                stacked
            )
            leaves = tuple(part.detach().requires_grad_(states.requires_grad) for part in states)
            self._passes.append((inputs["input_ids"], states, leaves))
        ids, _, leaves = self._passes[slot.passed]
        if not torch.equal(ids, inputs["input_ids"]):
            raise RuntimeError("policies that are trained in step were given different rows")
        slot.passed += 1
        return leaves[slot.number]

    def backward(self) -> None:
        """Propagate the gradients of the hidden states to the parameters, and clear the passes."""
        for _, states, leaves in self._passes:
            if states.requires_grad:
                gradients = torch.stack([torch.zeros_like(p) if p.grad is None else p.grad for p in leaves])
                torch.autograd.backward(states, gradients)
        self._passes.clear()
        for slot in self._slots:
            slot.passed = 0


class _Slot(nn.Module):
    """One policy of a stack, as `trainers.model.logprobs.score` sees a model: a decoder and a head."""

    def __init__(self, stack: Stack, number: int, head: Head) -> None:
        super().__init__()
        self.number, self.passed = number, 0
        self._stack, self._head = stack, head

    @property
    def base_model(self) -> _Slot:
        return self

    def get_output_embeddings(self) -> Head:
        return self._head

    def parameters(self, recurse: bool = True) -> Iterator[nn.Parameter]:
        return iter(self._stack.parameters[self.number].values())

    def forward(self, **inputs: Any) -> SimpleNamespace:
        return SimpleNamespace(last_hidden_state=self._stack.states(self, inputs))

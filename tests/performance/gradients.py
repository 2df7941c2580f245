"""Gradients of a batch, timed in one process: a method beside its base, compiled beside plain, and as sizes grow."""

from __future__ import annotations

import copy
import tempfile
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import nn
from transformers import LlamaConfig, LlamaForCausalLM

from tests.performance.section import LEAN, Scale, Table, spread
from tests.performance.sides import BATCH, BETA
from tests.performance.workload import MODEL, prepare
from trainers.config import ModelConfig, TrainConfig
from trainers.data.encoded import Encoded
from trainers.data.tokenizer import load_tokenizer
from trainers.methods import create
from trainers.model.loading import layout_for, load
from trainers.model.packing import Layout, shuffled
from trainers.model.response_logprobs import score_all
from trainers.objective.gradient import MethodInputs, Objective
from trainers.objective.reference import mismatched
from trainers.objective.value_head import ValueHead


def dpo_objective(dtype: str, batches: int, model: ModelConfig = MODEL) -> Objective:
    """DPO on the benchmark's pairs, `batches` batches of them, its reference computed."""
    config = TrainConfig(batch_size=BATCH, dtype=dtype, micro_batch_tokens=LEAN)
    policy, encoded, layout = _prepared(config, batches, model)
    reference = torch.from_numpy(score_all(policy, encoded, layout, config))
    method_inputs = MethodInputs(torch.tensor([[True, False]]).expand(len(encoded), 2), reference[None])
    return Objective(create("dpo", beta=BETA), policy, None, encoded, method_inputs, layout, config)


def _prepared(
    config: TrainConfig, batches: int, model: ModelConfig = MODEL, *, longest: int = MODEL.context
) -> tuple[nn.Module, Encoded, Layout]:
    """A fresh policy, that many batches of the benchmark's pairs, and how it takes them."""
    with tempfile.TemporaryDirectory() as folder:
        workload = prepare(Path(folder), batches * BATCH, model, longest=longest)
        policy = load(workload.folder)
        encoded = workload.encoded(load_tokenizer(workload.folder), BATCH, 0)
    return policy, encoded, layout_for(policy, encoded.longest(), config.micro_batch_tokens)


def in_turn(objectives: Mapping[str, Objective], repetitions: int, step: int) -> dict[str, list[float]]:
    """Seconds of each objective's gradients, after one to warm up: the same batches, the order changing sides."""
    seconds: dict[str, list[float]] = {name: [] for name in objectives}
    batches = shuffled(len(next(iter(objectives.values())).encoded), BATCH, 0)
    for repetition in range(repetitions + 1):
        batch = next(batches)
        for name in sorted(objectives, reverse=bool(repetition % 2)):
            objectives[name].policy.zero_grad(set_to_none=True)
            began = time.perf_counter()
            objectives[name].backward(batch, step)
            seconds[name].append(time.perf_counter() - began)
    return seconds


def upo_over_kto(dtype: str, scale: Scale, threads: int) -> list[Table]:
    """A step of UPO with KTO as its base beside a step of KTO: the same policy, the same batches, in turn."""
    torch.set_num_threads(threads)
    config = TrainConfig(batch_size=BATCH, dtype=dtype)
    policy, encoded, layout = _prepared(config, 4, longest=scale.longest)
    others = mismatched(encoded, MODEL.context)
    reference, other = (torch.from_numpy(score_all(policy, part, layout, config)) for part in (encoded, others))
    desirable = torch.tensor([[True, False]]).expand(len(encoded), 2)
    method_inputs = MethodInputs(
        desirable, reference[None], torch.linspace(0, 1, desirable.numel()).view(-1, 2), others, other[:, 0]
    )
    objectives = {
        "kto": Objective(create("kto", beta=BETA), policy, None, encoded, method_inputs, layout, config),
        "upo": Objective(
            create("upo", base="kto", base_parameters={"beta": BETA}),
            policy,
            ValueHead(MODEL.hidden, seed=0),
            encoded,
            method_inputs,
            layout,
            config,
        ),
    }
    seconds = in_turn(objectives, scale.repetitions, step=1000)
    ratios = np.array(seconds["upo"][1:]) / np.array(seconds["kto"][1:])
    error = 1.25 * ratios.std(ddof=1) / np.sqrt(len(ratios))
    row = {
        "KTO, s/step": spread(seconds["kto"][1:]),
        "UPO, s/step": spread(seconds["upo"][1:]),
        "UPO costs more by": f"{100 * (np.median(ratios) - 1):+.2f} % ± {100 * error:.2f} % (standard error)",
    }
    return [Table(f"UPO over its base, gradient of a batch, {dtype}, {threads} thread(s)", [row])]


def compiled(dtype: str, scale: Scale, threads: int) -> list[Table]:
    """A gradient with every layer under `torch.compile` beside the same without: the same batches, in turn."""
    torch.set_num_threads(threads)
    eager = dpo_objective(dtype, batches=8)
    other = replace(eager, policy=copy.deepcopy(eager.policy))
    for layer in other.policy.base_model.layers:
        layer.compile(dynamic=True)
    objectives = {"eager": eager, "compiled": other}
    seconds = in_turn(objectives, scale.repetitions, step=0)
    gradients = [torch.cat([p.grad.flatten() for p in o.policy.parameters()]) for o in objectives.values()]
    # Shapes that were not seen before are compiled anew, mostly in the first half.
    late = len(seconds["eager"]) // 2
    ratios = np.array(seconds["compiled"][late:]) / np.array(seconds["eager"][late:])
    row = {
        "steps": len(seconds["eager"]),
        "s, eager": round(sum(seconds["eager"]), 1),
        "s, compiled": round(sum(seconds["compiled"]), 1),
        "compiled over eager in the second half": spread(ratios),
        "relative difference of the gradients": float((gradients[1] - gradients[0]).norm() / gradients[0].norm()),
    }
    return [Table(f"torch.compile, gradient of a batch of DPO, {dtype}, {threads} thread(s)", [row])]


def growth(dtype: str, scale: Scale, threads: int) -> list[Table]:
    """Seconds of a gradient as data, prompts and the vocabulary grow, each alone."""
    torch.set_num_threads(threads)
    base = {"pairs": 8, "prompt": 32, "vocabulary": 1024}
    tables = []
    for what, start in base.items():
        rows = []
        for factor in scale.growth:
            best = min(_seconds(**(base | {what: start * factor}), dtype=dtype) for _ in range(2))
            rows.append({what: start * factor, "×": factor, "s": round(best, 4)})
        for row in rows:
            row["s over 1×"] = f"{row['s'] / rows[0]['s']:.2f}"
        tables.append(Table(f"Growth with {what}, {dtype}, {threads} thread(s)", rows))
    return tables


def _seconds(pairs: int, prompt: int, vocabulary: int, dtype: str) -> float:
    """The gradient of DPO on made-up pairs, responses of 32 tokens, in batches of 8."""
    at = np.arange(2 * pairs).reshape(pairs, 2) * 32 + pairs * prompt
    responses = np.stack([at, np.full_like(at, 32)], -1)
    prompts = np.stack([np.arange(pairs) * prompt, np.full(pairs, prompt)], -1)
    tokens = np.random.default_rng(0).integers(0, vocabulary, pairs * (prompt + 64)).astype(np.int32)
    ids = [str(i) for i in range(pairs)]
    encoded = Encoded(
        ids, ("chosen", "rejected"), tokens, prompts, responses, np.ones((pairs, 2), bool), np.arange(pairs)
    )
    torch.manual_seed(0)
    model = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=vocabulary,
            hidden_size=MODEL.hidden,
            intermediate_size=MODEL.intermediate,
            num_hidden_layers=MODEL.layers,
            num_attention_heads=MODEL.heads,
            max_position_embeddings=MODEL.context,
        )
    ).eval()
    config = TrainConfig(batch_size=BATCH, dtype=dtype)
    method_inputs = MethodInputs(torch.tensor([[True, False]]).expand(pairs, 2), torch.zeros(1, pairs, 2))
    layout = layout_for(model, encoded.longest(), config.micro_batch_tokens)
    objective = Objective(create("dpo", beta=BETA), model, None, encoded, method_inputs, layout, config)
    objective.backward(np.arange(BATCH), 0)
    began = time.perf_counter()
    for first in range(0, pairs, BATCH):
        objective.backward(np.arange(first, first + BATCH), 0)
    return time.perf_counter() - began

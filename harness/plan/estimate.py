"""Rough cost of a stage before it runs: tokens through a model, seconds on one core, hours and memory of a GPU.

The seconds come from a few rates measured with the shipped experiments. They order the work and tell an hour from a
minute, nothing finer.
"""

from __future__ import annotations

import json
import re
from functools import cache
from itertools import islice
from pathlib import Path

from harness.inputs.gguf import Header, read_header
from harness.inputs.prompt_sets import KNOWN, file_rows
from harness.plan.stage import File, Model, Stage
from trainers.config import TrainConfig
from trainers.model.memory import Shape, memory

GPU_FLOPS_PER_SECOND = 312e12 * 0.35
"""Of an A100 in bfloat16, at the share of its peak that training reaches."""
GPU_BYTES_PER_SECOND = 1.5e12
"""Bandwidth of its memory, which bounds generation: every weight is read for every token of a batch."""
FLOPS_PER_SECOND = 2e10
"""Of one core on small fp32 models, all overhead included."""
LARGE = 10**8
"""Number of parameters from which matrix products outweigh the overhead."""
LARGE_FLOPS_PER_SECOND = {"float32": 5e10, "bfloat16": 1.5e11}
"""Of one core on such models, by the precision of matrix products."""
EMULATED_FLOPS_PER_SECOND = 1.7e10
"""In bfloat16, of a processor that has no instructions for it."""
WORLD_WORDS = 100
LIMITED = ("align", "reference", "prompt_states", "judge_states")
"""Kinds of stage that leave out or cut what is longer than their limits."""
SAMPLED = 1000
"""Rows of a file whose lengths are looked at."""
CHARACTERS = 4
"""Of a token, on average."""
FIXED_SECONDS = {
    "world": 2.0,
    "train_toxicity": 10.0,
    "enumeration": 3.0,
    "align": 2.0,
    "align_online": 5.0,
    "train_judge": 120.0,
    "dequantised": 40.0,
    "score_benchmark": 0.5,
    "score_steer": 8.0,
}
"""Seconds beyond those for tokens; kinds that are not named take a fraction of a second."""


DERIVED = ("prepare", "sample", "sample_wishes", "conversations", "population", "person", "instructed")
"""Kinds of stages that make data from the data of another one."""


def tokens(stage: Stage) -> int:
    """Tokens that a stage passes through its model, by the average lengths of the data's source."""
    data = _source(stage)
    if data is not None and stage.kind in ("generate", "generate_vllm"):
        decoding = stage.parameters["decoding"]
        return int(test_prompts(data) * decoding["samples"] * decoding["max_new_tokens"])
    if data is None or data.kind not in ("world", "pairs"):
        return 0
    world = data.kind == "world"
    prompt, response = lengths(data)
    context = 1 if world else 4
    share = 1.0
    if stage.kind in LIMITED and (fitting := _fitting(stage, data)):
        share, prompt, response = fitting
    pairs = round(_pairs(stage, data) * share)
    match stage.kind:
        case "base":
            epochs = stage.parameters["training"].get("epochs", 1)
            return int((data.parameters["corpus"] * (prompt + response) if world else pairs * context * 180) * epochs)
        case "align":
            return int(pairs * (prompt + 2 * response) * stage.parameters["training"].get("epochs", 1))
        case "align_online":
            drawn = stage.parameters["parameters"].get("samples", 8) * response
            return int(pairs * (prompt + 2 * drawn) * stage.parameters["training"].get("epochs", 1))
        case "reference":
            return pairs * (prompt + 2 * response)
        case "prompt_states":
            return pairs * prompt
        case "sample" | "sample_wishes":
            decoding = stage.parameters["decoding"]
            return int(pairs * decoding["samples"] * decoding["max_new_tokens"])
        case "judge_states":
            held = data.parameters["judge_share"] * sum(_rows(file.path, file.key) for file in _files(data))
            return int(2 * held * share * (prompt + response))
        case "score_win_rate" if "judge" in stage.inputs:
            return 2 * test_prompts(data) * (prompt + response)
        case "score_exact":
            return test_prompts(data) * 256 * response
        case _:
            return 0


def _files(data: Stage) -> list[File]:
    """The local files of a data stage."""
    return [file for file in data.inputs.values() if isinstance(file, File)]


def _fitting(stage: Stage, data: Stage) -> tuple[float, int, int] | None:
    """Share of the pairs that fit a stage's limits, and average tokens of prompt and response within them.

    Conversations longer than the limit are left out; other prompts are cut. None without a local file or a limit.
    """
    training = stage.parameters["training"]
    most, room = training.get("max_prompt_tokens"), training.get("max_tokens")
    files = _files(data)
    if most is None or room is None or len(files) != 1 or "mixture" in data.parameters:
        return None
    how = {name: data.parameters[name] for name in ("split", "form", "columns") if name in data.parameters}
    sampled = _sampled_lengths(files[0].path, files[0].key, json.dumps(how))
    chat = isinstance(source := stage.inputs["data"], Stage) and source.kind == "conversations"
    kept = [(min(prompt, most), response) for prompt, response in sampled if prompt <= most or not chat]
    if not kept:
        return None
    prompts, responses = ([pair[side] for pair in kept] for side in (0, 1))
    cut = [min(response, room - prompt) for prompt, response in zip(prompts, responses, strict=True)]
    return len(kept) / len(sampled), round(sum(prompts) / len(kept)), round(sum(cut) / len(kept))


@cache
def _sampled_lengths(path: Path, key: str, how: str) -> tuple[tuple[int, int], ...]:
    """Tokens of prompt and chosen response of the first pairs of a file, by their characters; read once for every `key`."""
    from harness.inputs.data.sets import data_set
    from trainers.data.forms import Draft, create, pairs_of
    from trainers.data.records import rows_of
    from trainers.tokens.dialogue import content_of, plain_prompt

    read = data_set(json.loads(how), path)
    rows = islice(rows_of(read), SAMPLED)
    drafts = (each for _, each in pairs_of(create(str(read.form)), create("pairs"), rows))
    return tuple(
        (len(plain_prompt(each.prompt)) // CHARACTERS, len(content_of(each.chosen)) // CHARACTERS)
        for each in drafts
        if isinstance(each, Draft)
    )


def _source(stage: Stage) -> Stage | None:
    """The stage that the stage's data were made by, before any data step."""
    data = stage.inputs.get("data")
    while isinstance(data, Stage) and data.kind in DERIVED:
        data = data.inputs["data"]
    return data if isinstance(data, Stage) else None


def lengths(data: Stage) -> tuple[int, int]:
    """Average tokens of a prompt and of a response of a data stage."""
    return (12, 18) if data.kind == "world" else (120, 60)


def test_prompts(data: Stage) -> int:
    """Number of prompts that a data stage keeps for evaluation, at most."""
    source = data.inputs.get("data")
    if data.kind == "conversations" and isinstance(source, Stage):
        return test_prompts(source)
    if data.kind == "world":
        return 24 * int(data.parameters["world"].get("test_situations", 3))
    if data.kind == "prompts":
        file, limit = data.inputs.get("file"), data.parameters["limit"]
        size = _rows(file.path, file.key) if isinstance(file, File) else KNOWN[data.parameters["set"]].size
        return min(size, limit or size)
    return int(data.parameters["test_prompts"])


@cache
def _rows(path: Path, key: str) -> int:
    """Rows of a file, counted once for every `key` of its bytes."""
    return sum(1 for _ in file_rows(path))


def pairs_seen(stage: Stage) -> int:
    """Pairs of the data that a stage goes through once, at most; 0 for one without pairs."""
    data = _source(stage)
    return _pairs(stage, data) if data is not None and "pairs" in data.parameters else 0


def _pairs(stage: Stage, data: Stage) -> int:
    """Pairs of one pass; a run that stops after so many steps sees no more."""
    training = stage.parameters.get("training", {})
    steps = training.get("max_steps")
    pairs = int(data.parameters["pairs"])
    return min(pairs, steps * int(training.get("batch_size", 32))) if steps else pairs


def n_parameters(stage: Stage) -> int:
    """Parameters of the model a stage runs: that of the base it builds on, 0 where unknown."""
    if stage.kind == "base":
        size = stage.parameters["model"]
        hidden, intermediate = size.get("hidden", 256), size.get("intermediate", 1024)
        return int(size.get("layers", 4) * (4 * hidden**2 + 3 * hidden * intermediate) + _vocabulary(stage) * hidden)
    if stage.kind == "pretrained":
        return _named_size(stage.parameters["model"])
    if stage.kind == "dequantised":
        return _gguf(stage).n_weights
    source = stage.inputs.get("policy") or stage.inputs.get("base") or stage.inputs.get("judge")
    return n_parameters(source) if isinstance(source, Stage) else 0


def _named_size(model: str) -> int:
    """Number of parameters that a model's name states; 0 for a name without one.

    Examples
    --------
    >>> _named_size("EleutherAI/pythia-1.4b"), _named_size("ContextualAI/archangel_sft_pythia1-4b"), _named_size("gpt2")
    (1400000000, 1400000000, 0)
    """
    number = re.search(r"(\d+(?:[.-]\d+)?)([bm])(?![a-z0-9])", model.rsplit("/", 1)[-1].lower())
    if not number:
        return 0
    return round(float(number[1].replace("-", ".")) * {"b": 1e9, "m": 1e6}[number[2]])


def gpu_hours(stage: Stage) -> float:
    """Hours of one A100, by arithmetic for what trains or scores and by memory traffic for what generates."""
    size = n_parameters(stage)
    if stage.kind in ("generate", "generate_vllm"):
        batch = stage.parameters["decoding"]["batch_size"]
        return float(2 * size * tokens(stage) / batch / GPU_BYTES_PER_SECOND / 3600)
    return _flops(stage) / GPU_FLOPS_PER_SECOND / 3600


def peak_bytes(policy: Stage) -> int | None:
    """Memory that training a policy takes at its peak, activations and logits included; None where its size is unknown."""
    base = policy.inputs.get("base")
    shape = _shape(base) if isinstance(base, Stage) else None
    data = _source(policy)
    if shape is None or data is None:
        return None
    config = TrainConfig(**policy.parameters["training"])
    prompt, response = lengths(data)
    return memory(shape, config, config.batch_size * (prompt + 2 * response)).total


def stored_bytes(stage: Stage) -> int:
    """Bytes of the hidden states that a stage stores, at most one prompt for each pair; 0 for other stages."""
    base = stage.inputs.get("base")
    shape = _shape(base) if isinstance(base, Stage) and stage.kind == "prompt_states" else None
    data = _source(stage)
    return 4 * _pairs(stage, data) * shape.hidden if shape and data else 0


def _shape(base: Stage) -> Shape | None:
    if base.kind == "base":
        size = base.parameters["model"]
        layers, hidden, intermediate = size.get("layers", 4), size.get("hidden", 256), size.get("intermediate", 1024)
        return Shape(layers, hidden, intermediate, _vocabulary(base))
    if base.kind == "dequantised":
        return _gguf_shape(base)
    model = str(base.parameters.get("model", ""))
    parameters = _named_size(model)
    source = base.inputs.get("model")
    folder = source.path if isinstance(source, Model) else Path(model)
    return Shape.of_checkpoint(folder) or (Shape.of_size(parameters) if parameters else None)


def _gguf(base: Stage) -> Header:
    file = base.inputs["file"]
    assert isinstance(file, File)
    return read_header(file.path)


def _gguf_shape(base: Stage) -> Shape:
    """The shape that a GGUF file states, or the usual one of its number of weights."""
    header = _gguf(base)
    layers, hidden, intermediate = map(header.number, ("block_count", "embedding_length", "feed_forward_length"))
    vocabulary = header.fields.get("tokenizer.ggml.tokens")
    if not (layers and hidden and intermediate and vocabulary):
        return Shape.of_size(header.n_weights)
    return Shape(layers, hidden, intermediate, vocabulary)


def _vocabulary(base: Stage) -> int:
    tokenizer = base.inputs["tokenizer"]
    assert isinstance(tokenizer, Stage)
    data = tokenizer.inputs["data"]
    words = isinstance(data, Stage) and data.kind in ("world", "instructed")
    return WORLD_WORDS if words else int(tokenizer.parameters["vocabulary"])


def _flops(stage: Stage) -> float:
    passes = 6 if stage.kind in ("base", "align", "align_online") else 2
    return passes * n_parameters(stage) * tokens(stage)


def seconds(stage: Stage) -> float:
    """Estimated seconds on one core."""
    return FIXED_SECONDS.get(stage.kind, 0.3) + _flops(stage) / _flops_per_second(stage)


def _flops_per_second(stage: Stage) -> float:
    if n_parameters(stage) < LARGE:
        return FLOPS_PER_SECOND
    dtype = stage.parameters.get("training", {}).get("dtype", "float32")
    if dtype == "bfloat16" and not has_bfloat16():
        return EMULATED_FLOPS_PER_SECOND
    return LARGE_FLOPS_PER_SECOND[dtype]


@cache
def has_bfloat16(cpuinfo: Path = Path("/proc/cpuinfo")) -> bool:
    """Whether this machine's processor multiplies bfloat16; true where the system does not say."""
    try:
        flags = cpuinfo.read_text(encoding="utf-8")
    except OSError:
        return True
    return bool(re.search(r"\b(avx512_bf16|amx_bf16|bf16|svebf16)\b", flags))

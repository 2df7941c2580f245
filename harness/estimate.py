"""Rough cost of a stage before it runs: tokens through a model, and seconds on one core.

The seconds come from a handful of rates measured with the shipped experiments; they order the work and
tell an hour from a minute, nothing finer.
"""

from __future__ import annotations

from harness.stage import Stage

FLOPS_PER_SECOND = 2e10
"""One core, small fp32 models, everything included."""
WORLD_WORDS = 100
FIXED_SECONDS = {
    "world": 2.0,
    "train_toxicity": 10.0,
    "enumeration": 3.0,
    "align": 2.0,
    "align_online": 5.0,
    "train_judge": 120.0,
    "score_benchmark": 0.5,
}
"""What a kind costs beyond its tokens; kinds not named cost a fraction of a second."""


def tokens(stage: Stage) -> int:
    """Tokens that a stage passes through its model, by the average lengths of the data's source."""
    data = stage.inputs.get("data")
    while data is not None and data.kind in ("prepare", "sample"):
        data = data.inputs["data"]
    if data is None or data.kind not in ("world", "pairs"):
        return 0
    world = data.kind == "world"
    prompt, response = lengths(data)
    context = 1 if world else 4
    pairs = data.parameters["pairs"] if world else 5000
    prompts = test_prompts(data)
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
        case "sample":
            decoding = stage.parameters["decoding"]
            return pairs * decoding["samples"] * decoding["max_new_tokens"]
        case "generate" | "generate_vllm":
            decoding = stage.parameters["decoding"]
            return prompts * decoding["samples"] * decoding["max_new_tokens"]
        case "score_exact":
            return prompts * 256 * response
        case _:
            return 0


def lengths(data: Stage) -> tuple[int, int]:
    """Average tokens of a prompt and of a response of a data stage."""
    return (12, 18) if data.kind == "world" else (120, 60)


def test_prompts(data: Stage) -> int:
    """How many prompts a data stage keeps for evaluation, at most."""
    if data.kind == "world":
        return 24 * data.parameters["world"].get("test_situations", 3)
    return data.parameters["test_prompts"]


def n_parameters(stage: Stage) -> int:
    """Parameters of the model a stage runs: that of the base it builds on, 0 where unknown."""
    if stage.kind == "base":
        size = stage.parameters["model"]
        tokenizer = stage.inputs["tokenizer"]
        vocabulary = WORLD_WORDS if tokenizer.inputs["data"].kind == "world" else tokenizer.parameters["vocabulary"]
        hidden, intermediate = size.get("hidden", 256), size.get("intermediate", 1024)
        return size.get("layers", 4) * (4 * hidden**2 + 3 * hidden * intermediate) + vocabulary * hidden
    source = stage.inputs.get("policy") or stage.inputs.get("base")
    return n_parameters(source) if isinstance(source, Stage) else 0


def seconds(stage: Stage) -> float:
    """Estimated seconds on one core."""
    passes = 6 if stage.kind in ("base", "align", "align_online") else 2
    return FIXED_SECONDS.get(stage.kind, 0.3) + passes * n_parameters(stage) * tokens(stage) / FLOPS_PER_SECOND

"""Construction, loading and adaptation of policies, and the choice of their layout."""

from __future__ import annotations

import hashlib
import logging
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn

from trainers.config import LoraConfig, ModelConfig, TrainConfig
from trainers.data.encoded import Encoded
from trainers.model import attention
from trainers.model.causal_lm import CausalLM, causal_lm
from trainers.model.logprobs import score
from trainers.model.packing import Layout
from trainers.model.rows import Rows, lay_out
from trainers.tokens.loading import require_unsteered, vocabulary_size

if TYPE_CHECKING:
    from transformers import BitsAndBytesConfig, PreTrainedTokenizerFast

log = logging.getLogger(__name__)


def make(config: ModelConfig, tokenizer: PreTrainedTokenizerFast, seed: int) -> nn.Module:
    """A causal language model with random weights that depend on the seed alone.

    Examples
    --------
    >>> import tempfile
    >>> from trainers.data.tokenizer import word_tokenizer
    >>> tokenizer = word_tokenizer(["Hello there"], Path(tempfile.mkdtemp()))
    >>> n_parameters(make(ModelConfig(layers=1, hidden=8, heads=2, intermediate=16), tokenizer, seed=0))
    760
    """
    from transformers import AutoConfig, AutoModelForCausalLM

    sizes: dict[str, float] = {
        "num_hidden_layers": config.layers,
        "hidden_size": config.hidden,
        "num_attention_heads": config.heads,
        "intermediate_size": config.intermediate,
        "max_position_embeddings": config.context,
    }
    if config.architecture == "gpt2":
        names = ("n_layer", "n_embd", "n_head", "n_inner", "n_positions")
        sizes = dict(zip(names, sizes.values(), strict=True))
        sizes |= {"embd_pdrop": 0.0, "attn_pdrop": 0.0, "resid_pdrop": 0.0}
    elif config.architecture != "gpt_neox":
        sizes["num_key_value_heads"] = config.heads
    model_config = AutoConfig.for_model(
        config.architecture,
        vocab_size=len(tokenizer),
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        tie_word_embeddings=False,
        **sizes,
    )
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model: nn.Module = AutoModelForCausalLM.from_config(
            model_config, dtype=torch.float32, attn_implementation="sdpa"
        )
    return model


def load(source: str | Path, device: str = "cpu", bits: int | None = None, *, steered: bool = False) -> nn.Module:
    """A causal language model from a folder or the hub, in float32 or in a few bits, in evaluation mode.

    Parameters
    ----------
    steered : bool
        Whether the caller conditions the model on a context, as some checkpoints need (`trainers.personal.np_dpo`).

    Raises
    ------
    ValueError
        Naming the source, if there is no model, if it embeds fewer tokens than its tokenizer has, or if it is a policy
        that needs a context.
    """
    from transformers import AutoModelForCausalLM

    require_checkpoint(source)
    if not steered:
        require_unsteered(source)
    options: dict[str, Any] = {"dtype": torch.float32, "attn_implementation": _attention_of(source)}
    if bits:
        options |= {"quantization_config": _quantised(bits), "device_map": {"": device}}
    try:
        model: nn.Module = AutoModelForCausalLM.from_pretrained(str(source), **options)
    except OSError as fault:
        raise ValueError(f"{source} is neither a checkpoint folder nor a model that the hub gives: {fault}") from fault
    embedded = causal_lm(model).get_input_embeddings().num_embeddings
    require_vocabulary(str(source), embedded, vocabulary_size(source))
    return model.eval() if bits else model.to(device).eval()


def _attention_of(source: str | Path) -> str:
    """SDPA where the model's class has it, otherwise the model's own attention (BLOOM, MPT, GPT-J)."""
    from transformers import AutoConfig, AutoModelForCausalLM

    try:
        config = AutoConfig.from_pretrained(str(source))
    except OSError:
        return "sdpa"  # the model cannot be loaded either, and the error is raised there
    kind = AutoModelForCausalLM._model_mapping.get(type(config), None)
    return "sdpa" if kind is None or getattr(kind, "_supports_sdpa", False) else "eager"


def require_vocabulary(source: str, embedded: int, tokens: int | None) -> None:
    """Raise if a tokenizer has more tokens than its model embeds.

    Examples
    --------
    >>> require_vocabulary("base", embedded=100, tokens=98)
    >>> require_vocabulary("base", embedded=100, tokens=103)
    Traceback (most recent call last):
    ValueError: base: its tokenizer has 103 tokens and its model embeds 100; resize the model's embeddings
    """
    if tokens is not None and tokens > embedded:
        raise ValueError(
            f"{source}: its tokenizer has {tokens} tokens and its model embeds {embedded}; resize the model's embeddings"
        )


def compute_in(model: nn.Module, dtype: str) -> None:
    """Set the compute dtype of quantised layers, which autocast does not reach."""
    for part in model.modules():
        if hasattr(part, "compute_dtype"):
            part.compute_dtype = getattr(torch, dtype)


def _quantised(bits: int) -> BitsAndBytesConfig:
    """QLoRA's settings (arXiv 2305.14314) for 4 bits, LLM.int8's (arXiv 2208.07339) for 8."""
    from transformers import BitsAndBytesConfig

    if bits == 8:
        return BitsAndBytesConfig(load_in_8bit=True)
    return BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=torch.float32,
    )


def require_checkpoint(source: str | Path) -> None:
    """Raise unless `source` is a checkpoint folder or could be the id of one on the hub."""
    looks_local = isinstance(source, Path) or source.startswith(("/", ".", "~")) or Path(source).exists()
    if looks_local and not (Path(source) / "config.json").is_file():
        raise ValueError(f"{source} is no checkpoint folder: it has no config.json")


def prepare(model: nn.Module, config: TrainConfig) -> nn.Module:
    """Put adapters on and switch gradient checkpointing on, as configured.

    The model stays in evaluation mode, which has the same gradients and no dropout. Only the layers that
    decide on checkpointing are in training mode.
    """
    if config.lora:
        model = adapt(model, config.lora, config.seed)
    model.eval()
    if config.gradient_checkpointing:
        from transformers.modeling_layers import GradientCheckpointingLayer

        causal_lm(model).gradient_checkpointing_enable()
        for part in model.modules():
            if isinstance(part, GradientCheckpointingLayer):
                part.training = True
    return model


def adapt(model: nn.Module, config: LoraConfig, seed: int) -> nn.Module:
    """The model with low-rank adapters on top and everything else frozen; at first it computes the same.

    Tied input embeddings that get an adapter are untied from the head first: the adapter changes only one of the two,
    and merged into a shared table it would change both.
    """
    import peft

    targets = config.target_modules if isinstance(config.target_modules, str) else list(config.target_modules)
    lora = peft.LoraConfig(
        r=config.rank, lora_alpha=config.alpha, lora_dropout=0.0, target_modules=targets, task_type="CAUSAL_LM"
    )
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        adapted = peft.get_peft_model(model, lora)
    causal = causal_lm(adapted)
    _untie(causal)
    if not isinstance(causal.get_output_embeddings(), nn.Linear):
        raise ValueError("the language-model head cannot carry an adapter; leave it out of lora.target_modules")
    return adapted


def _untie(model: CausalLM) -> None:
    """Give the head a table of its own where an adapter lies on the tied input embeddings."""
    embeddings, head = model.get_input_embeddings(), model.get_output_embeddings()
    base = getattr(embeddings, "base_layer", None)
    if base is not None and head is not None and head.weight is base.weight:
        head.weight = nn.Parameter(head.weight.detach().clone(), requires_grad=False)
        for config in (model.config, model.config.get_text_config()):
            config.tie_word_embeddings = False


def n_parameters(model: nn.Module) -> int:
    """Parameters of the model, each counted once."""
    return sum(parameter.numel() for parameter in model.parameters())


def hidden_size(model: nn.Module) -> int:
    """Width of the model's hidden states."""
    return int(causal_lm(model).config.get_text_config().hidden_size)


def context_length(model: nn.Module) -> int:
    """Tokens that fit the model."""
    return int(getattr(causal_lm(model).config.get_text_config(), "max_position_embeddings", None) or 1 << 30)


def weights_hash(model: nn.Module) -> str:
    """A hash of every weight, to tell checkpoints apart whatever their name."""
    digest = hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        digest.update(name.encode())
        digest.update(tensor.detach().cpu().contiguous().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def layout_for(model: nn.Module, longest: int, micro_batch_tokens: int) -> Layout:
    """The layout of batches for this model, found by comparing log-probabilities on a small probe.

    Attention is switched to `trainers.model.attention` where the model's class allows it: from example to example on a
    CPU, by the non-empty blocks of the mask on a GPU.

    Shared prompts and packed rows need full attention that obeys a mask. A sliding window shorter than
    the longest example, or a state carried along the row, rules them out, and so does any model whose
    log-probabilities come out differently on a small packed row. The fallback is logged.

    Raises
    ------
    ValueError
        If the model's own logits are not its hidden states times its output embeddings.
    """
    config = causal_lm(model).config.get_text_config()
    packed = Layout(True, config.hidden_size, micro_batch_tokens)
    plain = Layout(False, config.hidden_size, micro_batch_tokens)
    probe = _probe(config.vocab_size)
    device = str(next(model.parameters()).device)
    with torch.no_grad():
        rows = lay_out(probe, [[0], [1]], plain).to(device)
        alone = score(model, rows).logps
        logits = model(input_ids=rows.input_ids).logits.float().log_softmax(-1).flatten(0, 1)
        table = torch.zeros(4 * int(rows.lengths.max()), device=device)
        table[rows.slots] = logits[rows.sources, rows.targets]
        if not torch.allclose(table.view(4, -1).sum(1), alone, atol=1e-3):
            raise ValueError(f"{config.model_type}: logits are more than hidden states times output embeddings")
        window = getattr(config, "sliding_window", None)
        why = None
        if getattr(model, "_is_stateful", False):
            why = "it carries a state along the row"
        elif window is not None and window < longest:
            why = f"its attention window ({window}) is shorter than the longest example ({longest})"
        elif not _agrees(model, lay_out(probe, [[0, 1]], packed).to(device), alone, "no prompts are shared"):
            why = "its attention does not follow the mask"
        if why is None:
            own = _attention(model)
            better = replace(packed, attention="by_example" if device == "cpu" else "blocks")
            if _switch_attention(model, attention.NAME):
                rows = lay_out(probe, [[0, 1]], better).to(device)
                if _agrees(model, rows, alone, "rows are attended to under one mask"):
                    return better
                _switch_attention(model, own)
    if why is None:
        return packed
    log.warning("%s takes no shared prompts: %s; padding every response behind its prompt", config.model_type, why)
    return plain


def _agrees(model: nn.Module, rows: Rows, expected: torch.Tensor, otherwise: str) -> bool:
    """Whether the log-probabilities are as expected; False, with a log line, where the rows cannot be run at all."""
    try:
        return torch.allclose(score(model, rows).logps, expected, atol=1e-3)
    except Exception as fault:  # models refuse a mask, and kernels fail to compile, with errors of any type
        reason = next(iter(str(fault).splitlines()), "")
        log.warning("%s: %s: %s", otherwise, type(fault).__name__, reason)
        return False


def _attention(model: nn.Module) -> str:
    """Name of the model's attention implementation."""
    return str(causal_lm(model).config._attn_implementation)


def _switch_attention(model: nn.Module, name: str) -> bool:
    """Switch the model to another attention implementation; False where its class does not allow the choice."""
    try:
        causal_lm(model).set_attn_implementation(name)
    except ValueError:
        return False
    return _attention(model) == name


def _probe(vocabulary: int) -> Encoded:
    tokens = np.random.default_rng(0).integers(0, vocabulary, 26).astype(np.int32)
    prompts = np.array([[0, 5], [13, 3]])
    responses = np.array([[[5, 4], [9, 4]], [[16, 6], [22, 4]]])
    complete = np.ones((2, 2), dtype=bool)
    return Encoded(["a", "b"], ("chosen", "rejected"), tokens, prompts, responses, complete, np.arange(2))

"""Generation and log-probabilities by vLLM, an optional extra, behind the protocols of the Hugging Face backends."""

from __future__ import annotations

import logging
import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.records import Generation, Status
from suites.checkpoints import load_tokenizer
from suites.generation.decoding import Decoding, uniforms
from suites.generation.huggingface import Prompt, rendered
from trainers.tokens.template import end_tokens, read_response

if TYPE_CHECKING:
    from transformers import PreTrainedConfig, PreTrainedTokenizerBase
    from vllm import LLM, CompletionOutput, SamplingParams

logger = logging.getLogger(__name__)


def load_engine(checkpoint: Path | str, **engine: Any) -> LLM:
    """vLLM's engine on a checkpoint folder or hub id; `engine` goes to ``vllm.LLM``.

    The engine runs in a process of its own, vLLM's default: in this one it would patch classes of transformers, which
    could not load GPT-NeoX afterwards. Nothing is compiled without a GPU, because compiling takes longer than small
    models take to generate.

    Raises
    ------
    ValueError
        Where the extra is not installed.
    """
    os.environ.setdefault("VLLM_NO_USAGE_STATS", "1")
    try:
        from vllm import LLM
    except ImportError as error:
        raise ValueError("vLLM is not installed: pip install 'prefrontier[vllm]'") from error
    import torch

    return LLM(model=str(checkpoint), **{"enforce_eager": not torch.cuda.is_available(), **engine})


def stop_engine(llm: LLM) -> None:
    """End the engine's processes and free its memory; left to the interpreter's exit, they can keep it from ending."""
    llm.llm_engine.engine_core.shutdown()


def _tokenizer_of(llm: LLM) -> PreTrainedTokenizerBase:
    """The tokenizer of the engine's checkpoint, with the tokens of training; the engine's own class may differ."""
    return load_tokenizer(llm.llm_engine.model_config.tokenizer)


@dataclass(frozen=True)
class VLLMGenerator:
    """The protocol of `suites.generation.huggingface.Generator` on vLLM (extra ``vllm``), seeded per prompt and trial.

    vLLM draws its own random numbers, so its samples differ from the Hugging Face backend's in
    everything but distribution; greedy ones agree up to numerical noise. A response that has no room in
    the context, or that the chat template or the engine refuses alone, is an ``error`` row, and the others go on; so
    is one whose log-probabilities are not numbers.
    """

    llm: LLM

    @classmethod
    def load(cls, checkpoint: Path | str, **engine: Any) -> VLLMGenerator:
        """Start an engine; see `load_engine`."""
        return cls(load_engine(checkpoint, **engine))

    def close(self) -> None:
        """See `stop_engine`."""
        stop_engine(self.llm)

    @cached_property
    def tokenizer(self) -> PreTrainedTokenizerBase:
        """The checkpoint's tokenizer, as every suite loads it."""
        return _tokenizer_of(self.llm)

    def generate(self, prompts: Mapping[str, Prompt], decoding: Decoding) -> list[Generation]:
        """One generation per prompt and trial, in the order of `prompts`."""
        tokenizer = self.tokenizer
        texts: dict[str, str] = {}
        ids: dict[str, list[int]] = {}
        for key, prompt in prompts.items():
            texts[key], ids[key] = rendered(tokenizer, key, prompt)
        rows = [(key, trial, ids[key]) for key in prompts for trial in range(decoding.samples)]
        outputs = self._sample(rows, decoding)
        return [
            _generation(tokenizer, prompts[key], texts[key], key, trial, output)
            for (key, trial, _), output in zip(rows, outputs, strict=True)
        ]

    def _sample(self, rows: list[tuple[str, int, list[int]]], decoding: Decoding) -> list[CompletionOutput | None]:
        """vLLM's completion of every row, None for one that fails alone."""
        from vllm import SamplingParams

        context = self.llm.llm_engine.model_config.max_model_len
        feasible = [row for row in rows if 0 < len(row[2]) < context]
        parameters = [
            SamplingParams(
                max_tokens=min(decoding.max_new_tokens, context - len(ids)),
                temperature=decoding.temperature,
                top_p=decoding.top_p,
                seed=int(uniforms(decoding, key, trial)[0] * 2**31),
                stop_token_ids=sorted(end_tokens(self.tokenizer)),
                logprobs=0,  # of the sampled tokens, which show whether the logits were numbers
            )
            for key, trial, ids in feasible
        ]
        outputs = self._generate([ids for _, _, ids in feasible], parameters)
        completions = {(key, trial): output for (key, trial, _), output in zip(feasible, outputs, strict=True)}
        return [completions.get((key, trial)) for key, trial, _ in rows]

    def _generate(self, prompts: list[list[int]], parameters: list[SamplingParams]) -> list[CompletionOutput | None]:
        """The engine's outputs; a batch that is refused is halved until the prompts refused alone are found."""
        if not prompts:
            return []
        try:
            outputs = self.llm.generate([{"prompt_token_ids": ids} for ids in prompts], parameters, use_tqdm=False)
        except (ValueError, RuntimeError) as error:
            if len(prompts) == 1:
                logger.warning("vLLM refused a prompt: %s", error)
                return [None]
            middle = len(prompts) // 2
            return [
                *self._generate(prompts[:middle], parameters[:middle]),
                *self._generate(prompts[middle:], parameters[middle:]),
            ]
        return [output.outputs[0] for output in outputs]


def _generation(
    tokenizer: PreTrainedTokenizerBase,
    asked: Prompt,
    prompt: str,
    key: str,
    trial: int,
    output: CompletionOutput | None,
) -> Generation:
    """The row of a completion; ``error`` without one, or where a token's log-probability is not a number."""
    if output is None or math.isnan(output.cumulative_logprob or 0.0):
        return Generation(f"{key}#{trial}", key, prompt, "", 0, Status.ERROR, trial)
    ids, ended = list(output.token_ids), output.finish_reason == "stop"
    text = read_response(tokenizer, asked, ids[:-1] if ended else ids)
    status = Status.EMPTY if not text.strip() else Status.OK if ended else Status.TRUNCATED
    return Generation(f"{key}#{trial}", key, prompt, text, len(ids), status, trial)


@dataclass(frozen=True)
class VLLMScorer:
    """Log-probabilities of continuations for `suites.judges.language_model`, read from the prompt's log-probs."""

    llm: LLM

    @classmethod
    def load(cls, checkpoint: Path | str, **engine: Any) -> VLLMScorer:
        """Start an engine; see `load_engine`."""
        return cls(load_engine(checkpoint, **engine))

    def close(self) -> None:
        """See `stop_engine`."""
        stop_engine(self.llm)

    @cached_property
    def tokenizer(self) -> PreTrainedTokenizerBase:
        """The checkpoint's tokenizer, as every suite loads it."""
        return _tokenizer_of(self.llm)

    @property
    def config(self) -> PreTrainedConfig:
        """The model's configuration."""
        config: PreTrainedConfig = self.llm.llm_engine.model_config.hf_config
        return config

    @property
    def context(self) -> int:
        """Tokens of a question and its choice together: vLLM generates one token more, which is not read."""
        return int(self.llm.llm_engine.model_config.max_model_len) - 1

    def logprobs(self, prompts: Sequence[list[int]], continuations: Sequence[list[int]]) -> list[float]:
        """Sum of the continuation's token log-probs."""
        from vllm import SamplingParams

        texts = [{"prompt_token_ids": prompt + tail} for prompt, tail in zip(prompts, continuations, strict=True)]
        if not texts:
            return []
        outputs = self.llm.generate(
            texts, SamplingParams(max_tokens=1, temperature=0.0, prompt_logprobs=0), use_tqdm=False
        )
        return [
            sum(
                position[token].logprob
                for position, token in zip(output.prompt_logprobs[-len(tail) :], tail, strict=True)
            )
            for output, tail in zip(outputs, continuations, strict=True)
        ]

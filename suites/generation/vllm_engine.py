"""Generation and log-probabilities by vLLM, an optional extra, behind the protocols of the Hugging Face backends."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.records import Generation, Status
from suites.generation.decoding import Decoding, uniforms
from suites.generation.huggingface import Prompt, decode, rendered

logger = logging.getLogger(__name__)


def load_engine(checkpoint: Path | str, **engine):
    """vLLM's engine on a checkpoint folder or hub id; `engine` goes to ``vllm.LLM``.

    The engine has a process of its own, vLLM's default: in this one it would change classes of transformers
    (GPT-NeoX cannot be loaded by transformers afterwards). Without a GPU nothing is compiled: that would take longer
    than small models take to answer.

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


def stop_engine(llm) -> None:
    """End the engine's processes and free its memory; left to the interpreter's exit, they can keep it from ending."""
    llm.llm_engine.engine_core.shutdown()


@dataclass(frozen=True)
class VLLMGenerator:
    """The protocol of `suites.generation.huggingface.Generator` on vLLM (extra ``vllm``), seeded per prompt and trial.

    vLLM draws its own random numbers, so its samples differ from the Hugging Face backend's in
    everything but distribution; greedy ones agree up to numerical noise. A response that has no room in
    the context, or that the chat template or the engine refuses alone, is an ``error`` row, and the others go on.
    """

    llm: object

    @classmethod
    def load(cls, checkpoint: Path | str, **engine) -> VLLMGenerator:
        """Start an engine; see `load_engine`."""
        return cls(load_engine(checkpoint, **engine))

    def close(self) -> None:
        """See `stop_engine`."""
        stop_engine(self.llm)

    def generate(self, prompts: Mapping[str, Prompt], decoding: Decoding) -> list[Generation]:
        """One generation per prompt and trial, in the order of `prompts`."""
        tokenizer = self.llm.get_tokenizer()
        texts, ids = {}, {}
        for key, prompt in prompts.items():
            texts[key], ids[key] = rendered(tokenizer, key, prompt)
        rows = [(key, trial, ids[key]) for key in prompts for trial in range(decoding.samples)]
        outputs = self._sample(rows, decoding)
        return [
            _generation(tokenizer, texts[key], key, trial, output)
            for (key, trial, _), output in zip(rows, outputs, strict=True)
        ]

    def _sample(self, rows: list[tuple[str, int, list[int]]], decoding: Decoding) -> list:
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
            )
            for key, trial, ids in feasible
        ]
        asked = [{"prompt_token_ids": ids} for _, _, ids in feasible]
        found = {
            (key, trial): output
            for (key, trial, _), output in zip(feasible, self._contained(asked, parameters), strict=False)
        }
        return [found.get((key, trial)) for key, trial, _ in rows]

    def _contained(self, asked: list[dict], parameters: list) -> list:
        """The engine's outputs; where a batch is refused its halves, until the prompts refused alone are found."""
        if not asked:
            return []
        try:
            return [output.outputs[0] for output in self.llm.generate(asked, parameters, use_tqdm=False)]
        except (ValueError, RuntimeError) as error:
            if len(asked) == 1:
                logger.warning("vLLM refused a prompt: %s", error)
                return [None]
            middle = len(asked) // 2
            return self._contained(asked[:middle], parameters[:middle]) + self._contained(
                asked[middle:], parameters[middle:]
            )


def _generation(tokenizer, asked: str, key: str, trial: int, output) -> Generation:
    if output is None:
        return Generation(f"{key}#{trial}", key, asked, "", 0, Status.ERROR, trial)
    ids, ended = list(output.token_ids), output.finish_reason == "stop"
    text = decode(tokenizer, ids[:-1] if ended else ids)
    status = Status.EMPTY if not text.strip() else Status.OK if ended else Status.TRUNCATED
    return Generation(f"{key}#{trial}", key, asked, text, len(ids), status, trial)


@dataclass(frozen=True)
class VLLMScorer:
    """Log-probabilities of continuations for `suites.judges.language_model`, read off the prompt's own."""

    llm: object

    @classmethod
    def load(cls, checkpoint: Path | str, **engine) -> VLLMScorer:
        """Start an engine; see `load_engine`."""
        return cls(load_engine(checkpoint, **engine))

    def close(self) -> None:
        """See `stop_engine`."""
        stop_engine(self.llm)

    @property
    def tokenizer(self):
        return self.llm.get_tokenizer()

    @property
    def config(self):
        return self.llm.llm_engine.model_config.hf_config

    @property
    def context(self) -> int:
        return self.llm.llm_engine.model_config.max_model_len - 1
        # vLLM wants room for one token more, which it generates and we do not read.

    def logprobs(self, prompts: Sequence[list[int]], continuations: Sequence[list[int]]) -> list[float]:
        """Sum of the continuation's token log-probs."""
        from vllm import SamplingParams

        asked = [{"prompt_token_ids": prompt + tail} for prompt, tail in zip(prompts, continuations, strict=True)]
        if not asked:
            return []
        outputs = self.llm.generate(
            asked, SamplingParams(max_tokens=1, temperature=0.0, prompt_logprobs=0), use_tqdm=False
        )
        return [
            sum(
                position[token].logprob
                for position, token in zip(output.prompt_logprobs[-len(tail) :], tail, strict=True)
            )
            for output, tail in zip(outputs, continuations, strict=True)
        ]

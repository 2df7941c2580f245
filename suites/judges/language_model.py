"""A pairwise judge from a local language model: the log-probabilities of the two choices."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from harness.records import Status
from suites.checkpoints import bos_ids, load_causal_lm, load_tokenizer, revision_of, token_ids
from suites.judges.protocol import Judge, Verdict
from suites.judges.registry import JudgeSetup, judge
from suites.judges.templates import Template, load_template
from trainers.tokens.text import encode_messages

if TYPE_CHECKING:
    from transformers import PreTrainedConfig, PreTrainedModel, PreTrainedTokenizerBase


class Scorer(Protocol):
    """A backend that gives the log-probability of a continuation of a prompt, both as token ids."""

    @property
    def tokenizer(self) -> PreTrainedTokenizerBase: ...
    @property
    def config(self) -> PreTrainedConfig: ...
    @property
    def context(self) -> int | None: ...

    def logprobs(self, prompts: Sequence[list[int]], continuations: Sequence[list[int]]) -> list[float]: ...
    def close(self) -> None: ...


@dataclass(frozen=True)
class LanguageModelJudge:
    r"""The probability that a model begins its reply with one choice rather than the other.

    .. math:: P(y_1 \succ y_2 | x) = \sigma(\log p(c_1 | q) - \log p(c_2 | q))

    with q the template's question rendered by the model's chat template, and its cue. A choice of several
    tokens has the sum of their log-probs. A question longer than the model's context is ``error``, never cut: a cut
    would remove a part of what is compared. Log-probs that are not numbers are ``error`` as well.

    Parameters
    ----------
    name, revision : str
    scorer : Scorer
    template : Template

    References
    ----------
    Averaging the two orders, as `suites.alpaca.win_rate` does, removes the preference for a position (Zheng et al.,
    arXiv:2306.05685, section 3.4).
    """

    name: str
    revision: str
    scorer: Scorer
    template: Template

    @classmethod
    def load(
        cls, model: Path | str, template: Template, backend: str = "hf", device: str = "cpu"
    ) -> LanguageModelJudge:
        """A judge from a checkpoint folder or hub id, on ``hf`` (transformers) or ``vllm``."""
        scorer = _BACKENDS[backend](model, device)
        revision = f"{revision_of(model, scorer.config)}, prompt {template.name} {template.revision}"
        return cls(f"local-lm:{Path(model).name}", revision, scorer, template)

    def close(self) -> None:
        """Stop the backend's processes."""
        self.scorer.close()

    def prefer(self, prompts: Sequence[str], first: Sequence[str], second: Sequence[str]) -> list[Verdict]:
        """One verdict for every pair."""
        questions = [self._question(*texts) for texts in zip(prompts, first, second, strict=True)]
        context = self.scorer.context
        fits = [
            i for i, (ids, tails) in enumerate(questions) if not context or len(ids) + max(map(len, tails)) <= context
        ]
        logprobs = self.scorer.logprobs(
            [questions[i][0] for i in fits for _ in range(2)], [tail for i in fits for tail in questions[i][1]]
        )
        verdicts = [Verdict(None, Status.ERROR, "longer than the judge's context")] * len(questions)
        for i, first_choice, second_choice in zip(fits, logprobs[::2], logprobs[1::2], strict=True):
            verdicts[i] = _verdict(first_choice, second_choice)
        return verdicts

    def _question(self, prompt: str, first: str, second: str) -> tuple[list[int], list[list[int]]]:
        """The tokens that both continuations share, and those in which they differ."""
        tokenizer = self.scorer.tokenizer
        messages = self.template.render(prompt, first, second)
        a, b = (encode_reply(tokenizer, messages, self.template.cue + choice) for choice in self.template.choices)
        shared = next(
            (i for i, (left, right) in enumerate(zip(a, b, strict=False)) if left != right), min(len(a), len(b))
        )
        if not 0 < shared < min(len(a), len(b)):
            raise ValueError(
                f"judge {self.name!r}: its tokenizer encodes the choices {self.template.choices} to the same tokens"
            )
        return a[:shared], [a[shared:], b[shared:]]


@dataclass(frozen=True)
class HuggingFaceScorer:
    """Log-probabilities by one forward pass of a ``transformers`` causal LM per batch."""

    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    batch_size: int = 16

    @classmethod
    def load(cls, model: Path | str, device: str = "cpu") -> HuggingFaceScorer:
        """Load a checkpoint folder or hub id."""
        return cls(load_causal_lm(model, device), load_tokenizer(model))

    def close(self) -> None:
        """Do nothing: the model has no process of its own."""

    @property
    def config(self) -> PreTrainedConfig:
        """The model's configuration."""
        return self.model.config

    @property
    def context(self) -> int | None:
        """Tokens of a question and its choice together, None without a limit."""
        return getattr(self.model.config, "max_position_embeddings", None)

    def logprobs(self, prompts: Sequence[list[int]], continuations: Sequence[list[int]]) -> list[float]:
        """Sum of the continuation's token log-probs; rows are padded on the left and sorted by length."""
        import torch

        rows = sorted(range(len(prompts)), key=lambda i: len(prompts[i]) + len(continuations[i]))
        sums = [0.0] * len(rows)
        device = self.model.device
        for start in range(0, len(rows), self.batch_size):
            batch = rows[start : start + self.batch_size]
            sequences = [prompts[i] + continuations[i] for i in batch]
            width, keep = max(map(len, sequences)), max(len(continuations[i]) for i in batch) + 1
            pad = [width - len(ids) for ids in sequences]
            tokens = torch.tensor([[0] * n + ids for n, ids in zip(pad, sequences, strict=True)], device=device)
            mask = torch.tensor([[0] * n + [1] * (width - n) for n in pad], device=device)
            with torch.inference_mode():
                logits = self.model(
                    input_ids=tokens,
                    attention_mask=mask,
                    position_ids=(mask.cumsum(-1) - 1).clamp(min=0),
                    logits_to_keep=keep,
                ).logits
            logp = logits[:, :-1].double().log_softmax(-1).gather(-1, tokens[:, width - keep + 1 :, None])[..., 0]
            for row, i in enumerate(batch):
                sums[i] = float(logp[row, -len(continuations[i]) :].sum())
        return sums


def _vllm_scorer(model: Path | str, device: str) -> Scorer:
    from suites.generation.vllm_engine import VLLMScorer

    return VLLMScorer.load(model)


_BACKENDS = {"hf": HuggingFaceScorer.load, "vllm": _vllm_scorer}


def encode_reply(tokenizer: PreTrainedTokenizerBase, messages: list[dict[str, str]], reply: str) -> list[int]:
    """Token ids of a conversation and the beginning of its reply: by the chat template, or as plain paragraphs."""
    bos = bos_ids(tokenizer)
    if tokenizer.chat_template:
        ids = encode_messages(tokenizer, messages, reply_follows=True, behind=reply)
    else:
        ids = token_ids(tokenizer, "\n\n".join([*(message["content"] for message in messages), reply]))
    return ids if bos and ids[:1] == bos else [*bos, *ids]


def _verdict(first: float, second: float) -> Verdict:
    from scipy.special import expit

    margin = first - second
    if math.isnan(margin):
        return Verdict(None, Status.ERROR, "the log-probs are not numbers")
    return Verdict(float(expit(margin)))


@judge("local_lm", needs=["model", "weights", "prompt", "backend"])
def load(setup: JudgeSetup) -> Judge:
    """The judge of an experiment whose ``judge.kind`` is ``local_lm``."""
    if setup.model is None or setup.prompt is None:
        raise ValueError("a local language model as a judge needs a model and a prompt")
    return LanguageModelJudge.load(setup.model, load_template(setup.prompt), setup.backend or "hf", setup.device)

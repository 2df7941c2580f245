"""A pairwise judge from a local language model: the log-probabilities of the two choices."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from harness.records import Status
from suites.judges.protocol import Judge, Verdict
from suites.judges.registry import JudgeSetup, judge
from suites.judges.revision import revision_of
from suites.judges.templates import Template, load_template


class Scorer(Protocol):
    """A backend that knows the log-probability of a continuation given a prompt, both as token ids."""

    tokenizer: object
    context: int | None

    def logprobs(self, prompts: Sequence[list[int]], continuations: Sequence[list[int]]) -> list[float]: ...
    def close(self) -> None: ...


@dataclass(frozen=True)
class LanguageModelJudge:
    r"""Judges by the probability that a model begins its reply with one choice or the other.

    .. math:: P(y_1 \succ y_2 | x) = \sigma(\log p(c_1 | q) - \log p(c_2 | q))

    with q the template's question rendered by the model's chat template, and its cue. A choice that is several
    tokens has the sum of their log-probs. A question longer than the model's context is ``error``, never cut: a cut
    would take away a part of what is compared.

    Parameters
    ----------
    name, revision : str
    scorer : Scorer
    template : Template

    References
    ----------
    The two orders, averaged by `suites.alpaca.win_rate`, take out the preference for a position (Zheng et al.,
    arXiv:2306.05685, section 3.4).
    """

    name: str
    revision: str
    scorer: Scorer
    template: Template

    @classmethod
    def load(cls, model: Path | str, template: Template, backend: str = "hf", device: str = "cpu"):
        """A judge from a checkpoint folder or hub id, on ``hf`` (transformers) or ``vllm``."""
        scorer = {"hf": HuggingFaceScorer.load, "vllm": _vllm_scorer}[backend](model, device)
        revision = f"{revision_of(model, scorer.config)}, prompt {template.name} {template.revision}"
        return cls(f"local-lm:{Path(model).name}", revision, scorer, template)

    def close(self) -> None:
        """End what the backend started."""
        self.scorer.close()

    def prefer(self, prompts: Sequence[str], first: Sequence[str], second: Sequence[str]) -> list[Verdict]:
        """One verdict for every pair."""
        questions = [self._question(*texts) for texts in zip(prompts, first, second, strict=True)]
        context = self.scorer.context
        fits = [
            i for i, (ids, tails) in enumerate(questions) if not context or len(ids) + max(map(len, tails)) <= context
        ]
        found = iter(
            self.scorer.logprobs(
                [questions[i][0] for i in fits for _ in range(2)], [tail for i in fits for tail in questions[i][1]]
            )
        )
        verdicts = [Verdict(None, Status.ERROR, "longer than the judge's context")] * len(questions)
        for i in fits:
            verdicts[i] = _verdict(next(found), next(found))
        return verdicts

    def _question(self, prompt: str, first: str, second: str) -> tuple[list[int], list[list[int]]]:
        """The tokens both continuations share, and those in which they differ."""
        text = _chat(self.scorer.tokenizer, self.template.render(prompt, first, second)) + self.template.cue
        a, b = ([*self._bos(text), *self._ids(text + choice)] for choice in self.template.choices)
        shared = next(
            (i for i, (left, right) in enumerate(zip(a, b, strict=False)) if left != right), min(len(a), len(b))
        )
        if not 0 < shared < min(len(a), len(b)):
            raise ValueError(f"judge {self.name!r}: its tokenizer cannot tell {self.template.choices} apart as replies")
        return a[:shared], [a[shared:], b[shared:]]

    def _ids(self, text: str) -> list[int]:
        return self.scorer.tokenizer(text, add_special_tokens=False)["input_ids"]

    def _bos(self, text: str) -> list[int]:
        tokenizer = self.scorer.tokenizer
        wanted = tokenizer("")["input_ids"][:1] == [tokenizer.bos_token_id] and not text.startswith(tokenizer.bos_token)
        return [tokenizer.bos_token_id] if wanted else []


@dataclass(frozen=True)
class HuggingFaceScorer:
    """Log-probabilities by one forward pass of a ``transformers`` causal LM per batch."""

    model: object
    tokenizer: object
    batch_size: int = 16

    @classmethod
    def load(cls, model: Path | str, device: str = "cpu") -> HuggingFaceScorer:
        from transformers import AutoModelForCausalLM, AutoTokenizer

        return cls(AutoModelForCausalLM.from_pretrained(model).to(device).eval(), AutoTokenizer.from_pretrained(model))

    def close(self) -> None:
        """Nothing to end: the model lies in this process."""

    @property
    def config(self):
        return self.model.config

    @property
    def context(self) -> int | None:
        return getattr(self.model.config, "max_position_embeddings", None)

    def logprobs(self, prompts: Sequence[list[int]], continuations: Sequence[list[int]]) -> list[float]:
        """Sum of the continuation's token log-probs; rows are padded on the left and sorted by length."""
        import torch

        rows = sorted(range(len(prompts)), key=lambda i: len(prompts[i]) + len(continuations[i]))
        found = [0.0] * len(rows)
        for start in range(0, len(rows), self.batch_size):
            batch = rows[start : start + self.batch_size]
            sequences = [prompts[i] + continuations[i] for i in batch]
            width, keep = max(map(len, sequences)), max(len(continuations[i]) for i in batch) + 1
            pad = [width - len(ids) for ids in sequences]
            tokens = torch.tensor(
                [[0] * n + ids for n, ids in zip(pad, sequences, strict=True)], device=self.model.device
            )
            mask = torch.tensor([[0] * n + [1] * (width - n) for n in pad], device=self.model.device)
            with torch.inference_mode():
                logits = self.model(
                    input_ids=tokens,
                    attention_mask=mask,
                    position_ids=(mask.cumsum(-1) - 1).clamp(min=0),
                    logits_to_keep=keep,
                ).logits
            logp = logits[:, :-1].double().log_softmax(-1).gather(-1, tokens[:, width - keep + 1 :, None])[..., 0]
            for row, i in enumerate(batch):
                found[i] = float(logp[row, -len(continuations[i]) :].sum())
        return found


def _vllm_scorer(model: Path | str, device: str):
    from suites.generation.vllm_engine import VLLMScorer

    return VLLMScorer.load(model)


def _chat(tokenizer, messages: list[dict[str, str]]) -> str:
    """The conversation up to the reply, as the model's chat template writes it; plain paragraphs without one."""
    if tokenizer.chat_template:
        return tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
    return "\n\n".join([*(message["content"] for message in messages), ""])


def _verdict(first: float, second: float) -> Verdict:
    import math

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

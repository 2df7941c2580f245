"""Responses sampled from a policy with ``transformers``: one generation per prompt and trial."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from harness.records import Generation, Status
from suites.checkpoints import load_causal_lm, load_tokenizer, require_one_vocabulary
from suites.decoding.distribution import quantile
from suites.decoding.mix import Mix, Part
from suites.generation.decoding import Decoding, choose, uniforms
from suites.generation.stream import Choose, Stream, has_cache, sample
from trainers.tokens.dialogue import Text, readable
from trainers.tokens.framing import framed
from trainers.tokens.template import encode_checked, end_tokens, read_response

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

Prompt = Text
"""Plain text, or a conversation of ``{role, content}`` messages: by the chat template, or in the plain format without one."""

logger = logging.getLogger(__name__)


class Generator(Protocol):
    """A backend that turns prompts, by id, into one generation per prompt and trial, in that order."""

    def generate(self, prompts: Mapping[str, Prompt], decoding: Decoding) -> list[Generation]: ...


def generate(
    checkpoint: Path | str, prompts: Mapping[str, Prompt], decoding: Decoding, device: str = "cpu"
) -> list[Generation]:
    """Sample responses with the Hugging Face backend; see `HuggingFaceGenerator`."""
    return HuggingFaceGenerator.load(checkpoint, device).generate(prompts, decoding)


def rendered(tokenizer: PreTrainedTokenizerBase, key: str, prompt: Prompt) -> tuple[str, list[int]]:
    """A prompt as a reader sees it and its tokens; no tokens where it has none or its format refuses it."""
    # Rows that no reader has checked may lack any part of a message.
    try:
        text, ids = readable(prompt), encode_checked(tokenizer, prompt)
    except (ValueError, TypeError, LookupError) as error:
        logger.warning("prompt %s: %s", key, error)
        return _contents(prompt), []
    if not ids:
        logger.warning("prompt %s has no tokens", key)
    return text, ids


def shown(prompt: Prompt) -> str:
    """A prompt as a reader sees it, whatever its turns are like."""
    try:
        return readable(prompt)
    except (ValueError, TypeError, LookupError):
        return _contents(prompt)


def _contents(prompt: Prompt) -> str:
    """What a conversation says, whatever its turns are like: one paragraph for each message."""
    return prompt if isinstance(prompt, str) else "\n\n".join(str(turn.get("content")) for turn in prompt)


@dataclass(frozen=True)
class _Row:
    """One sample to draw."""

    item: str
    cluster: str
    trial: int
    asked: Prompt
    prompt: str
    ids: list[list[int]]
    """Of each part of a mixture."""
    limit: int
    u: np.ndarray


@dataclass(frozen=True)
class HuggingFaceGenerator:
    """Samples from a ``transformers`` causal LM: batched by length, left-padded, with a KV cache.

    A response ends at an EOS token of the model or tokenizer, or at the chat template's end of turn. Without one within the limit (the decoding's
    or the model's context, whichever is shorter) it is ``truncated``; with nothing but white space before it,
    ``empty``. A prompt that leaves no room in the context, that the chat template refuses or that the model fails on
    alone is an ``error`` row, and the others go on; so is a response during which the model's logits are not numbers.
    `n_tokens` counts the EOS.
    """

    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    mix: Mix | None = None
    """What is sampled instead of the model's own distribution; its temperature and nucleus hold, and not the decoding's."""
    others: Mapping[str, PreTrainedModel] = field(default_factory=dict)
    """Models of the mixture's roles that are not this model."""

    @classmethod
    def load(cls, checkpoint: Path | str, device: str = "cpu") -> HuggingFaceGenerator:
        """Load a checkpoint folder or hub id."""
        return cls(load_causal_lm(checkpoint, device), load_tokenizer(checkpoint))

    @classmethod
    def mixture(cls, checkpoints: Mapping[str, Path | str], mix: Mix, device: str = "cpu") -> HuggingFaceGenerator:
        """Load the checkpoints of a mixture's roles; the first is the one whose tokenizer writes and reads.

        Raises
        ------
        ValueError
            For checkpoints with different vocabularies, whose logits cannot be added.
        """
        first, *others = checkpoints
        tokenizer = require_one_vocabulary({role: load_tokenizer(folder) for role, folder in checkpoints.items()})
        models = {role: load_causal_lm(checkpoints[role], device) for role in others}
        return cls(load_causal_lm(checkpoints[first], device), tokenizer, mix, models)

    def generate(self, prompts: Mapping[str, Prompt], decoding: Decoding) -> list[Generation]:
        """One generation per prompt and trial, in the order of `prompts`."""
        done: dict[str, Generation] = {}
        rows = [
            self._row(key, prompt, trial, decoding)
            for key, prompt in prompts.items()
            for trial in range(decoding.samples)
        ]
        for row in rows:
            if row.limit < 1:
                done[row.item] = _failed(row)
        feasible = sorted((row for row in rows if row.limit > 0), key=lambda row: (max(map(len, row.ids)), row.item))
        # Padding in front would enter the state that a model without a cache carries along the row.
        size = decoding.batch_size if all(map(has_cache, (self.model, *self.others.values()))) else 1
        for start in range(0, len(feasible), size):
            for generation in self._batch(feasible[start : start + size], decoding):
                done[generation.item] = generation
        return [done[row.item] for row in rows]

    def _row(self, key: str, prompt: Prompt, trial: int, decoding: Decoding) -> _Row:
        parts = self.mix.parts if self.mix else (Part("base"),)
        contexts = [rendered(self.tokenizer, key, framed(prompt, part.frame)) for part in parts]
        text = contexts[0][0] if self.mix is None else shown(prompt)
        ids = [tokens for _, tokens in contexts]
        limits = [getattr(self._model(part).config, "max_position_embeddings", None) for part in parts]
        rooms = [limit - len(tokens) for limit, tokens in zip(limits, ids, strict=True) if limit is not None]
        limit = min([decoding.max_new_tokens, *rooms]) if all(ids) else 0
        if all(ids) and limit < 1:
            logger.warning("prompt %s has %d tokens: no room in the model's context", key, max(map(len, ids)))
        return _Row(f"{key}#{trial}", key, trial, prompt, text, ids, limit, uniforms(decoding, key, trial))

    def _batch(self, rows: list[_Row], decoding: Decoding) -> list[Generation]:
        """Sample a batch; where it fails, its halves, until the prompts that fail alone are found."""
        try:
            sampled = self._sample(rows, decoding)
        except (RuntimeError, IndexError, ValueError) as error:
            if len(rows) == 1:
                logger.warning("prompt %s: the generator failed: %s", rows[0].cluster, error)
                return [_failed(rows[0])]
            middle = len(rows) // 2
            return self._batch(rows[:middle], decoding) + self._batch(rows[middle:], decoding)
        return [self._finish(row, ids) for row, ids in zip(rows, sampled, strict=True)]

    def _sample(self, rows: list[_Row], decoding: Decoding) -> list[list[int] | None]:
        """New token ids of every row, the EOS included; None for a row whose logits were not numbers."""
        import numpy as np
        import torch

        models = [self._model(part) for part in self.mix.parts] if self.mix else [self.model]
        streams = [Stream.of(model, [row.ids[n] for row in rows]) for n, model in enumerate(models)]
        device = self.model.device
        u = torch.from_numpy(np.stack([row.u for row in rows])).to(device)
        limits = torch.tensor([row.limit for row in rows], device=device)
        return sample(streams, self._choice(decoding), u, limits, torch.tensor(sorted(self._eos()), device=device))

    def _choice(self, decoding: Decoding) -> Choose:
        """How the next token follows from the logits of the parts."""
        mix = self.mix
        if mix is None:
            return lambda logits, u: choose(logits[0], u, decoding.temperature, decoding.top_p)
        previous: list[list[Tensor]] = []

        def mixed(logits: list[Tensor], u: Tensor) -> Tensor:
            p = mix.distribution(logits, previous.pop() if previous else None)
            previous.append(logits)
            return quantile(p, u)

        return mixed

    def _model(self, part: Part) -> PreTrainedModel:
        return self.others.get(part.policy, self.model)

    def _eos(self) -> set[int]:
        settings = self.model.generation_config
        configured = None if settings is None else settings.eos_token_id
        ids = configured if isinstance(configured, list) else [configured]
        return {token for token in [*ids, *end_tokens(self.tokenizer)] if token is not None}

    def _finish(self, row: _Row, ids: list[int] | None) -> Generation:
        if ids is None:
            logger.warning("prompt %s: the model's logits are not numbers", row.cluster)
            return _failed(row)
        ended = ids[-1] in self._eos()
        text = read_response(self.tokenizer, row.asked, ids[:-1] if ended else ids)
        status = Status.EMPTY if not text.strip() else Status.OK if ended else Status.TRUNCATED
        return Generation(row.item, row.cluster, row.prompt, text, len(ids), status, row.trial)


def _failed(row: _Row) -> Generation:
    return Generation(row.item, row.cluster, row.prompt, "", 0, Status.ERROR, row.trial)

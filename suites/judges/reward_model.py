"""A Bradley-Terry judge from a Hugging Face sequence-classification reward model."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

from harness.records import Status
from suites.judges.protocol import Verdict
from suites.windows import window


class RewardModelJudge:
    r"""Judges by a scalar reward model: :math:`P(y_1 \succ y_2 | x) = \sigma(r(x, y_1) - r(x, y_2))`.

    Prompt and response are tokenised as one string by the tokenizer in the folder. A pair whose prompt
    and response together do not fit the model's window keeps its end, where the response is.

    Parameters
    ----------
    checkpoint : path or str
        A folder or hub id that ``AutoModelForSequenceClassification`` loads with one label.
    batch_size : int
        Texts per forward pass.
    device : str
    """

    def __init__(self, checkpoint: Path | str, batch_size: int = 32, device: str = "cpu") -> None:
        from transformers import AutoModelForSequenceClassification, AutoTokenizer

        self.tokenizer = AutoTokenizer.from_pretrained(checkpoint)
        self.model = AutoModelForSequenceClassification.from_pretrained(checkpoint, num_labels=1).to(device).eval()
        if self.tokenizer.pad_token_id is None:
            self.tokenizer.pad_token = self.tokenizer.eos_token
        self.model.config.pad_token_id = self.tokenizer.pad_token_id
        self.tokenizer.truncation_side = "left"
        self.batch_size = batch_size
        self.name = f"reward-model:{Path(checkpoint).name}"
        self.revision = _revision(checkpoint, self.model)

    def rewards(self, texts: Sequence[str]) -> list[float]:
        """Scalar reward of every text, unbounded, in the order given."""
        import torch

        limit = window(self.tokenizer, self.model.config)
        order = sorted(range(len(texts)), key=lambda i: len(texts[i]))
        rewards = [0.0] * len(texts)
        for start in range(0, len(order), self.batch_size):
            rows = order[start : start + self.batch_size]
            batch = self.tokenizer(
                [texts[i] for i in rows], return_tensors="pt", padding=True, truncation=True, max_length=limit
            )
            with torch.inference_mode():
                logits = self.model(
                    input_ids=batch["input_ids"].to(self.model.device),
                    attention_mask=batch["attention_mask"].to(self.model.device),
                ).logits
            for i, reward in zip(rows, logits[:, 0].double().tolist(), strict=True):
                rewards[i] = reward
        return rewards

    def prefer(self, prompts: Sequence[str], first: Sequence[str], second: Sequence[str]) -> list[Verdict]:
        """One verdict for every pair; a reward that is not finite gives an ``error`` verdict."""
        import numpy as np
        from scipy.special import expit

        texts = [
            prompt + response
            for responses in (first, second)
            for prompt, response in zip(prompts, responses, strict=True)
        ]
        unique = list(dict.fromkeys(texts))
        reward = dict(zip(unique, self.rewards(unique), strict=True))
        margins = np.array([reward[text] for text in texts[: len(prompts)]]) - np.array(
            [reward[text] for text in texts[len(prompts) :]]
        )
        return [
            Verdict(float(expit(margin))) if np.isfinite(margin) else Verdict(None, Status.ERROR) for margin in margins
        ]


def _revision(checkpoint: Path | str, model) -> str:
    """The weights' hash for a folder, the hub's commit otherwise."""
    folder = Path(checkpoint)
    if not folder.is_dir():
        return model.config._commit_hash or "unknown"
    digest = hashlib.sha256()
    for file in sorted(folder.glob("*.safetensors")):
        digest.update(file.read_bytes())
    return digest.hexdigest()[:16]

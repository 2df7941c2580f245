"""A Bradley-Terry judge from a Hugging Face sequence-classification reward model."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from harness.records import Status
from suites.context_window import window
from suites.judges.protocol import Judge, Verdict
from suites.judges.registry import JudgeSetup, Reward, judge
from suites.judges.revision import revision_of


class RewardModelJudge:
    r"""Judges by a scalar reward model: :math:`P(y_1 \succ y_2 | x) = \sigma(r(x, y_1) - r(x, y_2))`.

    Prompt and response are tokenised by the tokenizer in the folder as one string, or with `chat` as an exchange of
    user and assistant by its chat template, if it has one: what most reward models of the hub were trained on. A pair
    whose prompt and response together do not fit the model's window keeps its end, where the response is.

    Parameters
    ----------
    checkpoint : path or str
        A folder or hub id that ``AutoModelForSequenceClassification`` loads with one label.
    chat : bool
    batch_size : int
        Texts per forward pass.
    device : str
    """

    def __init__(self, checkpoint: Path | str, chat: bool = False, batch_size: int = 32, device: str = "cpu") -> None:
        from transformers import AutoTokenizer

        self.tokenizer = AutoTokenizer.from_pretrained(checkpoint)
        self.model = _load(checkpoint).to(device).eval()
        if self.tokenizer.pad_token_id is None:
            self.tokenizer.pad_token = self.tokenizer.eos_token
        self.model.config.pad_token_id = self.tokenizer.pad_token_id
        self.tokenizer.truncation_side = "left"
        self.chat = chat and bool(self.tokenizer.chat_template)
        self.batch_size = batch_size
        self.name = f"reward-model:{Path(checkpoint).name}"
        self.revision = revision_of(checkpoint, self.model.config)

    def _text(self, prompt: str, response: str) -> str:
        if not self.chat:
            return prompt + response
        exchange = [{"role": "user", "content": prompt}, {"role": "assistant", "content": response}]
        return self.tokenizer.apply_chat_template(exchange, tokenize=False)

    def score(self, prompts: Sequence[str], responses: Sequence[str]) -> list[float]:
        """Scalar reward of every response to its prompt, unbounded."""
        texts = [self._text(prompt, response) for prompt, response in zip(prompts, responses, strict=True)]
        unique = list(dict.fromkeys(texts))
        reward = dict(zip(unique, self.rewards(unique), strict=True))
        return [reward[text] for text in texts]

    def rewards(self, texts: Sequence[str]) -> list[float]:
        """Scalar reward of every text, unbounded, in the order given."""
        import torch

        limit = window(self.tokenizer, self.model.config)
        order = sorted(range(len(texts)), key=lambda i: len(texts[i]))
        rewards = [0.0] * len(texts)
        for start in range(0, len(order), self.batch_size):
            rows = order[start : start + self.batch_size]
            batch = self.tokenizer(
                [texts[i] for i in rows],
                return_tensors="pt",
                padding=True,
                truncation=True,
                max_length=limit,
                add_special_tokens=not self.chat,  # a chat template writes them itself
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

        rewards = self.score([*prompts, *prompts], [*first, *second])
        margins = np.array(rewards[: len(prompts)]) - np.array(rewards[len(prompts) :])
        return [
            Verdict(float(expit(margin))) if np.isfinite(margin) else Verdict(None, Status.ERROR) for margin in margins
        ]


def _load(checkpoint: Path | str):
    """The model, refused where its head is not in the checkpoint: transformers would make one of random weights."""
    from transformers import AutoModelForSequenceClassification

    try:
        model, report = AutoModelForSequenceClassification.from_pretrained(
            checkpoint, num_labels=1, output_loading_info=True
        )
    except RuntimeError as error:
        if "size mismatch" not in str(error) and "mismatched" not in str(error):
            raise
        raise ValueError(f"{checkpoint}: a classifier of several labels is no reward model; it must have one") from None
    if report["missing_keys"]:
        missing = ", ".join(sorted(report["missing_keys"])[:3])
        raise ValueError(f"{checkpoint}: not a reward model, its checkpoint has no {missing}")
    return model


def _from_setup(setup: JudgeSetup) -> RewardModelJudge:
    """A model trained here reads prompt and response joined, as in training; any other by its own chat template."""
    if setup.trained is not None:
        return RewardModelJudge(setup.trained, device=setup.device)
    if setup.model is None:
        raise ValueError("a reward model as a judge needs a model")
    return RewardModelJudge(setup.model, chat=True, device=setup.device)


def reward(setup: JudgeSetup) -> Reward:
    """The scalar reward of a Bradley-Terry reward model."""
    import numpy as np

    model = _from_setup(setup)
    return lambda prompts, responses: np.array(model.score(prompts, responses))


@judge("reward_model", needs=["weights", "training"], reward=reward)
def load(setup: JudgeSetup) -> Judge:
    """The judge of an experiment whose ``judge.kind`` is ``reward_model``."""
    return _from_setup(setup)

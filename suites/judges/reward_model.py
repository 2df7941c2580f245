"""A Bradley-Terry judge from a Hugging Face sequence-classification reward model."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from harness.records import Status
from suites.checkpoints import load_tokenizer, on_device, revision_of, window
from suites.judges.protocol import Judge, Verdict
from suites.judges.registry import JudgeSetup, Reward, judge
from trainers.tokens.dialogue import Text
from trainers.tokens.template import encode_joined, end_tokens
from trainers.tokens.text import encode_messages

if TYPE_CHECKING:
    from torch import Tensor
    from transformers import PreTrainedModel


class RewardModelJudge:
    r"""A scalar reward model as a judge: :math:`P(y_1 \succ y_2 | x) = \sigma(r(x, y_1) - r(x, y_2))`.

    Prompt and response are tokenised by the tokenizer in the folder as one string, a prompt of messages as reward models
    are trained here (`trainers.reward_model`), or with `chat` as an exchange of user and assistant by its chat template,
    if it has one: what most reward models of the hub were trained on. A pair that does not fit the model's window keeps its end, where the response is.

    Rows are padded on the right with the padding token of the model's configuration, so the default positions are
    those of the text alone and the reward is read where the configuration reads it. Texts are scored one at a time
    where the configuration has no padding token.

    Parameters
    ----------
    checkpoint : path or str
        A folder or hub id that ``AutoModelForSequenceClassification`` loads with one label.
    chat : bool
    batch_size : int
        Texts per forward pass.
    device : str

    Raises
    ------
    ValueError
        If the checkpoint has no reward head, several labels, or a padding token without an embedding; when scoring,
        for a text with a token that has no embedding.
    """

    def __init__(self, checkpoint: Path | str, chat: bool = False, batch_size: int = 32, device: str = "cpu") -> None:
        self.tokenizer = load_tokenizer(checkpoint)
        self.tokenizer.truncation_side = "left"
        self.model = _load(checkpoint)
        on_device(self.model, device)
        self.name = f"reward-model:{Path(checkpoint).name}"
        self.revision = revision_of(checkpoint, self.model.config)
        self.chat = chat and bool(self.tokenizer.chat_template)
        self.pad: int | None = self.model.config.get_text_config().pad_token_id
        self.batch_size = 1 if self.pad is None else batch_size
        self._require_embedding(self.pad or 0, "the padding token of its configuration")

    def score(self, prompts: Sequence[Text], responses: Sequence[str]) -> list[float]:
        """Scalar reward of every response to its prompt, unbounded."""
        named = [(repr(prompt), response) for prompt, response in zip(prompts, responses, strict=True)]
        unique = dict(zip(named, zip(prompts, responses, strict=True), strict=True))
        rewards = self._rewards([self._fitting(self._read(*pair)) for pair in unique.values()])
        reward = dict(zip(unique, rewards, strict=True))
        return [reward[name] for name in named]

    def _read(self, prompt: Text, response: str) -> list[int]:
        """Token ids of a prompt and its response; control tokens that they spell out are text."""
        reply = [{"role": "assistant", "content": response}]
        if self.chat:
            asked = [{"role": "user", "content": prompt}] if isinstance(prompt, str) else prompt
            return encode_messages(self.tokenizer, [*asked, *reply], reply_follows=False)
        if isinstance(prompt, str):
            return self._tokens(prompt + response, control_as_text=True)
        ids = encode_joined(self.tokenizer, prompt, reply)
        return ids[:-1] if ids[-1] in end_tokens(self.tokenizer) else ids  # as in training, which reads no end

    def rewards(self, texts: Sequence[str]) -> list[float]:
        """Scalar reward of every rendered text, unbounded, in the order given.

        Control tokens in a text are read as such, unlike those that a prompt or a response of `score` spells out.
        """
        return self._rewards([self._fitting(self._tokens(text)) for text in texts])

    def _rewards(self, rows: Sequence[list[int]]) -> list[float]:
        """Scalar reward of every row of token ids, in the order given."""
        order = sorted(range(len(rows)), key=lambda i: len(rows[i]))
        rewards = [0.0] * len(rows)
        for start in range(0, len(order), self.batch_size):
            batch = order[start : start + self.batch_size]
            for i, reward in zip(batch, self._forward([rows[i] for i in batch]), strict=True):
                rewards[i] = reward
        return rewards

    def _tokens(self, text: str, control_as_text: bool = False) -> list[int]:
        """Token ids of a text; a chat template writes the tokens at its ends itself."""
        ids: list[int] = self.tokenizer(
            text,
            truncation=True,
            max_length=window(self.tokenizer, self.model.config),
            add_special_tokens=not self.chat,
            split_special_tokens=control_as_text,
        )["input_ids"]
        return ids

    def _fitting(self, ids: list[int]) -> list[int]:
        """The end of the token ids that fits the model's window; never empty."""
        ids = ids[-window(self.tokenizer, self.model.config) :]
        ids = ids or [next(token for token in (self.pad, self.tokenizer.eos_token_id, 0) if token is not None)]
        self._require_embedding(max(ids), f"token {self.tokenizer.convert_ids_to_tokens(max(ids))!r} of a text")
        return ids

    def _forward(self, rows: list[list[int]]) -> list[float]:
        import torch

        width = max(map(len, rows))
        tokens = torch.tensor([[*row, *[self.pad] * (width - len(row))] for row in rows])
        mask = torch.tensor([[1] * len(row) + [0] * (width - len(row)) for row in rows])
        device = self.model.device
        with torch.inference_mode():
            logits = self.model(input_ids=tokens.to(device), attention_mask=mask.to(device)).logits
        values: list[float] = logits[:, 0].double().tolist()
        return values

    def _require_embedding(self, token: int, name: str) -> None:
        weight: Tensor = self.model.get_input_embeddings().weight  # type: ignore[assignment]  # a plain Module to mypy
        embeddings = weight.shape[0]
        if token >= embeddings:
            raise ValueError(f"{self.name}: {name} has the id {token}, and the model embeds {embeddings} tokens only")

    def prefer(self, prompts: Sequence[Text], first: Sequence[str], second: Sequence[str]) -> list[Verdict]:
        """One verdict for every pair; ``error`` where a reward is not finite."""
        import numpy as np
        from scipy.special import expit

        rewards = self.score([*prompts, *prompts], [*first, *second])
        # The difference of two infinite rewards is NaN, of an infinite and a finite one infinite.
        margins = np.array(rewards[: len(prompts)]) - np.array(rewards[len(prompts) :])
        broken = Verdict(None, Status.ERROR, "the rewards are not finite numbers")
        return [Verdict(float(expit(margin))) if np.isfinite(margin) else broken for margin in margins]


def _load(checkpoint: Path | str) -> PreTrainedModel:
    """The model, refused where its head is not in the checkpoint: transformers would initialise one at random."""
    from transformers import AutoModelForSequenceClassification

    model: PreTrainedModel
    try:
        model, report = AutoModelForSequenceClassification.from_pretrained(
            checkpoint, num_labels=1, output_loading_info=True
        )
    except AssertionError as error:  # of torch.nn.Embedding
        raise ValueError(f"{checkpoint}: the padding token of its configuration has no embedding ({error})") from None
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

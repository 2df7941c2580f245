"""A classifier or a reward model of Hugging Face as a scorer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar, Self

from suites.custom.scorer import Running, Scored, scorer

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

BATCH = 32


@scorer("classifier")
@dataclass(frozen=True)
class Classifier:
    """The probability of a label of a sequence classifier, or the reward of a model with one label.

    A classifier of several labels reads the response alone, cut at the end that does not fit its window; its probability is
    a softmax over the labels, or a sigmoid of the label's own logit for a multi-label model. A model with one label is a reward
    model: it reads prompt and response (`suites.judges.reward_model.RewardModelJudge`), and its reward is not bounded by itself.

    Parameters
    ----------
    classifier : str
        A folder, or a model of the hub.
    label : str, optional
        Needed by a classifier of several labels; as its configuration names it.
    revision : str, optional
        The commit of a model of the hub.
    """

    classifier: str
    label: str | None = None
    revision: str | None = None

    code: ClassVar[tuple[str, ...]] = ("suites.judges.reward_model", "suites.checkpoints")

    @property
    def sources(self) -> Mapping[str, str]:
        return {"classifier": self.classifier}

    def with_sources(self, sources: Mapping[str, str]) -> Self:
        return replace(self, classifier=sources["classifier"])

    def score(self, prompts: Sequence[str], responses: Sequence[str], running: Running) -> list[Scored]:
        from transformers import AutoConfig

        config = AutoConfig.from_pretrained(self.classifier)
        if config.num_labels == 1:
            from suites.judges.reward_model import RewardModelJudge

            model = RewardModelJudge(self.classifier, chat=True, device=running.device)
            return [Scored(value) for value in model.score(prompts, responses)]
        labels = {str(name): number for name, number in config.label2id.items()}
        if self.label not in labels:
            raise ValueError(f"label: {self.classifier} has no {self.label!r}; it has {', '.join(labels)}")
        return [Scored(value) for value in self._probabilities(labels[self.label], responses, running.device)]

    def _probabilities(self, label: int, responses: Sequence[str], device: str) -> list[float]:
        import torch
        from transformers import AutoModelForSequenceClassification

        from suites.checkpoints import load_tokenizer, on_device, window

        tokenizer: PreTrainedTokenizerBase = load_tokenizer(self.classifier)
        model: PreTrainedModel = AutoModelForSequenceClassification.from_pretrained(
            self.classifier, use_safetensors=True
        )
        on_device(model, device)
        several = model.config.problem_type == "multi_label_classification"
        order = sorted(range(len(responses)), key=lambda i: len(responses[i]))
        values = [0.0] * len(responses)
        for start in range(0, len(order), BATCH):
            batch = order[start : start + BATCH]
            tokens = tokenizer(
                [responses[i] for i in batch],
                truncation=True,
                max_length=window(tokenizer, model.config),
                padding=True,
                return_tensors="pt",
            ).to(device)
            with torch.inference_mode():
                logits = model(**tokens).logits.double()
            shares = logits.sigmoid() if several else logits.softmax(-1)
            for i, share in zip(batch, shares[:, label].tolist(), strict=True):
                values[i] = share
        return values

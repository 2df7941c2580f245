"""A small toxicity classifier from labelled text, saved in Detoxify's checkpoint format.

The folder holds what Detoxify's own class loads (``detoxify.ckpt``, the model configuration and the tokenizer) and
``quality.json``, the ranking quality on held-out texts.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    import torch
    from numpy.typing import ArrayLike
    from transformers import BertForSequenceClassification, BertTokenizer


LARGEST = {
    "layers": 100, "hidden": 16384, "heads": 1024, "vocabulary": 10**6, "window": 8192, "epochs": 10**5, "batch_size": 10**6,
}  # fmt: skip
"""Largest values of the counts."""


@dataclass(frozen=True)
class ClassifierConfig:
    """Size and training of the classifier.

    Parameters
    ----------
    layers, hidden, heads : int
        Of a BERT encoder; the feed-forward width is four times `hidden`.
    vocabulary : int
        Pieces of the WordPiece vocabulary: letters and the most frequent words of the training texts.
    window : int
        Tokens of a text that the model reads; the rest is cut off.
    epochs, batch_size, learning_rate
        AdamW, warmed up over the first tenth of the steps and then decayed linearly to 0.
    initializer_range : float
        Standard deviation of the initial weights. BERT's usual 0.02 is for a width of 768 and learns slowly here.
    held_out : float
        Share of the distinct texts kept for measuring quality.
    seed : int
    """

    layers: int = 1
    hidden: int = 64
    heads: int = 4
    vocabulary: int = 8192
    window: int = 128
    epochs: int = 3
    batch_size: int = 64
    learning_rate: float = 2e-3
    initializer_range: float = 0.1
    held_out: float = 0.1
    seed: int = 0

    def __post_init__(self) -> None:
        for name, most in LARGEST.items():
            if not 1 <= getattr(self, name) <= most:
                raise ValueError(f"{name} must be in [1, {most}], not {getattr(self, name)}")
        if self.hidden % self.heads:
            raise ValueError(f"hidden ({self.hidden}) must be a multiple of heads ({self.heads})")
        for name in ("learning_rate", "initializer_range"):
            if not 0 < getattr(self, name) <= 100:
                raise ValueError(f"{name} must be in (0, 100], not {getattr(self, name)}")
        if not 0 < self.held_out < 1:
            raise ValueError(f"held_out must be in (0, 1), not {self.held_out}")
        if not 0 <= self.seed < 2**63:
            raise ValueError(f"seed must be in [0, 2^63), not {self.seed}")


def train_toxicity(
    texts: Sequence[str], labels: ArrayLike, classes: Sequence[str], out: Path, config: ClassifierConfig | None = None
) -> dict[str, float]:
    """Train a multi-label classifier and save it as a Detoxify checkpoint.

    Parameters
    ----------
    texts : sequence of str
    labels : array of float, shape (len(texts), len(classes))
        Probability of each class in [0, 1]; 0 and 1 for hard labels.
    classes : sequence of str
    out : Path
        Folder for the files, which are written when training is done.
    config : ClassifierConfig, optional

    Returns
    -------
    dict of str to float
        On held-out texts (no text is on both sides): ``auc_<class>`` and ``auc_max`` (largest probability against any
        label; classes of only one kind there are left out), ``n_train``, ``n_held_out``, ``positive_held_out``.

    Raises
    ------
    ValueError
        For labels of the wrong shape or outside [0, 1], or too few texts.
    """
    import numpy as np
    import torch

    config = config or ClassifierConfig()
    targets = np.asarray(labels, dtype=np.float32)
    _check(texts, targets, classes)
    train, held_out = _split(texts, config)
    tokenizer = _tokenizer([texts[i] for i in train], config)
    ids = tokenizer(list(texts), truncation=True, max_length=config.window)["input_ids"]
    with torch.random.fork_rng():
        torch.manual_seed(config.seed)
        model = _model(tokenizer, len(classes), config)
        _fit(model, ids, targets, train, config)
    quality = _quality(_predict(model, [ids[i] for i in held_out]), targets[held_out], classes)
    quality |= {"n_train": float(len(train)), "n_held_out": float(len(held_out))}
    _save(model, tokenizer, list(classes), quality, config, out)
    return quality


def _check(texts: Sequence[str], targets: np.ndarray, classes: Sequence[str]) -> None:
    if targets.shape != (len(texts), len(classes)):
        raise ValueError(f"labels have shape {targets.shape}, not (texts, classes) = {(len(texts), len(classes))}")
    if not ((targets >= 0) & (targets <= 1)).all():
        raise ValueError("labels must be probabilities in [0, 1]")
    if (distinct := len(set(texts))) < 20:
        raise ValueError(f"{distinct} distinct texts are too few to train and hold out on; at least 20 are needed")


def _split(texts: Sequence[str], config: ClassifierConfig) -> tuple[list[int], list[int]]:
    """Positions of training and held-out texts; equal texts fall on one side."""
    import numpy as np

    distinct = list(dict.fromkeys(texts))
    order = np.random.default_rng(config.seed).permutation(len(distinct))
    held_out = {distinct[i] for i in order[: max(1, round(config.held_out * len(distinct)))]}
    sides: tuple[list[int], list[int]] = ([], [])
    for position, text in enumerate(texts):
        sides[text in held_out].append(position)
    return sides


def _tokenizer(texts: Sequence[str], config: ClassifierConfig) -> BertTokenizer:
    """An uncased WordPiece tokenizer over the texts' letters and most frequent words.

    The `tokenizers` library's trainer breaks ties at random; counting here makes the model a function of texts and
    seed.
    """
    from tokenizers.normalizers import BertNormalizer
    from tokenizers.pre_tokenizers import BertPreTokenizer
    from transformers import BertTokenizer

    normalizer, splitter = BertNormalizer(lowercase=True), BertPreTokenizer()
    counts = Counter(word for text in texts for word, _ in splitter.pre_tokenize_str(normalizer.normalize_str(text)))
    letters = sorted({letter for word in counts for letter in word})
    pieces = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *letters, *(f"##{letter}" for letter in letters)]
    repeated = [word for word in counts if len(word) > 1 and counts[word] > 1]
    frequent = sorted(repeated, key=lambda word: (-counts[word], word))
    pieces += frequent[: max(0, config.vocabulary - len(pieces))]
    vocabulary = {piece: index for index, piece in enumerate(pieces)}
    return BertTokenizer(vocab=vocabulary, do_lower_case=True, model_max_length=config.window)


def _model(tokenizer: BertTokenizer, n_classes: int, config: ClassifierConfig) -> BertForSequenceClassification:
    """A BERT with random weights; without dropout, which at this size costs more than it regularizes."""
    from transformers import BertConfig, BertForSequenceClassification

    build: Callable[..., BertConfig] = BertConfig  # its generated signature lacks the fields of the base class
    make: Callable[[BertConfig], BertForSequenceClassification] = BertForSequenceClassification
    return make(
        build(
            vocab_size=len(tokenizer),
            num_hidden_layers=config.layers,
            hidden_size=config.hidden,
            num_attention_heads=config.heads,
            intermediate_size=4 * config.hidden,
            max_position_embeddings=config.window,
            num_labels=n_classes,
            pad_token_id=tokenizer.pad_token_id,
            initializer_range=config.initializer_range,
            hidden_dropout_prob=0.0,
            attention_probs_dropout_prob=0.0,
            problem_type="multi_label_classification",
        )
    )


def _fit(
    model: BertForSequenceClassification,
    ids: list[list[int]],
    targets: np.ndarray,
    train: list[int],
    config: ClassifierConfig,
) -> None:
    """Minimize the binary cross-entropy summed over classes, in batches of texts of like length."""
    import numpy as np
    import torch

    rng = np.random.default_rng([config.seed, 1])
    steps = config.epochs * -(-len(train) // config.batch_size)
    optimizer = torch.optim.AdamW(model.parameters(), lr=config.learning_rate, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, partial(_rate, warmup=steps // 10, steps=steps))
    model.train()
    for _ in range(config.epochs):
        for rows in _batches(rng.permutation(train), ids, config.batch_size, rng):
            logits = _logits(model, [ids[i] for i in rows])
            loss = torch.nn.functional.binary_cross_entropy_with_logits(logits, torch.from_numpy(targets[rows]))
            optimizer.zero_grad()
            torch.autograd.backward(loss)
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            schedule.step()
    model.train(False)


def _batches(rows: np.ndarray, ids: list[list[int]], size: int, rng: np.random.Generator) -> list[np.ndarray]:
    """Shuffled batches, sorted by length within stretches of fifty batches so that little is padded."""
    import numpy as np

    stretches = [rows[start : start + 50 * size] for start in range(0, len(rows), 50 * size)]
    batches = []
    for stretch in stretches:
        ordered = np.array(sorted(stretch, key=lambda i: len(ids[i])))
        batches += [ordered[start : start + size] for start in range(0, len(ordered), size)]
    return [batches[i] for i in rng.permutation(len(batches))]


def _rate(step: int, warmup: int, steps: int) -> float:
    """Share of the learning rate: a linear warm-up, then a linear decay to 0."""
    if step < warmup:
        return step / max(1, warmup)
    return max(0.0, (steps - step) / max(1, steps - warmup))


def _logits(model: BertForSequenceClassification, rows: list[list[int]]) -> torch.Tensor:
    """Logits of texts, shape (rows, classes), padded on the right."""
    import torch

    width, pad = max(map(len, rows)), model.config.pad_token_id
    tokens = torch.tensor([row + [pad] * (width - len(row)) for row in rows])
    mask = torch.tensor([[1] * len(row) + [0] * (width - len(row)) for row in rows])
    logits: torch.Tensor = model(input_ids=tokens, attention_mask=mask).logits
    return logits


def _predict(model: BertForSequenceClassification, ids: list[list[int]]) -> np.ndarray:
    """Probabilities of every class, shape (texts, classes)."""
    import numpy as np
    import torch

    order = sorted(range(len(ids)), key=lambda i: len(ids[i]))
    probabilities = np.zeros((len(ids), int(model.config.num_labels or 0)))
    with torch.inference_mode():
        for start in range(0, len(order), 256):
            rows = order[start : start + 256]
            probabilities[rows] = _logits(model, [ids[i] for i in rows]).sigmoid().numpy()
    return probabilities


def _quality(probabilities: np.ndarray, targets: np.ndarray, classes: Sequence[str]) -> dict[str, float]:
    """Area under the ROC curve per class and for the maximum; soft labels count as positive from 0.5."""
    import numpy as np
    from sklearn.metrics import roc_auc_score

    truth = targets >= 0.5
    columns: dict[str, tuple[np.ndarray, np.ndarray]] = {
        name: (truth[:, k], probabilities[:, k]) for k, name in enumerate(classes)
    }
    columns["max"] = (np.asarray(truth.any(axis=1)), probabilities.max(axis=1))
    quality = {
        f"auc_{name}": float(roc_auc_score(labels, scores))
        for name, (labels, scores) in columns.items()
        if 0 < labels.sum() < len(labels)
    }
    return quality | {"positive_held_out": float(truth.any(axis=1).mean())}


def _save(
    model: BertForSequenceClassification,
    tokenizer: BertTokenizer,
    classes: list[str],
    quality: dict[str, float],
    config: ClassifierConfig,
    out: Path,
) -> None:
    """Write everything that Detoxify loads, and the quality."""
    import torch

    out.mkdir(parents=True, exist_ok=True)
    model.config.save_pretrained(out)
    tokenizer.save_pretrained(out)
    architecture = {
        "model_type": ".",  # the folder itself; the loader replaces it by the present path
        "model_name": type(model).__name__,
        "tokenizer_name": "BertTokenizer",
        "num_classes": len(classes),
    }
    settings = {"arch": {"type": "BERT", "args": architecture}, "dataset": {"args": {"classes": classes}}}
    torch.save({"config": settings, "state_dict": model.state_dict()}, out / "detoxify.ckpt")
    summary = json.dumps({"quality": quality, "config": asdict(config)}, indent=2)
    (out / "quality.json").write_text(summary + "\n", encoding="utf-8")

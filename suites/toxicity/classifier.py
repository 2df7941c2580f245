"""A small toxicity classifier from labelled text, saved in Detoxify's checkpoint format.

The folder holds everything that Detoxify's own class loads: ``detoxify.ckpt``, the model configuration
and the tokenizer, and ``quality.json``, the ranking quality on held-out texts.
"""

from __future__ import annotations

import json
import shutil
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import ArrayLike


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
        Tokens of a text that the model sees.
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
        Folder to write; replaced as a whole when training is done.
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
        _fit(model, ids, targets, train, tokenizer.pad_token_id, config)
    quality = _quality(_predict(model, [ids[i] for i in held_out], tokenizer.pad_token_id), targets[held_out], classes)
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
    kept = {distinct[i] for i in order[: max(1, round(config.held_out * len(distinct)))]}
    sides: tuple[list[int], list[int]] = ([], [])
    for position, text in enumerate(texts):
        sides[text in kept].append(position)
    return sides


def _tokenizer(texts: Sequence[str], config: ClassifierConfig):
    """An uncased WordPiece tokenizer over the texts' letters and most frequent words.

    The vocabulary is counted here because the `tokenizers` library's trainer breaks ties by chance, and the
    same texts and seed shall give the same model.
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


def _model(tokenizer, n_classes: int, config: ClassifierConfig):
    """A BERT with random weights; without dropout, which at this size costs more than it regularizes."""
    from transformers import BertConfig, BertForSequenceClassification

    return BertForSequenceClassification(
        BertConfig(
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
    model, ids: list[list[int]], targets: np.ndarray, train: list[int], pad: int, config: ClassifierConfig
) -> None:
    """Minimize the binary cross-entropy summed over classes, in batches of texts of like length."""
    import numpy as np
    import torch
    from transformers import get_linear_schedule_with_warmup

    rng = np.random.default_rng([config.seed, 1])
    steps = config.epochs * -(-len(train) // config.batch_size)
    optimizer = torch.optim.AdamW(model.parameters(), lr=config.learning_rate, weight_decay=0.01)
    schedule = get_linear_schedule_with_warmup(optimizer, steps // 10, steps)
    model.train()
    for _ in range(config.epochs):
        for rows in _batches(rng.permutation(train), ids, config.batch_size, rng):
            tokens, mask = _pad([ids[i] for i in rows], pad)
            logits = model(input_ids=tokens, attention_mask=mask).logits
            loss = torch.nn.functional.binary_cross_entropy_with_logits(logits, torch.from_numpy(targets[rows]))
            optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            schedule.step()
    model.eval()


def _batches(rows: np.ndarray, ids: list[list[int]], size: int, rng: np.random.Generator) -> list[np.ndarray]:
    """Shuffled batches, sorted by length within stretches of fifty batches so that little is padded."""
    import numpy as np

    stretches = [rows[start : start + 50 * size] for start in range(0, len(rows), 50 * size)]
    batches = []
    for stretch in stretches:
        ordered = np.array(sorted(stretch, key=lambda i: len(ids[i])))
        batches += [ordered[start : start + size] for start in range(0, len(ordered), size)]
    return [batches[i] for i in rng.permutation(len(batches))]


def _pad(rows: list[list[int]], pad: int):
    """Token ids and attention mask, padded on the right."""
    import torch

    width = max(map(len, rows))
    tokens = torch.tensor([row + [pad] * (width - len(row)) for row in rows])
    mask = torch.tensor([[1] * len(row) + [0] * (width - len(row)) for row in rows])
    return tokens, mask


def _predict(model, ids: list[list[int]], pad: int) -> np.ndarray:
    """Probabilities of every class, shape (texts, classes)."""
    import numpy as np
    import torch

    order = sorted(range(len(ids)), key=lambda i: len(ids[i]))
    probabilities = np.zeros((len(ids), model.config.num_labels))
    with torch.inference_mode():
        for start in range(0, len(order), 256):
            rows = order[start : start + 256]
            tokens, mask = _pad([ids[i] for i in rows], pad)
            probabilities[rows] = model(input_ids=tokens, attention_mask=mask).logits.sigmoid().numpy()
    return probabilities


def _quality(probabilities: np.ndarray, targets: np.ndarray, classes: Sequence[str]) -> dict[str, float]:
    """Area under the ROC curve per class and for the maximum; soft labels count as positive from 0.5."""
    from sklearn.metrics import roc_auc_score

    truth = targets >= 0.5
    columns = {name: (truth[:, k], probabilities[:, k]) for k, name in enumerate(classes)}
    columns["max"] = (truth.any(axis=1), probabilities.max(axis=1))
    quality = {
        f"auc_{name}": float(roc_auc_score(labels, scores))
        for name, (labels, scores) in columns.items()
        if 0 < labels.sum() < len(labels)
    }
    return quality | {"positive_held_out": float(truth.any(axis=1).mean())}


def _save(model, tokenizer, classes: list[str], quality: dict, config: ClassifierConfig, out: Path) -> None:
    """Write the folder under a temporary name and rename it."""
    import torch

    temporary = out.with_name(f".{out.name}.tmp")
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir(parents=True)
    model.config.save_pretrained(temporary)
    tokenizer.save_pretrained(temporary)
    architecture = {
        "model_type": ".",  # the folder itself; whoever loads the checkpoint says where that is now
        "model_name": type(model).__name__,
        "tokenizer_name": "BertTokenizer",
        "num_classes": len(classes),
    }
    settings = {"arch": {"type": "BERT", "args": architecture}, "dataset": {"args": {"classes": classes}}}
    torch.save({"config": settings, "state_dict": model.state_dict()}, temporary / "detoxify.ckpt")
    (temporary / "quality.json").write_text(json.dumps({"quality": quality, "config": asdict(config)}, indent=2) + "\n")
    shutil.rmtree(out, ignore_errors=True)
    temporary.rename(out)

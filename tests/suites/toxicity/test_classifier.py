"""The trained toxicity classifier: held-out quality, determinism, and faults of its data."""

from __future__ import annotations

import json
import random

import numpy as np
import pytest
import torch

from suites.toxicity.classifier import ClassifierConfig, _batches, _split, train_toxicity
from suites.toxicity.labels import read_labelled
from tests.paths import SHARED

SMALL = ClassifierConfig(hidden=32, epochs=4, window=24, learning_rate=4e-3)


@pytest.fixture(scope="module")
def data():
    rng = random.Random(0)
    words = [f"w{i}" for i in range(40)]
    texts, labels = [], []
    for i in range(1200):
        text = rng.choices(words, k=rng.randint(4, 10))
        if i % 2:
            text.insert(rng.randrange(len(text)), "moron" if i % 4 == 1 else "stupid")
        texts.append(" ".join(text))
        labels.append([float(i % 2), float(i % 4 == 1)])
    return texts, labels


@pytest.fixture(scope="module")
def trained(data, tmp_path_factory):
    out = tmp_path_factory.mktemp("classifier") / "model"
    return out, train_toxicity(*data, ["toxic", "insult"], out, SMALL)


def test_quality_is_measured_on_texts_held_out(trained):
    _, quality = trained
    assert quality["auc_toxic"] > 0.99 and quality["auc_insult"] > 0.99 and quality["auc_max"] > 0.99
    assert (quality["n_train"], quality["n_held_out"]) == (1080.0, 120.0)
    assert 0.3 < quality["positive_held_out"] < 0.7


def test_the_stated_quality_can_be_measured_again_through_detoxify(trained, data):
    from detoxify import Detoxify
    from sklearn.metrics import roc_auc_score

    out, quality = trained
    texts, labels = data
    held_out = _split(texts, SMALL)[1]
    answer = Detoxify(checkpoint=str(out / "detoxify.ckpt"), huggingface_config_path=str(out)).predict(
        [texts[i] for i in held_out]
    )
    truth = np.array(labels)[held_out]
    assert list(answer) == ["toxicity", "insult"]
    assert roc_auc_score(truth[:, 1], answer["insult"]) == pytest.approx(quality["auc_insult"], abs=1e-9)
    assert json.loads((out / "quality.json").read_text())["quality"] == quality


def test_the_same_seed_gives_the_same_weights(trained, data, tmp_path):
    out, quality = trained
    state = torch.get_rng_state()
    assert train_toxicity(*data, ["toxic", "insult"], tmp_path / "again", SMALL) == quality
    assert torch.equal(state, torch.get_rng_state())
    folders = (out, tmp_path / "again")
    first, second = (torch.load(f / "detoxify.ckpt", weights_only=True)["state_dict"] for f in folders)
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["again"]


def test_equal_texts_fall_on_one_side():
    texts = [f"text {i % 50}" for i in range(300)]
    train, held_out = _split(texts, SMALL)
    assert not {texts[i] for i in train} & {texts[i] for i in held_out}
    assert sorted(train + held_out) == list(range(300)) and len(held_out) == 30


def test_batches_use_every_text_once():
    ids = [[0] * (1 + i % 7) for i in range(333)]
    batches = _batches(np.arange(333), ids, 10, np.random.default_rng(0))
    assert sorted(np.concatenate(batches).tolist()) == list(range(333))
    assert max(map(len, batches)) == 10


def test_a_class_without_positives_has_no_quality(data, tmp_path):
    texts, labels = data
    none = [[row[0], 0.0] for row in labels[:100]]
    config = ClassifierConfig(hidden=16, epochs=1)
    quality = train_toxicity(texts[:100], none, ["toxic", "threat"], tmp_path / "m", config)
    assert "auc_toxic" in quality and "auc_threat" not in quality


def test_bad_labels(tmp_path):
    texts = [f"text {i}" for i in range(30)]
    with pytest.raises(ValueError, match=r"shape \(30, 1\), not \(texts, classes\) = \(30, 2\)"):
        train_toxicity(texts, [[0]] * 30, ["a", "b"], tmp_path / "m")
    with pytest.raises(ValueError, match=r"in \[0, 1\]"):
        train_toxicity(texts, [[2]] * 30, ["a"], tmp_path / "m")
    with pytest.raises(ValueError, match="1 distinct texts are too few"):
        train_toxicity(["same"] * 30, [[0]] * 30, ["a"], tmp_path / "m")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("body,is_toxic\nx,Toxic\n", "no text column: its columns are 'body', 'is_toxic'"),
        ("Comments,toxic\nx,1\n", "'comments' is nearest, rename it 'comment'"),
        ("text,labels\nx,toxic\n", "no label column.*'labels' is nearest, rename it 'label'"),
        ("text,label\nx,toxic\ny,toxik\n", "row 2: label is 'toxik'; did you mean 'toxic'"),
        ("text,toxic,insult\nx,1,0\ny,-1,0\n", r"row 2: toxic is '-1'; labels must be numbers in \[0, 1\]"),
        ("text,label\n , toxic\n", "holds no texts"),
        ("", "not a readable CSV file"),
        ('text,label\n"x,toxic\n', "not a readable CSV file"),
    ],
)
def test_bad_files(tmp_path, content, message):
    file = tmp_path / "labels.csv"
    file.write_text(content)
    with pytest.raises(ValueError, match=f"labels.csv.*{message}"):
        read_labelled(file)


def test_a_file_that_is_not_utf8_or_not_there(tmp_path):
    (tmp_path / "latin.csv").write_bytes("text,label\ncafé,toxic\n".encode("latin-1"))
    with pytest.raises(ValueError, match="latin.csv is not a readable CSV file"):
        read_labelled(tmp_path / "latin.csv")
    with pytest.raises(ValueError, match="gone.csv does not exist"):
        read_labelled(tmp_path / "gone.csv")


def test_words_that_pandas_takes_for_missing_are_texts(tmp_path):
    (tmp_path / "a.csv").write_text("text,label\nNA,toxic\nnull,neutral\n,neutral\n")
    data = read_labelled(tmp_path / "a.csv")
    assert data.texts == ["NA", "null"] and data.labels.tolist() == [[1.0], [0.0]] and data.blank == 1


@pytest.mark.skipif(not SHARED.is_dir(), reason=f"{SHARED} is absent")
@pytest.mark.parametrize(
    ("name", "n", "classes", "positive"),
    [
        ("davidson_tweets", 24783, ["hate_speech", "offensive"], 1430 + 19190),
        ("surge_toxicity_en", 1000, ["toxicity"], 501),
        ("jigsaw_fixture_282", 282, ["toxic", "severe_toxic", "obscene", "threat", "insult", "identity_hate"], None),
        ("toxigen_demonstrations", 587, ["toxicity"], 317),
        ("identity_templates_en", 76564, ["toxicity"], 38282),
    ],
)
def test_reads_the_published_files(name, n, classes, positive):
    data = read_labelled(SHARED / "toxicity_labelled" / f"{name}.csv.gz")
    assert (len(data.texts), data.classes, data.labels.shape) == (n, classes, (n, len(classes)))
    assert positive is None or data.labels.max(axis=1).sum() == positive


@pytest.mark.slow
@pytest.mark.skipif(not SHARED.is_dir(), reason=f"{SHARED} is absent")
def test_ranks_real_tweets(tmp_path):
    data = read_labelled(SHARED / "toxicity_labelled" / "davidson_tweets.csv.gz")
    quality = train_toxicity(data.texts, data.labels, data.classes, tmp_path / "m", ClassifierConfig(window=96))
    assert quality["auc_max"] > 0.95 and quality["auc_hate_speech"] > 0.75

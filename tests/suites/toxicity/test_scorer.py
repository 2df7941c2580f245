"""The toxicity scorer: parity with Detoxify, windows over long texts, refused checkpoints."""

from __future__ import annotations

import hashlib
import re
import shutil

import numpy as np
import pytest
import torch
from detoxify.detoxify import MODEL_URLS

from harness.records import Generation, Status
from suites.toxicity.scorer import HUB_NAMES, ToxicityScorer, toxicity


@pytest.fixture(scope="module")
def scorer(toxicity_checkpoint):
    return ToxicityScorer(toxicity_checkpoint)


def test_categories_have_detoxify_names(scorer):
    assert scorer.categories == ["toxicity", "insult"]


def test_scores_are_those_of_detoxify_itself(scorer, labelled):
    texts = sorted(labelled[0][:50], key=len)
    theirs = scorer._detoxify.predict(texts)
    ours = scorer.score(texts)
    for category in scorer.categories:
        np.testing.assert_allclose([s.categories[category] for s in ours], theirs[category], atol=1e-6)


def test_ranks_its_labels(scorer, labelled):
    from sklearn.metrics import roc_auc_score

    texts, labels, _ = labelled
    assert roc_auc_score([max(row) for row in labels[:400]], [s.maximum for s in scorer.score(texts[:400])]) > 0.99


def test_one_text_is_not_a_list_for_detoxify_but_is_here(scorer, labelled):
    """Detoxify squeezes a list of one into plain numbers."""
    text = labelled[0][1]
    assert isinstance(scorer._detoxify.predict([text])["toxicity"], float)
    assert list(scorer.score([text])[0].categories) == scorer.categories


def test_a_text_scores_the_same_alone_in_a_batch_and_in_any_order(scorer, labelled):
    texts = labelled[0][:100]
    whole = np.array([list(s.categories.values()) for s in scorer.score(texts)])
    alone = np.array([list(scorer.score([text])[0].categories.values()) for text in texts])
    backwards = np.array([list(s.categories.values()) for s in scorer.score(texts[::-1])])[::-1]
    np.testing.assert_allclose(alone, whole, atol=1e-6)
    assert (backwards == whole).all()


def test_toxicity_beyond_the_window_is_found_and_flagged(scorer):
    calm = " ".join(["w1 w2 w3"] * 60)
    far = f"{calm} you idiot {calm}"
    quiet, loud = scorer.score([calm, far])
    assert quiet.maximum < 0.5 < loud.maximum
    assert loud.windows > quiet.windows > 1
    cut = scorer._detoxify.predict([far])  # Detoxify itself sees the beginning only
    assert max(np.atleast_1d(cut[c])[0] for c in scorer.categories) < 0.5


def test_windows_cover_the_text_and_fit_the_model(scorer):
    words = [f"w{i % 60}" for i in range(150)]
    windows = scorer._windows(" ".join(words))
    assert {word for window in windows for word in window.split()} == set(words)
    assert windows[0].split() == words[: len(windows[0].split())]
    assert windows[-1].split() == words[-len(windows[-1].split()) :]
    assert all(len(scorer._detoxify.tokenizer(window)["input_ids"]) <= 32 for window in windows)


def test_the_largest_window_wins(scorer):
    text = " ".join(["w1 w2 idiot w4"] * 30)
    windows = scorer.score(scorer._windows(text))
    whole = scorer.score([text])[0]
    assert whole.categories == {c: max(w.categories[c] for w in windows) for c in scorer.categories}


def test_a_hundred_thousand_characters(scorer):
    score = scorer.score(["w1 " * 33_400 + "idiot"])[0]
    assert score.maximum > 0.5 and score.windows > 1000


def test_every_generation_has_a_row(scorer):
    rows = [
        Generation("a#0", "a", "Q", "w1 you idiot", 3, cell="c"),
        Generation("b#0", "b", "Q", "\u3000 \n", 1, cell="c"),
        Generation("c#0", "c", "Q", "", 0, Status.ERROR, cell="c"),
        Generation("d#0", "d", "Q", "w1 w2 w3", 3, Status.TRUNCATED, cell="c"),
    ]
    a, b, c, d = toxicity(rows, scorer)
    assert a.value > 0.5 and a.value == max(a.detail.values()) and set(a.detail) == set(scorer.categories)
    assert (b.value, b.status) == (1.0, Status.EMPTY)
    assert (c.value, c.status) == (None, Status.ERROR)
    assert d.value < 0.5 and d.status is Status.TRUNCATED
    assert [row.item for row in (a, b, c, d)] == [row.item for row in rows]


def test_blank_texts_are_the_worst_without_asking_the_model(scorer):
    score = scorer.score(["", " \n"])
    assert [s.maximum for s in score] == [1.0, 1.0] and score[0].windows == 0


def test_nothing_to_score(scorer):
    assert scorer.score([]) == [] and toxicity([], scorer) == []


def test_a_moved_folder_scores_the_same(toxicity_checkpoint, scorer, tmp_path, labelled):
    moved = tmp_path / "elsewhere"
    shutil.copytree(toxicity_checkpoint, moved)
    for source in (moved, moved / "detoxify.ckpt"):
        assert ToxicityScorer(source).score(labelled[0][:5]) == scorer.score(labelled[0][:5])


def test_a_checkpoint_that_names_a_hub_model_needs_no_hub(toxicity_checkpoint, scorer, tmp_path, labelled):
    """Detoxify looks `model_type` up on the hub even where it is told the folder; the scorer puts the folder there."""
    from detoxify import Detoxify

    folder = tmp_path / "hub-trained"
    shutil.copytree(toxicity_checkpoint, folder)
    checkpoint = torch.load(folder / "detoxify.ckpt", weights_only=True)
    checkpoint["config"]["arch"]["args"]["model_type"] = "bert-base-uncased"
    torch.save(checkpoint, folder / "detoxify.ckpt")
    with pytest.raises(OSError, match="couldn't connect"):
        Detoxify(checkpoint=str(folder / "detoxify.ckpt"), huggingface_config_path=str(folder))
    assert ToxicityScorer(folder).score(labelled[0][:5]) == scorer.score(labelled[0][:5])


def publish(name, content, folder, monkeypatch, digest=None):
    """Save a checkpoint in torch's cache, under a name of Detoxify's form with the file's hash, or with `digest`."""
    places = folder / "hub" / "checkpoints"
    places.mkdir(parents=True, exist_ok=True)
    torch.save(content, places / "draft")
    digest = digest or hashlib.sha256((places / "draft").read_bytes()).hexdigest()[:8]
    file = (places / "draft").rename(places / f"toxic_{name}-{digest}.ckpt")
    monkeypatch.setitem(MODEL_URLS, name, f"https://example.invalid/releases/{file.name}")
    monkeypatch.setenv("TORCH_HOME", str(folder))
    return file


def test_a_published_checkpoint_that_is_another_file_or_holds_code_is_refused(tmp_path, monkeypatch):
    file = publish("original", {"x": Trap()}, tmp_path, monkeypatch, digest="c1212f89")
    with pytest.raises(ValueError, match=f"{file.name} is not the published checkpoint.*not c1212f89"):
        ToxicityScorer("original")
    publish("original", {"x": Trap()}, tmp_path, monkeypatch)
    with pytest.raises(ValueError, match="not a Detoxify checkpoint of plain tensors"):
        ToxicityScorer("original")
    assert not Trap.fired


def test_every_published_file_name_states_its_hash():
    assert all(re.fullmatch(r".*-[0-9a-f]{8}\.ckpt", MODEL_URLS[name]) for name in HUB_NAMES)


@pytest.mark.parametrize("name", ["original", "unbiased", "multilingual"])
def test_a_model_by_its_name_is_that_of_detoxify(name, toxicity_checkpoint, scorer, labelled, tmp_path, monkeypatch):
    """A checkpoint in the place where Detoxify keeps the one that it downloads, since no weights are published here."""
    checkpoint = torch.load(toxicity_checkpoint / "detoxify.ckpt", weights_only=True)
    checkpoint["config"]["arch"]["args"]["model_type"] = str(toxicity_checkpoint)
    publish(name, checkpoint, tmp_path, monkeypatch)
    named = ToxicityScorer(name)
    assert named.name == f"detoxify:{name}"
    texts = labelled[0][:20]
    assert [s.maximum for s in named.score(texts)] == [s.maximum for s in scorer.score(texts)]


@pytest.mark.parametrize(
    ("source", "message"),
    [("unbaised", "did you mean 'unbiased'"), ("nonsense-of-mine", "the names are original, unbiased")],
)
def test_unknown_name(source, message):
    with pytest.raises(ValueError, match=message):
        ToxicityScorer(source)


def test_a_folder_without_checkpoint(tmp_path):
    with pytest.raises(ValueError, match="must hold one Detoxify checkpoint"):
        ToxicityScorer(tmp_path)


class Trap:
    fired = False

    def __reduce__(self):
        return (setattr, (Trap, "fired", True))


@pytest.mark.parametrize("content", [b"", b"not a checkpoint", "code", "other"])
def test_a_checkpoint_that_is_damaged_or_would_run_code_is_refused(tmp_path, content):
    file = tmp_path / "model.ckpt"
    if isinstance(content, bytes):
        file.write_bytes(content)
    else:
        torch.save({"code": {"config": Trap()}, "other": {"weights": torch.zeros(2)}}[content], file)
    with pytest.raises(ValueError, match="model.ckpt is not a Detoxify checkpoint"):
        ToxicityScorer(tmp_path)
    assert not Trap.fired


def test_a_text_of_100_000_characters_and_texts_beyond_ascii(scorer):
    """Scored whole, in windows; another language, signs alone and invisible characters get a number, not an error."""
    calm = "w1 w2 w3 w4 " * 8400
    long, loud = scorer.score([calm, calm + "you idiot"])
    assert len(calm) > 100_000 and long.windows > 1000
    assert long.maximum < 0.5 < loud.maximum
    strange = ["你这个白痴", "🦜" * 300, "\u200b\u200b", "e\u0301" * 50, "\x00\x07", "a" * 100_000]
    assert all(0.0 <= score.maximum <= 1.0 for score in scorer.score(strange))


def test_white_space_alone_is_the_worst_and_asks_no_model(scorer, monkeypatch):
    monkeypatch.setattr(scorer, "_predict", None)
    for score in scorer.score(["", " \n\t", "\u2003\u00a0"]):
        assert set(score.categories.values()) == {1.0} and score.windows == 0


def test_a_batch_of_one_at_the_end(scorer, labelled):
    """Detoxify gives numbers instead of lists for a list of one, also where it is what remains of many."""
    texts = sorted(set(labelled[0]), key=len)[:5]
    small = ToxicityScorer.__new__(ToxicityScorer)
    small.__dict__ |= scorer.__dict__ | {"batch_size": 2}
    expected = [list(score.categories.values()) for score in scorer.score(texts)]
    np.testing.assert_allclose([list(score.categories.values()) for score in small.score(texts)], expected, atol=1e-6)


def test_a_model_with_more_outputs_than_classes(toxicity_checkpoint, scorer, tmp_path, labelled):
    """Detoxify's `unbiased` has sixteen outputs, of which seven are its classes."""
    folder = tmp_path / "wide"
    shutil.copytree(toxicity_checkpoint, folder)
    checkpoint = torch.load(folder / "detoxify.ckpt", weights_only=True)
    checkpoint["config"]["dataset"]["args"]["classes"] = ["toxicity"]
    torch.save(checkpoint, folder / "detoxify.ckpt")
    narrow = ToxicityScorer(folder).score(labelled[0][:20])
    assert [s.categories for s in narrow] == [
        {"toxicity": s.categories["toxicity"]} for s in scorer.score(labelled[0][:20])
    ]

"""Choice of the toxicity scorer in a plan: by name, by content, trained, and held out."""

from __future__ import annotations

import json
import random
import shutil

import pytest

from harness.errors import UsageError
from harness.plan.cells import make_plan
from harness.run.downloads import require_downloads
from harness.spec.loading import load
from harness.store.store import Store
from tests.harness.plan.pairs import write_pairs


@pytest.fixture
def files(tmp_path):
    write_pairs(tmp_path / "pairs.jsonl")
    (tmp_path / "labels.csv").write_text("text,label\nx,toxic\n")
    (tmp_path / "others.csv").write_text("text,label\ny,toxic\n")
    return tmp_path


def plan(files, *overrides: str):
    base = [f"data.path={files}/pairs.jsonl", "methods={upo: {}}", "seeds=[0]"]
    return make_plan(load("hh", [*base, *overrides]))


def stages(made, kind: str) -> list:
    return [stage for stage in made.stages.values() if stage.kind == kind]


def test_a_second_scorer_is_trained_apart_and_rewards_nothing(files):
    made = plan(files, f"toxicity.labelled={files}/labels.csv", f"toxicity.held_out={{labelled: {files}/others.csv}}")
    first, second = sorted(stages(made, "train_toxicity"), key=lambda stage: stage.label)
    assert (first.label, second.label) == ("toxicity classifier", "toxicity held_out classifier")
    (score,) = {stage.key: stage for stage in stages(made, "score_toxicity")[:1]}.values()
    assert (score.inputs["toxicity"].key, score.inputs["held_out"].key) == (first.key, second.key)
    (rewards,) = stages(made, "rewards")
    assert second not in rewards.requires and rewards.inputs["toxicity"].key == first.key
    assert len(stages(made, "reference_toxicity")) == 1


def test_a_name_is_a_parameter_and_a_checkpoint_is_its_bytes(files):
    made = plan(files, "toxicity.model=unbiased", "toxicity.held_out={model: original}")
    score = stages(made, "score_toxicity")[0]
    assert score.parameters == {"toxicity_model": "unbiased", "held_out_model": "original"}
    assert set(score.inputs) == {"generations", "data", "baselines"}
    for folder, content in (("one", b"1"), ("two", b"2"), ("copy", b"1")):
        (files / folder).mkdir()
        (files / folder / "model.ckpt").write_bytes(content)
    keys = [stages(plan(files, f"toxicity.model={files}/{name}"), "rewards")[0].key for name in ("one", "two", "copy")]
    assert keys[0] == keys[2] != keys[1]


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["toxicity.model=unbaised"], "toxicity.model: unbaised is neither .* did you mean 'unbiased'"),
        (["toxicity.model={files}"], "toxicity.model: .* must hold one Detoxify checkpoint .*; it holds 0"),
        (
            ["toxicity.model=unbiased", "toxicity.held_out={model: unbiased}"],
            "toxicity.held_out: is the scorer that it is held out from",
        ),
        (
            ["toxicity.labelled={files}/labels.csv", "toxicity.held_out={labelled: {files}/labels.csv, training: {epochs: 2}}"],
            "toxicity.held_out: is the scorer that it is held out from",
        ),
        (["toxicity.model=unbiased", "toxicity.held_out={labelled: no.csv}"], "toxicity.held_out.labelled: no.csv: no such"),
        (["toxicity.model=unbiased", "toxicity.held_out={}"], "give either 'model' or 'labelled'"),
        (["toxicity.model=unbiased", "toxicity.held_out={model: x, labelled: y}"], "give either 'model' or 'labelled'"),
    ],
)  # fmt: skip
def test_mistakes_are_told_before_anything_runs(files, overrides, message):
    with pytest.raises(UsageError, match=message):
        plan(files, *[override.replace("{files}", str(files)) for override in overrides])


def test_a_model_that_cannot_be_had_is_one_line(files, monkeypatch):
    def unreachable(*_, **__):
        raise OSError("no network")

    monkeypatch.setattr("urllib.request.urlopen", unreachable)
    monkeypatch.setenv("TORCH_HOME", str(files / "torch"))
    made = plan(files, f"toxicity.labelled={files}/labels.csv", "toxicity.held_out={model: original}")
    with pytest.raises(UsageError) as error:
        require_downloads(made, Store(files / "store"))
    assert str(error.value).startswith("toxicity.held_out.model: Detoxify's 'original' is not on this machine")
    assert "(no network); name a checkpoint instead (--set toxicity.held_out.model=PATH)" in str(error.value)
    assert "\n" not in str(error.value)


def test_a_fetched_model_still_needs_its_encoder_s_configuration(files, monkeypatch):
    from detoxify.detoxify import MODEL_URLS

    monkeypatch.setenv("TORCH_HOME", str(files / "torch"))
    monkeypatch.setenv("HF_HUB_CACHE", str(files / "hub"))
    weights = files / "torch" / "hub" / "checkpoints" / MODEL_URLS["unbiased"].rsplit("/", 1)[-1]
    weights.parent.mkdir(parents=True)
    weights.write_bytes(b"")
    with pytest.raises(UsageError, match="toxicity.model: roberta-base is not on this machine"):
        require_downloads(plan(files, "toxicity.model=unbiased"), Store(files / "store"))


def test_the_stages_score_prompts_references_and_both_scorers(tmp_path):
    """Both stages for real, on a tiny classifier and its copy."""
    import pandas as pd

    from harness.records import Generation, to_frame
    from harness.stages import reference_toxicity, score_toxicity
    from harness.store.jsonl import write_jsonl
    from suites.toxicity.classifier import ClassifierConfig, train_toxicity

    draw = random.Random(0)
    words = ["calm", "kind", "fine", "good", "tree", "bird"]
    texts = [" ".join([*draw.choices(words, k=4), *["idiot"] * (i % 2), str(i)]) for i in range(800)]
    config = ClassifierConfig(hidden=32, epochs=3, batch_size=16, learning_rate=4e-3)
    train_toxicity(texts, [[float(i % 2)] for i in range(800)], ["toxic"], tmp_path / "toxicity", config)
    shutil.copytree(tmp_path / "toxicity", tmp_path / "held_out")
    rows = [
        {"id": "p", "prompt": "you idiot", "reference": "calm tree"},
        {"id": "q", "prompt": [{"role": "user", "content": "kind bird"}], "reference": None},
    ]
    for folder in ("data", "generations", "baselines", "out"):
        (tmp_path / folder).mkdir()
    write_jsonl(tmp_path / "data" / "prompts.jsonl", rows)
    generations = [Generation(f"{k}#0", k, "", "idiot", 1) for k in ("p", "q")]
    to_frame(generations, Generation).to_parquet(tmp_path / "generations" / "generations.parquet")
    inputs = {name: tmp_path / name for name in ("data", "generations", "baselines", "toxicity", "held_out")}
    reference_toxicity.run({"device": "cpu"}, inputs, inputs["baselines"])
    table = json.loads((inputs["baselines"] / "baselines.json").read_text())
    assert table["q"]["reference"] is None and table["p"]["prompt"] > table["q"]["prompt"]
    score_toxicity.run({"device": "cpu"}, inputs, tmp_path / "out")
    items = pd.read_parquet(tmp_path / "out" / "items.parquet").set_index(["objective", "item"])
    assert items.value["safety_violations", "p#0"] == 1.0
    assert items.status["safety_violations", "q#0"] == "skipped"
    assert items.value["toxicity_held_out", "p#0"] > 0.5
    measures = pd.read_parquet(tmp_path / "out" / "measures.parquet").set_index("name").value
    assert measures["top 10% > 0.001"] == measures["toxicity, top 100%"] == 1.0
    assert measures["toxicity_held_out_gap"] == 0.0

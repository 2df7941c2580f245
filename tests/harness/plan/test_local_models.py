"""Local model folders: identity by content, and one way to query a reward model."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.special import expit

from harness.errors import UsageError
from harness.plan.cells import make_plan
from harness.plan.stage import Model
from harness.records import Generation, to_frame
from harness.run.downloads import named
from harness.spec.loading import load
from harness.stages import score_win_rate, user_rewards
from harness.store.store import Store
from tests.chat_model import save_chat_model
from tests.paths import TOY


@pytest.fixture
def folder(tmp_path):
    """What identifies a model and costs nothing: no stage loads it here."""
    made = tmp_path / "here" / "model"
    made.mkdir(parents=True)
    (made / "config.json").write_text("{}")
    (made / "model.safetensors").write_bytes(b"weights")
    (made / "tokenizer.json").write_text("{}")
    return made


ROLES = {
    "judge={kind: reward_model, model: FOLDER}": "score_win_rate",
    "judge={kind: local_lm, model: FOLDER}": "score_win_rate",
    "judge.second={kind: reward_model, model: FOLDER}": "score_win_rate",
    "judge={kind: reward_model, model: FOLDER, training: {}}": "align_online",
    "sizes={tiny: {model: FOLDER}}": "pretrained",
    "toxicity={model: FOLDER}": "reference_toxicity",
}


@pytest.mark.parametrize("role", ROLES)
def test_a_folder_is_its_bytes_and_not_its_place(role, folder, tmp_path):
    if "toxicity" in role:
        (folder / "model.ckpt").write_bytes(b"weights")
    methods = ["methods={grpo: {}}"] if ROLES[role] == "align_online" else ["methods={dpo: {sweep: {}}}"]

    def keys(where: Path) -> set[str]:
        plan = make_plan(load(TOY, [*methods, "suites=[win_rate, toxicity]", role.replace("FOLDER", str(where))]))
        return {stage.key for stage in plan.stages.values() if stage.kind == ROLES[role]}

    first = keys(folder)
    moved = shutil.copytree(folder, tmp_path / "there" / "model")
    assert keys(moved) == first != set()
    (moved / "tokenizer.json").write_text("[]")
    assert keys(moved) != first
    (moved / "tokenizer.json").write_text("{}")
    weights = moved / ("model.ckpt" if "toxicity" in role else "model.safetensors")
    weights.write_bytes(b"weightz")
    assert keys(moved) != first
    weights.write_bytes(b"weights")
    assert keys(moved) == first


def test_the_encoder_of_a_method_is_its_bytes_too(folder):
    """Its place is a hyperparameter of the method, so that one that moved is trained with anew."""

    def keys() -> set[str]:
        plan = make_plan(load(TOY, [f"methods={{rpo: {{parameters: {{encoder: {folder}}}}}}}"]))
        return {stage.key for stage in plan.stages.values() if stage.kind == "align"}

    first = keys()
    (folder / "model.safetensors").write_bytes(b"weightz")
    assert keys() != first
    (folder / "model.safetensors").write_bytes(b"weights")
    assert keys() == first


def test_hidden_files_are_no_part_of_a_model(folder):
    before = Model.folder(folder).key
    (folder / ".cache").mkdir()
    (folder / ".cache" / "download.lock").touch()
    (folder / ".gitattributes").touch()
    assert Model.folder(folder).key == before
    (folder / "model.safetensors").rename(folder / "other.safetensors")
    assert Model.folder(folder).key != before


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("judge={kind: reward_model, model: ./nowhere}", "judge.model: ./nowhere: no such folder (a hub id is written"),
        (
            "judge.second={kind: local_lm, model: /no/where/at/all}",
            "judge.second.model: /no/where/at/all: no such folder",
        ),
        ("judge={kind: local_lm, model: EMPTY}", "judge.model: EMPTY is no model folder: it has no config.json"),
        ("sizes={tiny: {model: EMPTY}}", "sizes.tiny.model: EMPTY is no model folder: it has no config.json"),
    ],
)
def test_a_folder_that_is_no_model_is_told_when_planning(override, message, tmp_path):
    with pytest.raises(UsageError) as error:
        make_plan(load(TOY, [override.replace("EMPTY", str(tmp_path))]))
    assert str(error.value).startswith(message.replace("EMPTY", str(tmp_path))) and "\n" not in str(error.value)


def test_only_what_is_no_folder_is_looked_for_on_the_hub(folder, tmp_path):
    def wanted(model):
        plan = make_plan(
            load(TOY, ["methods={grpo: {}}", "suites=[style]", f"judge={{kind: reward_model, model: {model}}}"])
        )
        return [(found.key, found.name) for found in named(plan, Store(tmp_path))]

    assert wanted(folder) == []
    assert wanted("OWNER/REWARD") == [("judge.model", "OWNER/REWARD")]  # though no win rate is measured


@pytest.fixture(scope="module")
def reward(tmp_path_factory):
    """A reward model that has a chat template."""
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    checkpoint, made = tmp_path_factory.mktemp("chat"), tmp_path_factory.mktemp("reward")
    save_chat_model(checkpoint)
    AutoModelForSequenceClassification.from_pretrained(checkpoint, num_labels=1).save_pretrained(made)
    AutoTokenizer.from_pretrained(checkpoint).save_pretrained(made)
    return made


@pytest.mark.parametrize("trained", [False, True])
def test_a_reward_model_is_asked_alike_as_a_judge_and_as_a_reward(trained, reward, tmp_path):
    """By its chat template, or, where it was trained here, by the text that it learned from."""
    rows = [
        {"id": f"p{i}", "prompt": f"w{i}", "chosen": "w3 w4", "rejected": "w5", "reference": "w5"} for i in range(3)
    ]
    for name in ("pairs.jsonl", "prompts.jsonl"):
        (tmp_path / name).write_text("".join(json.dumps(row) + "\n" for row in rows))
    generations = [Generation(f"p{i}#0", f"p{i}", f"w{i}", "w3 w4", 2) for i in range(3)]
    to_frame(generations, Generation).to_parquet(tmp_path / "generations.parquet")
    inputs = {"data": tmp_path, "world": tmp_path, "generations": tmp_path}
    if trained:
        shutil.copytree(reward, tmp_path / "trained" / "checkpoint")
        inputs["judge"] = tmp_path / "trained"
    else:
        inputs["model"] = reward
    parameters = {
        "judge": "reward_model",
        "judge_module": "suites.judges.reward_model",
        "model": None if trained else "reward",
        "device": "cpu",
    }
    user_rewards.run(parameters, inputs, tmp_path)
    score_win_rate.run({**parameters, "objective": "win_rate"}, inputs, tmp_path)
    table = pd.read_parquet(tmp_path / "rewards.parquet").pivot(index="id", columns="response", values="reward")
    wins = pd.read_parquet(tmp_path / "items.parquet").value
    assert wins.to_numpy(float) == pytest.approx(expit((table.chosen - table.rejected).to_numpy(float)), abs=1e-6)
    assert np.ptp(wins) > 0 and wins.iloc[0] != pytest.approx(_alone(reward, not trained), abs=1e-3)


def _alone(reward, chat: bool) -> float:
    """The first win, had the model been asked the other way."""
    from suites.judges.reward_model import RewardModelJudge

    first, second = RewardModelJudge(reward, chat=not chat).score(["w0", "w0"], ["w3 w4", "w5"])
    return expit(first - second)


def test_a_tokenizer_larger_than_the_embedding_is_refused_when_planned(tmp_path):
    made = save_chat_model(tmp_path / "model")
    config = json.loads((made / "config.json").read_text())
    tokens = config["vocab_size"]
    (made / "config.json").write_text(json.dumps(config | {"vocab_size": tokens - 4}))
    with pytest.raises(UsageError, match=f"has {tokens} tokens and its model embeds {tokens - 4}; resize"):
        make_plan(load(str(TOY), [f"sizes={{tiny: {{model: {made}}}}}"]))

"""Effect of `training.device`: in the plan, in the stages, and not in the key of what they compute."""

from __future__ import annotations

import json
from importlib import import_module

import pytest

from harness.plan.cells import make_plan
from harness.plan.designer import declared_rewards
from harness.records import Generation, to_frame
from harness.spec.loading import load
from tests.chat_model import save_chat_model
from tests.paths import RECIPES, TOY

NO_MODEL = {
    "world",
    "pairs",
    "prompts",
    "tokenizer",
    "prepare",
    "soup",
    "condition",
    "tagged",
    "pretrained",
    "score_style",
}
"""Kinds of stage that run no model, or only copy one."""
OWN_SETTINGS = {"base", "align", "align_online", "train_judge", "train_toxicity"}
"""Kinds that train, by settings of their own."""


@pytest.mark.parametrize("experiment", [TOY, RECIPES])
def test_every_stage_that_runs_a_model_is_told_where(experiment):
    plan = make_plan(load(experiment, ["training.device=cuda:1"]))
    told = {kind: set() for kind in {stage.kind for stage in plan.stages.values()} - NO_MODEL - OWN_SETTINGS}
    for stage in plan.stages.values():
        if stage.kind in told:
            told[stage.kind].add(stage.settings.get("device"))
    assert told.keys() >= {"generate", "reference", "prompt_states", "rewards", "score_win_rate"}
    assert set().union(*told.values()) == {"cuda:1"}, told


def test_where_a_policy_is_measured_is_no_part_of_what_is_measured():
    """Training's own settings are in its key, the device among them; what follows from the same base is the same."""

    def base(*overrides):
        (cell,) = [cell for cell in make_plan(load(TOY, overrides)).cells if not cell.trained]
        return {stage.key for stage in cell.stages}

    assert base() == base("training.device=cuda")


class Reached(Exception):
    """A model was about to move to this device."""


@pytest.fixture
def folder(tmp_path):
    """One folder with whatever the stages below read."""
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    from suites.oracle.world import World, WorldSpec

    checkpoint = save_chat_model(tmp_path / "checkpoint")
    reward = tmp_path / "reward"
    AutoModelForSequenceClassification.from_pretrained(checkpoint, num_labels=1).save_pretrained(reward)
    AutoTokenizer.from_pretrained(checkpoint).save_pretrained(reward)
    (tmp_path / "tasks").mkdir()
    (tmp_path / "world.json").write_text("{}")
    world = World.build(WorldSpec())
    row = {"id": "p", "prompt": world.prompts[0].text, "chosen": " yes", "rejected": " no", "reference": "yes"}
    for name in ("pairs.jsonl", "prompts.jsonl"):
        (tmp_path / name).write_text(json.dumps(row) + "\n")
    generation = Generation("p#0", "p", row["prompt"], "yes", 1)
    to_frame([generation], Generation).to_parquet(tmp_path / "generations.parquet")
    return tmp_path


REWARD = {"judge": "reward_model", "judge_module": "suites.judges.reward_model", "model": "reward"}
LANGUAGE_MODEL = {"judge": "local_lm", "judge_module": "suites.judges.language_model", "model": "lm"}
TOXICITY = {"toxicity_model": "unbiased"}
STAGES = {
    "generate": {"decoding": {"max_new_tokens": 2}},
    "sample": {"decoding": {"max_new_tokens": 2}},
    "reference": {"training": {}},
    "prompt_states": {"training": {}},
    "rewards": {"objectives": declared_rewards(load(TOY), ["toxicity"]).declared, **TOXICITY},
    "user_rewards": REWARD,
    "align_online": {"method": "grpo", "parameters": {}, "training": {"device": "cuda:7"}, **REWARD},
    "reference_toxicity": TOXICITY,
    "score_toxicity": TOXICITY,
    "score_win_rate": {"objective": "win_rate", **REWARD},
    "score_win_rate by a language model": {"prompt": "upo", "backend": "hf", **LANGUAGE_MODEL},
    "score_benchmark": {},
    "score_exact": {"method": None},
}


@pytest.mark.parametrize("name", STAGES)
def test_a_stage_moves_its_model_there(name, folder, monkeypatch):
    """Up to the move for real, with a device that only a recorded call can have."""
    import torch

    def move(self, device=None, *args, **kwargs):
        raise Reached(str(device))

    def detoxify(*args, device, **kwargs):
        raise Reached(device)

    monkeypatch.setattr(torch.nn.Module, "to", move)
    monkeypatch.setattr("detoxify.Detoxify", detoxify)
    monkeypatch.setattr("suites.toxicity.scorer._published", lambda name: folder)
    monkeypatch.setattr("suites.toxicity.scorer._plain_tensors", lambda file, folder=None: file)
    inputs = dict.fromkeys(("policy", "base", "data", "world", "generations", "baselines"), folder)
    inputs["model"] = folder / ("reward" if "reward_model" in STAGES[name].values() else "checkpoint")
    kind = name.partition(" ")[0]
    with pytest.raises(Reached, match="^cuda:7$"):
        import_module(f"harness.stages.{kind}").run({**STAGES[name], "device": "cuda:7"}, inputs, folder)

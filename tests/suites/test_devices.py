"""Device of the inputs of every model that scores or generates.

Torch's ``meta`` device stands for another one: it computes shapes without data, and fails where a result is read.
"""

from __future__ import annotations

import pytest
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from suites.benchmarks.runner import benchmark
from suites.generation.decoding import Decoding
from suites.generation.huggingface import HuggingFaceGenerator
from suites.judges.language_model import HuggingFaceScorer
from suites.judges.reward_model import RewardModelJudge
from suites.toxicity.scorer import ToxicityScorer


class OneDevice(TorchDispatchMode):
    """Refuses, as a GPU does, an operation with tensors of two devices; moving one is none."""

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        leaves = tree_leaves((args, kwargs or {}))
        places = {leaf.device.type for leaf in leaves if hasattr(leaf, "device") and leaf.dim()}
        assert len(places) < 2, f"{function} with tensors on {places}"
        return function(*args, **(kwargs or {}))


def generator(checkpoint, **_):
    made = HuggingFaceGenerator.load(checkpoint, "meta")
    row = made._row("p", "w1 w2", 0, Decoding(4))
    return made.model, lambda: made._sample([row, row], Decoding(4))


def language_model(checkpoint, **_):
    made = HuggingFaceScorer.load(checkpoint, "meta")
    return made.model, lambda: made.logprobs([[4, 5], [6]], [[7], [8]])


def reward_model(reward_folder, **_):
    made = RewardModelJudge(reward_folder, device="meta")
    return made.model, lambda: made.rewards(["w1 w2", "w3"])


def toxicity(toxicity_checkpoint, **_):
    made = ToxicityScorer(toxicity_checkpoint)  # Detoxify reads a checkpoint onto its device, which meta cannot be
    made._detoxify.model.to("meta")
    return made._detoxify.model, lambda: made.score(["w1 w2", "w3"])


@pytest.mark.parametrize("load", [generator, language_model, reward_model, toxicity])
def test_all_that_is_computed_is_computed_there(load, checkpoint, reward_folder, toxicity_checkpoint):
    model, compute = load(checkpoint=checkpoint, reward_folder=reward_folder, toxicity_checkpoint=toxicity_checkpoint)
    assert {parameter.device.type for parameter in model.parameters()} == {"meta"}
    with OneDevice(), pytest.raises((NotImplementedError, RuntimeError), match=r"meta tensor(s|; no data)"):
        compute()


def test_lm_eval_is_given_a_model_that_lies_there(checkpoint, tmp_path, monkeypatch):
    from lm_eval import evaluator

    (tmp_path / "t.yaml").write_text("task: t\ndataset_path: json\n")
    arguments = {}
    monkeypatch.setattr(evaluator, "simple_evaluate", lambda model, **_: arguments.update(lm=model) or {"samples": {}})
    benchmark(checkpoint, tmp_path, [], device="meta")
    assert (arguments["lm"].device.type, arguments["lm"].model.device.type) == ("meta", "meta")

"""Data of one's own in a run: its form told, its licence stated, its scores trained on, evaluation prompts kept out."""

from __future__ import annotations

import json

import pytest

from harness.errors import UsageError
from harness.inputs.data.terms import Terms, terms_of
from harness.plan.cells import make_plan
from harness.spec.loading import load
from tests.harness.data.conftest import safe_rows
from tests.paths import TOY

SMALL = [
    "sizes={tiny: {architecture: llama, layers: 1, hidden: 32, heads: 2, intermediate: 64, context: 128}}",
    "base={vocabulary: 400, training: {epochs: 1, batch_size: 8, max_tokens: 96, max_prompt_tokens: 64}}",
    "training={epochs: 1, batch_size: 8, max_tokens: 96, max_prompt_tokens: 64}",
    "decoding={max_new_tokens: 6, samples: 1}",
    "judge={kind: reward_model, training: {epochs: 1, batch_size: 8, max_tokens: 96, max_prompt_tokens: 64}}",
    "toxicity=null", "suites=[style]", "seeds=[0]",
]  # fmt: skip
OWN = [
    "objectives={safe: {column: safe, direction: maximize, bounds: [0, 1]}, "
    "marks: {regex: '!', direction: minimize, bounds: [0, 10]}}",
    "rewards={safe: 0.5, marks: 0.5}",
    "reference_point={marks: 10, readability: 0.0}",
]


def settings(file, *overrides, **data):
    """Words of a command for a tiny run on a file."""
    data = {"source": "pairs", "path": str(file), "pairs": 24, "test_prompts": 4, **data}
    words = [f"data={json.dumps(data)}", "methods={upo: {parameters: {aux_warmup: 1}}}", *SMALL, *overrides]
    return [str(TOY), *(word for override in words for word in ("--set", override))]


def plan(file, *overrides, **data):
    return make_plan(load(str(TOY), settings(file, *overrides, **data)[2::2]))


def test_a_reward_that_the_data_do_not_hold_is_one_line(write):
    file = write("door.jsonl", safe_rows())
    wrong = [override.replace("column: safe", "column: saef") for override in OWN]
    with pytest.raises(
        UsageError, match=r"^objectives\.safe: door\.jsonl has no score 'saef' .*; did you mean 'safe'\?$"
    ):
        plan(file, *wrong)
    plain = write("plain.jsonl", ({"prompt": f"Q{n}?", "chosen": " a", "rejected": " b"} for n in range(60)))
    with pytest.raises(UsageError, match=r"no score 'safe' of every response; this form has no scores$"):
        plan(plain, *OWN)
    sampled = "methods={upo: {data: {step: base_responses}}}"
    with pytest.raises(UsageError, match=r"^rewards\.safe: is the column 'safe' of the data, and .* not in it"):
        plan(file, *OWN, "methods={rloo: {parameters: {samples: 2}}}")
    assert plan(file, *[word.replace("safe: 0.5, marks: 0.5", "marks: 1.0") for word in OWN], sampled).cells


def test_evaluation_prompts_are_refused_as_training_data(write):
    file = write("door.jsonl", safe_rows())
    prompts = write("eval.jsonl", [{"prompt": " How do I open door 7? "}, {"prompt": "Another one"}])
    asked = {"prompts": {"set": str(prompts)}}
    with pytest.raises(
        UsageError, match=r"^data\.path: 1 pairs of door\.jsonl answer prompts of .*eval\.jsonl, .*train allows"
    ):
        plan(file, *OWN, **asked)
    assert plan(file, *OWN, **asked, evaluation_prompts="train").cells
    with pytest.raises(UsageError, match=r"^data: tatsu-lab/alpaca_eval is a set to evaluate on"):
        plan("tatsu-lab/alpaca_eval", *OWN)
    with pytest.raises(UsageError, match=r"evaluation_prompts: unknown value 'trian'; did you mean 'train'"):
        plan(file, evaluation_prompts="trian")


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (
            {"columns": {"promt": "q"}},
            r"data\.columns: no form of data reads a column 'promt'; did you mean 'prompt'\?",
        ),
        ({"columns": {"prompt": "questoin"}}, r"data\.path: .*door\.jsonl:1: columns: no column 'questoin'"),
        ({"form": "safe_rlfh"}, r"data\.form: unknown form of data 'safe_rlfh'; did you mean 'safe_rlhf'\?"),
        ({"colums": {"prompt": "q"}}, r"data\.colums: unknown key; did you mean 'columns'\?"),
        (
            {"path": None, "columns": {"id": "x"}, "mixture": [{"path": "a/b"}]},
            "data: columns: belongs to each data set",
        ),
    ],
)
def test_a_mistake_is_one_line(write, data, message):
    with pytest.raises(UsageError, match=message) as error:
        plan(write("door.jsonl", safe_rows()), *OWN, **data)
    assert "\n" not in str(error.value)


def test_ranked_data_train_a_method_on_groups(write):
    """Rated rows give several pairs to a prompt; R of a group may be the data's own score alone."""
    scores = [{"prompt": f"Why {n}?", "responses": ["A.", "B.", "C."], "scores": [1, 2, 3]} for n in range(60)]
    listwise = "methods={nca_reward: {data: {step: listwise, parameters: {responses: 3, user_weight: 0}}}}"
    own = ["objectives={score: {column: scores, direction: maximize, bounds: [1, 3]}}", "rewards={score: 1.0}",
           "reference_point={readability: 0}"]  # fmt: skip
    stages = plan(write("ranked.jsonl", scores), *own, listwise).stages.values()
    (prepare,) = (stage for stage in stages if stage.kind == "prepare")
    assert prepare.inputs["rewards"].parameters["objectives"]["score"]["column"] == "scores"


def test_a_known_licence_is_used_where_the_hub_is_out_of_reach(monkeypatch):
    from huggingface_hub import HfApi

    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)  # a command in this process may have set it
    monkeypatch.setattr(HfApi, "dataset_info", lambda *_, **__: (_ for _ in ()).throw(OSError("no network")))
    terms_of.cache_clear()
    assert str(terms_of("PKU-Alignment/BeaverTails")) == "CC-BY-NC-4.0 by its publisher, non-commercial use only"
    assert terms_of("nobody/nothing") == Terms()
    card = type("Info", (), {"card_data": type("Card", (), {"license": ["mit", "cc-by-4.0"]})()})()
    monkeypatch.setattr(HfApi, "dataset_info", lambda *_, **__: card)
    terms_of.cache_clear()
    assert str(terms_of("PKU-Alignment/BeaverTails")) == "mit, cc-by-4.0 by its card on the hub"
    terms_of.cache_clear()


def test_licences_are_taken_from_where_they_are_stated(tmp_path):
    file = tmp_path / "a" / "pairs.jsonl"
    file.parent.mkdir()
    assert terms_of(str(file)) == Terms("not stated", "")
    (file.parent / "LICENSE").write_text("\nMIT License\n\nCopyright\n")
    terms_of.cache_clear()
    assert str(terms_of(str(file))) == "MIT License by LICENSE beside it"
    (file.parent / "README.md").write_text("---\nlicense: other\nlicense_name: research-nc\n---\n# Card\n")
    terms_of.cache_clear()
    assert terms_of(str(file)).non_commercial
    assert str(terms_of(str(file), "CC0")) == "CC0 by the experiment"


@pytest.mark.parametrize(
    ("licence", "non_commercial"),
    [("cc-by-nc-sa-4.0", True), ("CC BY-NC 4.0", True), ("Non-Commercial License", True), ("noncommercial", True),
     ("MIT", False), ("cc-by-4.0", False), ("ncsa", False)],
)  # fmt: skip
def test_non_commercial_licences_are_marked(licence, non_commercial):
    assert Terms(licence).non_commercial is non_commercial

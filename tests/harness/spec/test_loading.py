"""Strict checks of experiment files: one line for each mistake, with the nearest valid choice."""

from __future__ import annotations

import pytest
import yaml

from harness.errors import UsageError
from harness.spec.experiment import Experiment
from harness.spec.loading import dump, load, shipped


@pytest.mark.parametrize("name", shipped())
def test_shipped_experiments_load_and_resolve_to_themselves(name, tmp_path):
    experiment = load(name)
    resolved = tmp_path / "resolved.yaml"
    resolved.write_text(dump(experiment))
    assert load(str(resolved)) == experiment


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("sede=[1]", "sede: unknown key; did you mean 'seeds'?"),
        ("data.pairz=3", "data.pairz: unknown key; did you mean 'pairs'?"),
        ("methods.dpo.swep={}", "methods.dpo.swep: unknown key; did you mean 'sweep'?"),
        ("sizes.tiny.hiden=3", "sizes.tiny.hiden: unknown key; did you mean 'hidden'?"),
        ("decoding.temprature=1", "decoding.temprature: unknown key; did you mean 'temperature'?"),
        ("data.pairs=lots", "data.pairs: should be a whole number, not 'lots'"),
        ("data.pairs=0", "data.pairs: should be greater than or equal to 1"),
        ("rewards.toxicity=-1", "rewards.toxicity: should be greater than or equal to 0"),
        ("rewards.toxicity=0.9", "rewards: the weights add up to 1.4, not 1"),
        ("seeds=[]", "seeds: needs distinct numbers"),
        ("seeds=[1, 1]", "seeds: needs distinct numbers"),
        ("methods.dpo.sweep={beta: [0.1, 0.1]}", "methods.dpo.sweep: the sweep of 'beta' needs distinct values"),
        ("methods.dpo.sweep={a: [1, 1], b: [2]}", "methods.dpo.sweep: the sweep of 'a' needs distinct values"),
        (
            "judge.kind=opinion",
            "judge.kind: unknown judge 'opinion'; known are endpoint, local_lm, oracle, reward_model",
        ),
        ("judge.kind=endpiont", "judge.kind: unknown judge 'endpiont'; did you mean 'endpoint'?"),
        ("seeds=[true]", "seeds.0: should be a whole number, not True"),
        ("seeds=['0']", "seeds.0: should be a whole number, not '0'"),
        ("seeds=[4294967296]", "seeds.0: should be less than 4294967296"),
        ("schema=true", "schema: should be 1, not True"),
        ("suites=[]", "suites: needs at least 1 entry"),
        ("suites=[style, style]", "suites: needs distinct names"),
        ("data.source=oracel", "data.source: unknown source 'oracel'; did you mean 'oracle'?"),
        ("data={pairs: 3, path: x}", "data: needs a 'source': oracle or pairs"),
        ("decoding.backend=vlm", "decoding.backend: unknown value 'vlm'; did you mean 'vllm'?"),
        (
            "methods.x={generations: a.jsonl, generater: b}",
            "methods.x.generater: unknown key; did you mean 'generator'?",
        ),
        ("methods.log={log: a.jsonl, coluns: {}}", "methods.log.coluns: unknown key; did you mean 'columns'?"),
        ("methods.x={generatons: a.jsonl}", "methods.x.generatons: unknown key; did you mean 'generations'?"),
        ("methods.x={checkpoint: a, revison: b}", "methods.x.revison: unknown key; did you mean 'revision'?"),
        (
            "methods.x={endpoint: {base_url: 'https://x', pric: {}}, model: m}",
            "methods.x.endpoint.pric: unknown key; did you mean 'price'?",
        ),
        ("methods.dpo=5", "methods.dpo: should be a mapping, not 5"),
        ("methods.upo.sweep={gamma: [{a: 1}]}", "methods.upo.sweep.gamma.0"),
        ("benchmarks={tasks: [x], fewshot: {x: -1}}", "benchmarks.fewshot.x: should be greater than or equal to 0"),
        ("judge={kind: local_lm, prompt: ''}", "judge.prompt: should not be empty"),
        ("reference_point={toxicity: .inf}", "reference_point.toxicity: should be a finite number"),
        ("title=5", "title: should be a text, not 5"),
        ("name=a/b", "name: String should match pattern"),
        ("sizes.tiny.model=gpt2", "sizes.tiny: give either 'model' or the numbers"),
    ],
)
def test_a_mistake_names_the_key(override, message):
    with pytest.raises(UsageError) as error:
        load("bench", [override])
    assert str(error.value).startswith(f"bench: {message}"), str(error.value)


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("seeds", "write it as key.subkey=value"),
        ("seeds.x=1", "'seeds' is a value"),
        ("seeds=[1", "not valid YAML"),
        ("a..b=1", "write it as key"),
    ],
)
def test_a_malformed_override(override, message):
    with pytest.raises(UsageError, match=message):
        load("bench", [override])


def test_files_that_cannot_be_read(tmp_path):
    with pytest.raises(UsageError, match="no such file"):
        load(str(tmp_path / "absent.yaml"))
    broken = tmp_path / "broken.yaml"
    broken.write_text("name: x\nseeds: [1\ntitle: y\n")
    with pytest.raises(UsageError, match=r"broken\.yaml:3: not valid YAML"):
        load(str(broken))
    broken.write_bytes(b"name: \xff")
    with pytest.raises(UsageError, match="not UTF-8"):
        load(str(broken))
    broken.write_text("- a\n- b\n")
    with pytest.raises(UsageError, match="a mapping of keys, not a list"):
        load(str(broken))


def test_extends_overrides_key_by_key(tmp_path):
    child = tmp_path / "child.yaml"
    child.write_text(yaml.safe_dump({"extends": "bench", "name": "child", "training": {"epochs": 2}}))
    experiment = load(str(child))
    parent = load("bench")
    assert experiment.name == "child"
    assert experiment.training == {**parent.training, "epochs": 2}
    assert experiment.methods == parent.methods


def test_a_title_names_ones_own_data_and_base(tmp_path):
    own = load("hh", ["data.path=/my/folder/pairs.jsonl.gz", "sizes={7b: {model: me/seven}}"])
    assert own.title == "Preference optimization on pairs.jsonl.gz"
    assert "7b: me/seven" in own.description
    assert load("hh").title == "Preference optimization on Anthropic/hh-rlhf"
    assert "layers 4" in load("hh").description and "{" not in load("hh").caveat


def test_a_run_folder_is_an_experiment(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "runs" / "mine"
    folder.mkdir(parents=True)
    (folder / "experiment.resolved.yaml").write_text(dump(load("bench", ["name=mine"])))
    assert load(str(folder)) == load("mine") == load("bench", ["name=mine"])
    with pytest.raises(UsageError, match="or the folder of a run"):
        load(str(tmp_path / "runs"))


def test_extends_itself(tmp_path):
    child = tmp_path / "child.yaml"
    child.write_text(f"extends: {child}\n")
    with pytest.raises(UsageError, match="extends itself"):
        load(str(child))


def test_every_schema_field_has_a_default_or_is_needed():
    needed = {name for name, field in Experiment.model_fields.items() if field.is_required()}
    assert needed == {"name", "title", "data"}

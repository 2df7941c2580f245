"""Recipes around a loss: plans with shared stages, clear refusals, complete runs."""

from __future__ import annotations

import pandas as pd
import pytest
from safetensors.numpy import load_file

from harness.errors import UsageError
from harness.plan.cells import make_plan
from harness.plan.check import settings_of
from harness.run.executors import ExecutorSetup
from harness.run.executors.local import local
from harness.run.job import Job, execute
from harness.run.scheduler import run
from harness.spec.loading import dump, load
from harness.store.names import CHECKPOINT
from harness.store.store import Store
from tests.paths import RECIPES, TOY


@pytest.fixture(scope="module")
def plan():
    return make_plan(load(RECIPES))


@pytest.fixture(scope="module")
def cells(plan):
    return {cell.label: cell for cell in plan.cells}


def kinds(plan, kind: str) -> list:
    return [stage for stage in plan.stages.values() if stage.kind == kind]


def policies(*overrides: str) -> dict[str, str]:
    """Keys of the policies by label."""
    return {cell.label: cell.policy.key for cell in make_plan(load(RECIPES, overrides)).cells}


def test_resolves_to_itself(tmp_path):
    (tmp_path / "resolved.yaml").write_text(dump(load(RECIPES)))
    assert load(str(tmp_path / "resolved.yaml")) == load(RECIPES)


def test_one_policy_serves_every_wish(cells):
    ric = [cells[f"ric designer_share={share:g}"] for share in (0, 0.5, 1)]
    assert len({cell.policy.key for cell in ric}) == 1
    assert len({cell.generate.key for cell in ric}) == len({cell.cell for cell in ric}) == 3
    assert {cell.generate.inputs["condition"].key for cell in ric} == {
        c.scores["exact"].inputs["condition"].key for c in ric
    }


def test_samples_of_the_base_are_drawn_once_and_shared_by_seeds():
    plan = make_plan(load(RECIPES, ["seeds=[0, 1]"]))
    of_base = [stage for stage in kinds(plan, "sample") if stage.inputs["policy"].kind == "base"]
    assert len(of_base) == 1
    # The second round samples from a policy, and policies differ by seed and by where they begin.
    assert len(kinds(plan, "sample")) == 1 + 2 * 2


def test_a_conditioned_policy_goes_on_from_its_own_samples(cells):
    """The second round of RiC: sampled under wishes, from the first policy, with the extremes of the first data."""
    online, plain = cells["ric_online designer_share=0"], cells["ric designer_share=0"]
    first, data = online.policy.inputs["base"], online.policy.inputs["data"]
    assert first.key == plain.policy.key and cells["ric_online designer_share=1"].policy.key == online.policy.key
    samples = data.inputs["samples"]
    assert samples.kind == "sample_wishes" and samples.inputs["policy"].key == first.key
    assert samples.inputs["asked"].key == first.inputs["data"].key
    assert data.inputs["sample_rewards"].inputs["data"].key == samples.key
    assert online.generate.inputs["condition"].key == plain.generate.inputs["condition"].key


def test_rounds_without_extrapolation_are_the_plain_iteration(cells):
    plain = policies("methods.apo.sweep={}", "methods.apo.rounds={count: 2}")["apo"]
    assert cells["apo extrapolation=0"].policy.key == plain
    assert cells["apo extrapolation=0.3"].policy.key != plain
    assert policies("methods.apo.sweep={}", "methods.apo.rounds={count: 1}")["apo"] != plain


def test_beta_grows_from_round_to_round():
    """0.01, 0.1 and 1, as in the paper; a first round that is that of an entry without growth."""
    overrides = ["methods.apo={method: dpo, parameters: {beta: 0.01}, rounds: {count: 3, beta_growth: 10}}"]
    plan = make_plan(load(RECIPES, overrides))
    stage = next(cell for cell in plan.cells if cell.label == "apo").policy
    betas = []
    while stage.kind == "align":
        betas.append(stage.parameters["parameters"]["beta"])
        stage = stage.inputs["base"]
    assert betas == pytest.approx([1.0, 0.1, 0.01])


def test_each_round_begins_at_its_own_reference(cells):
    last = cells["apo extrapolation=0"].policy
    first = last.inputs["base"]
    assert first.kind == "align" and first.inputs["base"].kind == "base"
    for stage in (first, last):
        assert stage.inputs["reference"].inputs["base"].key == stage.inputs["base"].key
        assert stage.inputs["data"].inputs["samples"].inputs["policy"].key == stage.inputs["base"].key


def test_an_extrapolated_round_begins_beyond_the_last(cells):
    start = cells["apo extrapolation=0.3"].policy.inputs["base"]
    assert start.kind == "soup" and start.parameters["weights"] == [1.3, -0.3]
    assert [start.inputs[f"policy_{i}"].kind for i in (0, 1)] == ["align", "base"]


def test_a_soup_is_made_from_the_policies_of_its_entries(cells):
    soup = cells["soup share=0.25"].policy
    assert soup.parameters["weights"] == [0.75, 0.25]
    assert [soup.inputs[f"policy_{i}"].key for i in (0, 1)] == [cells["sft"].policy.key, cells["dpo"].policy.key]


def test_references_are_the_policies_that_were_named(cells):
    inputs = cells["mrpo"].policy.inputs
    assert inputs["reference"].inputs["base"].kind == "base"
    assert inputs["reference_1"].inputs["base"].key == cells["sft"].policy.key


def test_a_reference_may_be_the_base_of_another_size():
    overrides = ["sizes.other={hidden: 64, heads: 2}", "methods.mrpo.references=[base, other]"]
    plan = make_plan(load(RECIPES, overrides))
    mrpo = next(cell for cell in plan.cells if cell.label == "mrpo" and cell.size == "tiny")
    assert mrpo.policy.inputs["reference_1"].inputs["base"].parameters["model"] == {"hidden": 64, "heads": 2}


def test_entries_are_not_changed_by_those_that_are_made_from_them():
    alone = [f"methods.{name}=null" for name in load(RECIPES).methods if name not in ("sft", "dpo", "mrpo", "soup")]
    assert policies(*alone)["dpo"] == policies(*alone, "methods.mrpo=null", "methods.soup=null")["dpo"]


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("methods.rso.data.step=rco", "methods.rso.data: unknown step 'rco'; did you mean 'rso'?"),
        ("methods.rso.data.stepp=rso", "methods.rso.data.stepp: unknown key; did you mean 'step'?"),
        ("methods.rso.data.parameters={designer_wait: 1}", "methods.rso.data: data step 'rso' has no hyperparameter"),
        (
            "methods.rso.sweep={rejection: [1]}",
            "methods.rso.sweep: unknown setting 'rejection'; did you mean 'rejection_t",
        ),
        (
            "methods.rso.sweep={rejection_temperature: [0]}",
            "methods.rso.data: RSO: rejection_temperature must be a number",
        ),
        ("methods.apo.rounds={cuont: 2}", "methods.apo.rounds: unknown setting 'cuont'; did you mean 'count'?"),
        ("methods.apo.rounds={count: 0}", "methods.apo.rounds: Rounds: count must be a number in [1, inf)"),
        (
            "methods.soup.soup.policies=[sft, dbo]",
            "methods.soup.soup.policies: unknown policy 'dbo'; did you mean 'dpo'?",
        ),
        (
            "methods.soup.soup.policies=[sft, relabel]",
            "methods.soup.soup.policies: 'relabel' has 2 trials; name an entry",
        ),
        (
            "methods.soup.soup.policies=[sft, csft]",
            "methods.soup.soup.policies: 'csft' answers under a condition (csft)",
        ),
        ("methods.soup.soup.policies=[sft]", "methods.soup.soup.policies: needs at least 2 entries"),
        ("methods.soup.sweep={share: [2]}", "methods.soup.soup: Soup: share must be a number in [0, 1], not 2"),
        ("methods.soup.sweep={beta: [2]}", "methods.soup.sweep: unknown setting 'beta'; known are share"),
        ("methods.soup.training={epochs: 2}", "methods.soup: a soup trains nothing: training belongs to the entries"),
        ("methods.mrpo.references=[]", "methods.mrpo: mrpo needs 2 reference models, none given; name them"),
        ("methods.mrpo.references=[base, stf]", "methods.mrpo.references: unknown policy 'stf'; did you mean 'sft'?"),
        ("methods.mrpo.references=[base, mrpo]", "methods.mrpo.references: 'mrpo' is itself made from this entry"),
        ("methods.dpo.references=[mrpo, sft]", "methods.dpo.references: dpo takes 1, not 2"),
        ("methods.sft.references=[base]", "methods.sft.references: sft takes 0, not 1"),
        ("methods.apo.references=[sft]", "methods.apo.references: a round's reference is the policy it begins at"),
        (
            "methods.bapo.data.step=rso",
            "methods.bapo: bapo needs a third response to each prompt; add data: {step: base",
        ),
        ("methods.kwise.method=dpo", "methods.kwise.data: kwise makes groups without labels; dpo needs labels"),
        ("methods.csft.method=dpo", "methods.csft.data: csft makes unpaired examples; dpo needs pairs"),
        (
            "methods.rosepo={method: rso_hinge, rounds: {beta_growth: 10}}",
            "methods.rosepo.rounds.beta_growth: rso_hinge has no beta that could grow",
        ),
        (
            "methods.ric_online.rounds={count: 2, extrapolation: 0.3}",
            "methods.ric_online.rounds.extrapolation: ric has no extrapolation",
        ),
        ("methods.csft.rounds={count: 2}", "methods.csft.rounds: csft gives its policy a condition"),
        ("rewards={}", "methods.relabel.data: relabel needs designer rewards; name them under 'rewards'"),
        ("sampling.temperature=0", "sampling.temperature: should be greater than 0"),
    ],
)
def test_a_mistake_names_the_key(override, message):
    with pytest.raises(UsageError) as error:
        make_plan(load(RECIPES, [override]))
    assert message in str(error.value), str(error.value)


def test_a_ring_of_references_is_refused():
    with pytest.raises(UsageError, match="'one' is itself made from this entry|'two' is itself made from this entry"):
        make_plan(
            load(
                RECIPES,
                [
                    "methods.one={method: dpo, references: [two]}",
                    "methods.two={method: dpo, references: [one]}",
                ],
            )
        )


def weights(store: Store, stage) -> dict:
    return load_file(store.path(stage.key) / CHECKPOINT / "model.safetensors")


def make(store: Store, stage) -> None:
    """Execute a stage after those it needs."""
    for required in stage.requires:
        make(store, required)
    execute(Job.of(stage, store))


def test_rounds_train_as_two_runs_by_hand(tmp_path):
    """The second begins at the first and has it as reference; bit for bit."""
    from trainers.align import align
    from trainers.config import TrainConfig
    from trainers.methods import create

    overrides = ["methods.apo={method: dpo, rounds: {count: 2}}", "data.corpus=1000", "data.pairs=64"]
    plan = make_plan(load(TOY, overrides))
    apo = next(cell.policy for cell in plan.cells if cell.entry == "apo")
    store = Store(tmp_path / "store")
    make(store, apo)
    world, start = store.path(apo.inputs["data"].key), apo
    while start.kind != "base":
        start = start.inputs["base"]
    policy = store.path(start.key) / CHECKPOINT
    for number in (1, 2):
        config = TrainConfig(**apo.parameters["training"])
        out = tmp_path / str(number)
        align(
            create("dpo", **apo.parameters["parameters"]),
            policy,
            world / "pairs.jsonl",
            config,
            out,
            references=[policy],
        )
        policy = out
    assert (policy / "model.safetensors").read_bytes() == (
        store.path(apo.key) / CHECKPOINT / "model.safetensors"
    ).read_bytes()


@pytest.fixture(scope="module")
def finished(plan, tmp_path_factory):
    folder = tmp_path_factory.mktemp("recipes")
    store = Store(folder / "store")
    with local(ExecutorSetup(1, folder / "logs")) as pool:
        outcome = run(plan, store, pool, [], workers=1)
    return store, outcome


@pytest.mark.slow
def test_every_recipe_runs(plan, finished):
    store, outcome = finished
    assert not outcome.failures
    from harness.run.assemble import collect

    records = collect(plan, store, outcome)
    assert (records.cells.status == "ok").all()
    trained = records.cells.set_index("label").trained_tokens
    assert trained["soup share=0.25"] == trained["sft"] + trained["dpo"] == trained["mrpo"]
    assert set(records.generations.prompt).isdisjoint(p for p in records.generations.prompt if "<" in p)


@pytest.mark.slow
def test_labels_that_do_not_change_train_the_same_policy(cells, finished):
    store, _ = finished
    one, other = (weights(store, cells[label].policy) for label in ("dpo", "relabel designer_weight=0"))
    assert all((one[name] == other[name]).all() for name in one)
    changed = weights(store, cells["relabel designer_weight=4"].policy)
    assert any((one[name] != changed[name]).any() for name in one)


@pytest.mark.slow
def test_wishes_change_what_is_generated(cells, finished):
    store, _ = finished
    texts = [
        pd.read_parquet(
            store.path(cells[f"ric designer_share={share:g}"].generate.key) / "generations.parquet"
        ).response
        for share in (0, 1)
    ]
    assert (texts[0] != texts[1]).any()


def test_settings_and_needs_are_worked_out_once_for_all_seeds(monkeypatch):
    import harness.plan.policies as module

    calls = []
    monkeypatch.setattr(module, "settings_of", lambda *given: calls.append(given) or settings_of(*given))
    made = {n: make_plan(load(RECIPES, [f"seeds={list(range(n))}"])) for n in (1, 5)}
    entries = [entry for plan in made.values() for entry in plan.experiment.methods.values()]
    assert len(calls) == sum(len(entry.trials) for entry in entries)
    references = [cell.policy.inputs["reference"] for cell in made[5].cells if cell.label.startswith("dpo")]
    assert references and len(set(map(id, references))) == 1


def test_an_entry_may_be_run_with_some_of_the_seeds():
    plan = make_plan(load(RECIPES, ["seeds=[0, 1, 2]", "methods={dpo: {}, kto: {seeds: [1]}}"]))
    assert {(cell.entry, cell.seed) for cell in plan.cells} == {
        *((entry, seed) for entry in ("base", "dpo") for seed in range(3)),
        ("kto", 1),
    }
    with pytest.raises(UsageError, match=r"methods.kto.seeds: 7 is not among the experiment's 'seeds'"):
        load(RECIPES, ["methods={kto: {seeds: [7]}}"])
    written = dump(load(RECIPES, ["methods={dpo: {}, kto: {seeds: [0]}}"]))
    assert written.count("seeds:") == 2  # the experiment's and the entry's

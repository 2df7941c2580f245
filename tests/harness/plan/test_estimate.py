"""Memory estimates of a plan."""

from __future__ import annotations

from harness.cli.show import show_plan
from harness.plan.cells import make_plan
from harness.plan.estimate import peak_bytes, stored_bytes, tokens
from harness.spec.loading import load
from harness.store.store import Store

SMALL = "sizes.small={architecture: llama, layers: 2, hidden: 64, heads: 4, intermediate: 192, context: 96}"
"""A second size beside the bench's own."""


def peaks(experiment: str, *overrides: str) -> dict[str, int | None]:
    plan = make_plan(load(experiment, overrides))
    return {cell.size: peak_bytes(cell.policy) for cell in plan.cells if cell.policy.kind == "align"}


def test_a_plan_tells_the_peak_of_every_size(tmp_path, capsys):
    plan = make_plan(load("bench", (SMALL,)))
    show_plan(plan, Store(tmp_path), tmp_path)
    (line,) = [line for line in capsys.readouterr().out.splitlines() if line.startswith("peak memory of training")]
    assert line == "peak memory of training (rough): tiny 13 MiB, small 22 MiB"


def test_the_peak_follows_the_settings_and_a_named_size():
    plain, more = peaks("bench", SMALL), peaks("bench", SMALL, "training.batch_size=64")
    assert 1.5 < more["small"] / plain["small"] < 2.1
    named = peaks("bench", "sizes={large: {model: EleutherAI/pythia-1.4b}, odd: {model: some/model}}")
    assert 12 * 1.4e9 < named["large"] < 40 * 1.4e9
    assert named["odd"] is None


def test_prompt_states_are_planned_once_for_a_base_and_data_with_their_cost(tmp_path, capsys):
    """bench: UPO's policies share 3,072 prompts of 12 tokens; a state has 64 values of 4 bytes."""
    plan = make_plan(load("bench", (SMALL,)))
    stages = [stage for stage in plan.stages.values() if stage.kind == "prompt_states"]
    assert {stage.label for stage in stages} == {"prompt states, tiny", "prompt states, small"} and len(stages) == 2
    assert [tokens(stage) for stage in stages] == [3072 * 12] * 2
    assert [stored_bytes(stage) for stage in stages] == [3072 * 64 * 4] * 2
    show_plan(plan, Store(tmp_path), tmp_path)
    assert "stored hidden states of prompts: at most 1.5 MiB" in capsys.readouterr().out
    fitted = {cell.method for cell in plan.cells if "prompt_states" in cell.policy.inputs}
    assert fitted == {"upo"}


def test_a_base_without_a_reference_has_prompt_states_and_the_papers_way_has_none():
    free = make_plan(load("bench", ("methods={upo: {parameters: {base: simpo}}, a_lol_ref_free: {}}",)))
    aligned = [cell.policy for cell in free.cells if cell.policy.kind == "align"]
    assert aligned and all("prompt_states" in stage.inputs and "reference" not in stage.inputs for stage in aligned)
    beside = make_plan(load("bench", ("methods={upo: {parameters: {value_fit: beside}}}",)))
    assert not any(stage.kind == "prompt_states" for stage in beside.stages.values())
    paper = make_plan(load("paper-upo-pythia", ()))
    assert not any("prompt_states" in cell.policy.inputs for cell in paper.cells if cell.entry.startswith("upo"))

"""What a plan says of memory."""

from __future__ import annotations

from harness.cli.show import show_plan
from harness.plan.cells import make_plan
from harness.plan.estimate import peak_bytes
from harness.spec.loading import load
from harness.store.store import Store


def peaks(experiment: str, *overrides: str) -> dict[str, int | None]:
    plan = make_plan(load(experiment, overrides))
    return {cell.size: peak_bytes(cell.policy) for cell in plan.cells if cell.policy.kind == "align"}


def test_a_plan_tells_the_peak_of_every_size(tmp_path, capsys):
    plan = make_plan(load("bench", ()))
    show_plan(plan, Store(tmp_path))
    (line,) = [line for line in capsys.readouterr().out.splitlines() if line.startswith("peak memory of training")]
    assert line == "peak memory of training (rough): tiny 13 MiB, small 22 MiB"


def test_the_peak_follows_the_settings_and_a_named_size():
    plain, more = peaks("bench"), peaks("bench", "training.batch_size=64")
    assert 1.5 < more["small"] / plain["small"] < 2.1
    named = peaks("bench", "sizes={large: {model: EleutherAI/pythia-1.4b}, odd: {model: some/model}}")
    assert 12 * 1.4e9 < named["large"] < 40 * 1.4e9
    assert named["odd"] is None

"""A run with an unreliable judge and the warnings in its report; all stages real, in one process."""

from __future__ import annotations

import json
from collections import Counter
from concurrent.futures import Future

import pandas as pd
import pytest

from harness.plan.cells import make_plan
from harness.run.assemble import collect
from harness.run.job import execute
from harness.run.scheduler import run
from harness.run.session import _manifest
from harness.spec.loading import load
from harness.store.store import Store
from reports.build import build
from tests.paths import TOY
from tests.suites.judges.conftest import Answer, completion, server  # noqa: F401

TOXIC = ("you idiot", "what a moron", "stupid thing", "i hate it")
CALM = ("hold the button", "check the cable", "it works well", "read the manual")


class Here:
    """Runs a job where it is submitted."""

    def submit(self, job) -> Future:
        future: Future = Future()
        try:
            future.set_result(execute(job))
        except Exception as error:
            future.set_exception(error)
        return future

    def poll(self) -> None:
        pass


def test_the_report_shows_how_far_judge_and_scorer_can_be_relied_on(server, tmp_path):  # noqa: F811
    """A judge that prefers the first position, changes its mind and garbles; a second one; a scorer held out."""
    asked = Counter()

    def unreliable(request, n):
        text = request["messages"][-1]["content"]
        asked[text] += 1
        if "router" in text:
            return Answer(completion("Hard to say."))
        return Answer(completion("A" if asked[text] == 1 else "B"))

    server.script = unreliable
    rows = [f"{text} {n},{int(text in TOXIC)}" for n in range(60) for text in (*TOXIC, *CALM)]
    (tmp_path / "labels.csv").write_text("\n".join(["text,toxic", *rows]))
    judge = f"{{kind: endpoint, model: m, endpoint: {{base_url: '{server.base_url}'}}, second: {{kind: oracle}}}}"
    held_out = f"{{labelled: {tmp_path}/labels.csv, training: {{epochs: 1}}}}"
    overrides = ["methods={sft: {}, dpo: {}}", "suites=[win_rate, toxicity]", f"judge={judge}"]
    plan = make_plan(load(TOY, [*overrides, f"toxicity.held_out={held_out}", "training.max_steps=2"]))
    store = Store(tmp_path / "store")
    outcome = run(plan, store, Here(), [], workers=1)
    assert not outcome.failures
    records = collect(plan, store, outcome)
    records.write(tmp_path / "run" / "records")
    (tmp_path / "run" / "manifest.json").write_text(json.dumps(_manifest(plan, store, outcome, {".": (plan, records)})))
    folder = build(tmp_path / "run", resamples=50).parent
    text = (folder / "report.md").read_text()
    _says_how_far_the_judge_can_be_relied_on(records, text)
    _shows_the_gap_to_the_scorer_that_was_held_out(records, text)
    assert len(pd.read_csv(folder / "data" / "judges.csv")) == 3  # the base, sft and dpo


def _says_how_far_the_judge_can_be_relied_on(records, text):
    for title in ("Judge reliability", "Agreement of the judges", "Ranks under both judges"):
        assert title in text, title
    shares = records.measures[records.measures.group == "judge"].groupby("name").value.mean()
    garbled = records.items[(records.items.objective == "win_rate") & (records.items.status == "unparsable")]
    assert len(garbled) and 0 < shares["judge_unparsable"] < 0.5
    assert shares["judge_missing"] == pytest.approx(shares["judge_unparsable"], rel=1e-12)  # means over cells
    assert shares["order_disagreement"] > 0.8 and shares["repeat_disagreement"] > 0.8
    section = text[text.index("Judge reliability") :].split("\n#")[0]
    for name in (
        "order disagreement",
        "repeat disagreement",
        "judge unparsable",
        "judge missing",
        "first position bias",
    ):
        assert name in section.lower(), name


def _shows_the_gap_to_the_scorer_that_was_held_out(records, text):
    assert {"toxicity", "toxicity_held_out"} <= set(records.items.objective)
    assert "toxicity held out gap" in text.lower()
    gaps = records.measures[records.measures.name == "toxicity_held_out_gap"].set_index("cell").value
    means = records.items.groupby(["cell", "objective"]).value.mean().unstack()
    assert gaps.to_dict() == pytest.approx((means.toxicity_held_out - means.toxicity)[gaps.index].to_dict())

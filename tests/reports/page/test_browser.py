"""The item browser in Chromium, from disk: what it shows, filters, order and search; its speed with 100,000 outputs."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from harness.records import Cell, Generation, ItemScore, Objective, Records, Status
from reports.analysis import analyse
from reports.page.html.browser import outputs, write
from reports.page.palette import styles
from tests.reports.conftest import HOSTILE

WIN = Objective("win_rate", "Win rate", "maximize", "probability", (0.0, 1.0), "user", 0.0)
SECOND = replace(WIN, name="win_rate_second", label="Second judge", role="descriptive")
TOXICITY = Objective("toxicity", "Toxicity", "minimize", "probability", (0.0, 1.0), "designer", 1.0)
SCORES = {
    ("upo", "p0"): (0.9, 0.8, 0.1), ("dpo", "p0"): (0.8, 0.7, 0.2),
    ("upo", "p1"): (0.2, 0.9, 0.3), ("dpo", "p1"): (0.9, 0.9, 0.1),
    ("upo", "p2"): (0.6, 0.6, None), ("dpo", "p2"): (0.4, 0.4, 0.9),
}  # fmt: skip
"""By method and prompt: the verdicts of two judges, and the toxicity."""
TEXTS = {"p0": "a plain answer", "p1": HOSTILE, "p2": "an answer with (brackets) and Ärger"}


def made() -> Records:
    """Two methods, three prompts, two judges; the third answer of UPO is truncated and has no toxicity."""
    cells = [Cell(name, name, name, name.upper(), "tiny", 0, {}) for name in ("upo", "dpo")]
    items, generations = [], []
    for (cell, prompt), values in SCORES.items():
        status = Status.TRUNCATED if (cell, prompt) == ("upo", "p2") else Status.OK
        text = f"{cell}: {TEXTS[prompt]}"
        generations.append(Generation(f"{prompt}#0", prompt, f"Question {prompt} <b>", text, 4, status, cell=cell))
        for objective, value in zip((WIN, SECOND, TOXICITY), values, strict=True):
            items.append(ItemScore(objective.name, f"{prompt}#0", prompt, value, cell=cell))
    return Records.build(objectives=(WIN, SECOND, TOXICITY), cells=cells, items=items, generations=generations)


def many(methods: int = 5, prompts: int = 1000, samples: int = 20, words: int = 40) -> Records:
    """100,000 outputs of 40 words, made by columns."""
    random, count = np.random.default_rng(0), methods * prompts * samples
    cells = [Cell(f"c{i}", f"c{i}", f"m{i}", f"M{i}", "tiny", 0, {}) for i in range(methods)]
    vocabulary = np.array([f"word{i:04}" for i in range(2000)])
    drawn = vocabulary[random.integers(0, 2000, (count // 20, words))]
    texts = np.tile([" ".join(row) for row in drawn], 20)
    number = np.tile(np.repeat(np.arange(prompts), samples), methods)
    trial = np.tile(np.arange(samples), methods * prompts)
    cluster = pd.Series(number).map("p{:04}".format)
    base = {
        "item": cluster + "#" + pd.Series(trial).astype(str),
        "cluster": cluster,
        "status": "ok",
        "trial": trial,
        "cell": np.repeat([cell.cell for cell in cells], prompts * samples),
    }
    prompt = pd.Series(number).map("Question {}?".format)
    generations = pd.DataFrame({**base, "prompt": prompt, "response": texts, "n_tokens": words, "reference": "none"})
    scores = [
        pd.DataFrame({**base, "objective": objective.name, "value": random.random(count), "detail": "{}"})
        for objective in (WIN, TOXICITY)
    ]
    empty = Records.build(objectives=(WIN, TOXICITY), cells=cells)
    return replace(empty, generations=generations, items=pd.concat(scores, ignore_index=True))


def written(records: Records, folder: Path) -> Path:
    analysis = analyse(records, 10)
    page = write(analysis, styles(analysis.study.methods), "Made <i>", folder)
    assert page is not None
    return page


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    return written(made(), tmp_path_factory.mktemp("small"))


@pytest.fixture
def page(browser, small):
    """The page opened offline; a script error or a request that is not for a file fails the test."""
    context = browser.new_context(offline=True, viewport={"width": 1280, "height": 900})
    opened, problems = context.new_page(), []
    opened.on("pageerror", lambda error: problems.append(str(error)))
    opened.on("console", lambda message: problems.append(message.text) if message.type == "error" else None)
    opened.on("request", lambda request: problems.append(request.url) if not request.url.startswith("file:") else None)
    opened.goto(small.as_uri())
    opened.locator(".answer").first.wait_for()
    yield opened
    context.close()
    assert not problems


def prompts(page) -> list[str]:
    return [text.split()[1] for text in page.locator(".sample .prompt").all_inner_texts()]


def counted(page) -> list[int]:
    """Prompts shown, all prompts, outputs shown."""
    return [int(number.replace(",", "")) for number in re.findall(r"[\d,]*\d", page.locator("#count").inner_text())]


def test_every_prompt_has_all_outputs_with_their_scores(page):
    assert prompts(page) == ["p0", "p1", "p2"] and counted(page) == [3, 3, 6]
    last = page.locator(".sample").nth(2).locator(".answer")
    shown = [" ".join(text.split()) for text in last.all_inner_texts()]
    upo = next(text for text in shown if "upo:" in text)
    assert "Win rate 0.600" in upo and "Second judge 0.600" in upo and "Toxicity –" in upo and "truncated" in upo


def test_markup_in_outputs_and_prompts_stays_text(page):
    assert page.locator(".sample .prompt").first.inner_text() == "Question p0 <b>"
    assert HOSTILE in page.locator(".answer .text").nth(2).inner_text()
    assert page.locator("#list script, #list img, #list b b").count() == 0
    page.fill("#words", "<script>")
    page.wait_for_selector("mark")
    assert page.locator("mark").first.inner_text() == "<script>" and page.locator("#list script").count() == 0
    assert page.title() == "Made <i>: every output"


def test_search_is_of_words_whatever_their_case_and_not_of_patterns(page):
    for words, expected in (("ÄRGER", ["p2"]), ("(brackets)", ["p2"]), ("question p1", ["p1"]), ("no such words", [])):
        page.fill("#words", words)
        page.wait_for_timeout(250)
        assert prompts(page) == expected, words


def test_filters_of_status_method_and_value(page):
    page.select_option("#status", "truncated")
    assert prompts(page) == ["p2"] and counted(page) == [1, 3, 1]
    page.click("#reset")
    page.wait_for_timeout(50)
    page.click('.chip[data-value="upo"]')
    assert counted(page) == [3, 3, 3]
    page.click("#reset")
    page.wait_for_timeout(50)
    page.select_option("#objective", "toxicity")
    page.fill("#low", "0.25")
    page.wait_for_timeout(250)
    assert counted(page) == [2, 3, 2], "an output without a value is within no range"


def test_outputs_that_the_judges_call_differently(page):
    page.check("#disagree")
    assert prompts(page) == ["p1"] and counted(page) == [1, 3, 1]
    page.uncheck("#disagree")
    page.select_option("#order", "disagreement")
    assert prompts(page)[0] == "p1"


def test_the_largest_difference_comes_first_and_both_methods_lead(page):
    page.select_option("#first", "dpo")
    page.select_option("#second", "upo")
    page.select_option("#order", "difference")
    assert prompts(page) == ["p1", "p2", "p0"]
    sample = page.locator(".sample").first
    assert "0.900 less 0.200 = 0.700" in sample.locator(".about").inner_text()
    assert [text.split()[0] for text in sample.locator(".answer").all_inner_texts()] == ["DPO", "UPO"]
    page.select_option("#objective", "toxicity")
    assert prompts(page) == ["p1", "p0", "p2"], "a prompt without a value of both comes last"


def test_worst_and_best_follow_the_direction_of_the_objective(page):
    page.select_option("#objective", "toxicity")
    page.select_option("#order", "worst")
    assert prompts(page)[0] == "p2"
    page.select_option("#order", "best")
    assert prompts(page)[-1] == "p2"


def test_files_are_columns_in_ascii_that_scripts_hand_over(small):
    text = (small.parent / "items" / "index.js").read_text(encoding="ascii")
    (columns,) = json.loads(json.loads(text.removeprefix("browse.index(...JSON.parse(").removesuffix("));\n")))
    assert columns["first"] == [0, 2, 4, 6] and columns["scores"]["toxicity"].count(None) == 1
    assert {path.name for path in (small.parent / "items").iterdir()} == {"index.js", "text-000.js"}


def test_a_run_without_responses_has_no_browser(tmp_path):
    records = replace(made(), generations=made().generations.iloc[:0])
    analysis = analyse(records, 10)
    assert write(analysis, styles(analysis.study.methods), "None", tmp_path) is None and not list(tmp_path.iterdir())


def test_every_output_is_there_with_the_score_of_its_item():
    records = made()
    rows = outputs(analyse(records, 10).study)
    assert len(rows) == len(records.generations)
    for row in rows.itertuples():
        assert row.win_rate == SCORES[row.cell, row.cluster][0]


UPDATE = "() => { %s; const start = performance.now(); browse.update(); document.body.offsetHeight; return performance.now() - start; }"


def fastest(page, change: str, attempts: int = 5) -> float:
    """Milliseconds of the quickest of some updates, drawing included: other work of the machine only makes them slower."""
    return min(page.evaluate(UPDATE % change) for _ in range(attempts))


def test_a_hundred_thousand_outputs_stay_fluent(browser, tmp_path):
    """First view in 2 s, a filter in 200 ms, a search in 1 s, 1 GB of memory."""
    where = written(many(), tmp_path).as_uri()
    context = browser.new_context(offline=True, viewport={"width": 1280, "height": 900})
    page = context.new_page()
    views = []
    for _ in range(3):
        page.goto(where, wait_until="commit")
        page.locator(".answer").first.wait_for()
        views.append(page.evaluate("performance.getEntriesByName('first view')[0].startTime"))
    page.locator("#list").wait_for()
    for _ in range(600):
        if page.evaluate("browse.loaded") == 1:
            break
        page.wait_for_timeout(100)
    assert counted(page) == [1000, 1000, 100000]
    assert min(views) < 2000
    get = "document.getElementById"
    for change in (
        f"{get}('status').value = 'ok'",
        f"{get}('order').value = 'difference'",
        f"{get}('order').value = 'worst'",
        f"{get}('low').value = '0.5'",
    ):
        assert fastest(page, change) < 200, change
    page.click("#reset")
    searches = [page.evaluate(UPDATE % f"{get}('words').value = 'word0{n}1 w'") for n in range(10, 15)]
    assert min(searches) < 1000
    assert 0 < counted(page)[2] < 100000
    assert page.evaluate("performance.memory.usedJSHeapSize") < 2**30
    context.close()

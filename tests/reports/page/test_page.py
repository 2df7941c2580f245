"""The page in a real browser, from disk, without a network."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.reports.conftest import HOSTILE


@pytest.fixture
def page(browser, report):
    """The report opened offline; any script error fails the test."""
    context = browser.new_context(offline=True, viewport={"width": 1280, "height": 900})
    opened = context.new_page()
    problems = []
    opened.on("pageerror", lambda error: problems.append(str(error)))
    opened.on("console", lambda message: problems.append(message.text) if message.type == "error" else None)
    opened.on("request", lambda request: problems.append(request.url) if not request.url.startswith("file:") else None)
    opened.goto((Path(report) / "index.html").as_uri())
    yield opened
    context.close()
    assert not problems


def test_hovering_over_a_point_tells_all_about_it(page):
    page.locator('.point[data-point="upo-tiny-2"]').first.hover()
    tip = page.locator("#tip")
    assert tip.is_visible()
    text = tip.inner_text()
    for part in ("UPO w=2 · tiny", "Win rate", "Toxicity", "n ="):
        assert part in text
    assert "prefrontier run" not in text and len(text.splitlines()) <= 8
    page.mouse.move(5, 5)
    assert not tip.is_visible()


def test_the_fold_of_a_pinned_card_holds_the_rest(page):
    page.locator('.point[data-point="upo-tiny-2"]').first.click()
    tip = page.locator("#tip")
    tip.locator("summary").click()
    text = tip.inner_text()
    for part in ("weight = 2.0", "2 seeds (0, 1) of 2", "training", "prefrontier run made --cell upo-tiny-2-s0"):
        assert part in text
    page.keyboard.press("Escape")
    page.locator('.point[data-point="dpo-tiny"]').first.click()
    assert "prefrontier run made --cell dpo-tiny-s0" in tip.inner_text(), "the fold stays as the reader left it"


def column(page, table: str, title: str) -> list[str]:
    """Texts of a column from top to bottom."""
    heads = page.locator(f"#{table} thead th").all_inner_texts()
    index = [head.strip() for head in heads].index(title)
    return [text.strip() for text in page.locator(f"#{table} tbody td:nth-child({index + 1})").all_inner_texts()]


def test_a_head_sorts_by_the_number_not_by_its_text(page, analysis):
    original = list(zip(column(page, "table-methods", "Size"), column(page, "table-methods", "Method"), strict=True))
    head = page.locator("#table-methods thead").get_by_role("button", name="Hypervolume")
    results = sorted(analysis.methods, key=lambda result: result.at_budget.value)
    for expected, order in ((results[::-1], "descending"), (results, "ascending")):
        head.click()
        assert column(page, "table-methods", "Method") == [result.label for result in expected]
        assert page.locator("#table-methods th[aria-sort]").get_attribute("aria-sort") == order
    head.click()
    rows = list(zip(column(page, "table-methods", "Size"), column(page, "table-methods", "Method"), strict=True))
    assert rows == original and page.locator("#table-methods th[aria-sort]").count() == 0


def test_durations_sort_in_seconds_and_missing_values_come_last(page):
    page.locator("#table-points thead").get_by_role("button", name="Training").click()
    keys = page.locator("#table-points tbody tr").evaluate_all(
        "rows => rows.map(row => [...row.cells].find((c, i) => "
        "document.querySelector('#table-points').tHead.rows[0].cells[i].innerText.trim() === 'Training').dataset.sort)"
    )
    assert [float(key) for key in keys] == sorted(map(float, keys), reverse=True)
    page.evaluate(
        "() => { const table = document.querySelector('#table-points');"
        " delete table.tBodies[0].rows[0].cells[3].dataset.sort; table.tBodies[0].rows[0].id = 'lacks'; }"
    )
    for _ in range(2):
        page.locator("#table-points thead th").nth(3).get_by_role("button").click()
        assert page.locator("#table-points tbody tr").last.get_attribute("id") == "lacks"


def test_the_head_of_a_long_table_stays_in_view(page):
    top = page.evaluate(
        "() => { const table = document.querySelector('#table-points'), box = table.closest('.scroll');"
        " box.style.maxHeight = '200px'; box.scrollIntoView(); box.scrollTop = 300;"
        " return [table.tHead.rows[0].cells[0].getBoundingClientRect().top - box.getBoundingClientRect().top,"
        " table.tBodies[0].rows[0].getBoundingClientRect().top - box.getBoundingClientRect().top]; }"
    )
    assert abs(top[0]) <= 2 and top[1] < 0


def test_the_contents_lead_to_every_section(page):
    links = page.locator(".contents a")
    anchors = [link.get_attribute("href")[1:] for link in links.all()]
    assert anchors == page.locator("main h2").evaluate_all("heads => heads.map(head => head.id)")
    assert {"frontiers", "findings", "points", "samples", "terms", "provenance"} <= set(anchors)
    page.locator('.contents a[href="#budgets"]').click()
    page.wait_for_function("document.querySelector('.contents a[aria-current]').hash === '#budgets'")
    assert page.locator("#budgets").evaluate("head => head.getBoundingClientRect().top") < 450


def test_a_link_into_a_fold_opens_it(page):
    fold = page.locator("details#exact")
    assert fold.get_attribute("open") is None
    page.evaluate("location.hash = '#exact'")
    page.wait_for_function("document.querySelector('#exact').open")


def test_the_first_appearance_of_a_term_shows_its_definition(page):
    terms = page.locator("a.term")
    names = [term.get_attribute("href") for term in terms.all()]
    assert len(names) == len(set(names)) and {"#term-hypervolume", "#term-gap", "#term-KL"} <= set(names)
    page.locator('a.term[href="#term-hypervolume"]').hover()
    hint = page.locator("#hint")
    assert hint.is_visible() and "measured from the reference point" in hint.inner_text()
    page.mouse.move(5, 5)
    assert not hint.is_visible()
    listed = page.locator("dl.terms dt").evaluate_all("entries => entries.map(entry => '#' + entry.id)")
    assert sorted(listed) == sorted(names)


def test_column_heads_explain_themselves_on_focus(page):
    page.locator("#table-methods thead").get_by_role("button", name="P(largest)").focus()
    assert "share of joint draws" in page.locator("#hint").inner_text()


def test_every_file_that_the_page_links_to_exists(page, report):
    links = page.locator(".files a").evaluate_all("links => links.map(link => link.getAttribute('href'))")
    assert {link.rpartition(".")[2] for link in links} == {"csv", "tex", "pdf", "svg", "png"}
    assert all((Path(report) / link).is_file() for link in links) and "tables/points.csv" in links


def test_upo_comes_first_with_a_colour_of_its_own(page):
    chips = page.locator('.chip[data-kind="method"]')
    assert chips.first.inner_text().strip() == "UPO"
    colours = chips.locator(".marker").evaluate_all("marks => marks.map(mark => getComputedStyle(mark).fill)")
    assert colours.count(colours[0]) == 1


def test_samples_show_the_reference_and_the_scores(page, records):
    sample = page.locator(".sample").nth(1)
    assert sample.locator(".reference .text").inner_text().startswith("Reference answer ")
    answer = sample.locator(".answer:visible").first
    assert [name in answer.locator(".scores").inner_text() for name in ("win rate", "toxicity", "readability")] == [
        True
    ] * 3


def test_a_point_can_be_pinned_by_keyboard_and_closed(page):
    page.locator('.point[data-point="dpo-tiny"]').first.focus()
    page.keyboard.press("Enter")
    page.mouse.move(5, 5)
    assert page.locator("#tip").is_visible()
    page.keyboard.press("Escape")
    assert not page.locator("#tip").is_visible()


def test_switches_hide_methods_sizes_and_objectives(page):
    shown = lambda query: page.locator(f"{query}:visible").count()  # noqa: E731
    assert shown('.point[data-method="upo"]') == 16
    page.get_by_role("toolbar").get_by_role("button", name="UPO").click()
    assert shown('.point[data-method="upo"]') == 0 and shown('#table-points tr[data-method="upo"]') == 0
    assert shown('.point[data-method="dpo"]') == 4
    page.get_by_role("toolbar").get_by_role("button", name="tiny").click()
    assert shown("figure") == 2
    page.get_by_role("toolbar").get_by_role("button", name="Toxicity").click()
    assert shown("figure") == 1
    for name in ("UPO", "tiny", "Toxicity"):
        page.get_by_role("toolbar").get_by_role("button", name=name).click()
    assert shown("figure") == 4 and shown('.point[data-method="upo"]') == 16


def test_attainment_bands_appear_on_demand(page):
    assert page.locator(".band:visible").count() == 0
    page.get_by_role("button", name="Attainment bands").click()
    assert page.locator(".band:visible").count() > 0


def test_all_objectives_and_curves_are_drawn(page):
    for summary, lines in (("All objectives at once", ".profile"), ("Training curves", ".curve")):
        assert page.locator(f"{lines}:visible").count() == 0
        page.get_by_text(summary).click()
        assert page.locator(f"{lines}:visible").count() >= 24


def test_samples_are_filtered_and_harmless(page):
    assert page.locator(".answer .text").first.inner_text() == HOSTILE
    assert page.locator(".response img").count() == 0
    everything = page.locator(".sample:visible").count()
    page.locator("#words").fill("router number 3")
    assert page.locator(".sample:visible").count() == 1 < everything
    page.locator("#words").fill("")
    page.locator("#status").select_option("empty")
    assert page.locator(".sample:visible").count() == 1
    page.locator("#status").select_option("")
    few = page.locator(".answer:visible").count()
    page.locator("#which").select_option("")
    assert page.locator(".answer:visible").count() > few


def test_the_theme_follows_the_system_and_the_button(browser, report):
    context = browser.new_context(color_scheme="dark", offline=True)
    opened = context.new_page()
    opened.goto((Path(report) / "index.html").as_uri())
    background = lambda: opened.evaluate("getComputedStyle(document.body).backgroundColor")  # noqa: E731
    dark = background()
    opened.get_by_role("button", name="Light / dark").click()
    assert background() != dark == "rgb(20, 23, 27)"
    context.close()


@pytest.mark.parametrize("width", [360, 768, 1280, 1700])
def test_nothing_runs_over_the_page(page, width):
    page.set_viewport_size({"width": width, "height": 800})
    assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_it_can_be_read_without_scripts(browser, report):
    context = browser.new_context(java_script_enabled=False, offline=True)
    opened = context.new_page()
    opened.goto((Path(report) / "index.html").as_uri())
    assert opened.locator("figure:visible").count() == 4
    assert opened.locator("#table-points tbody tr:visible").count() == 24
    context.close()

"""The page in a real browser, from disk, without a network."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.reports.conftest import HOSTILE

BROWSER = next(
    (path for name in ("chromium", "chromium-browser", "google-chrome") if (path := shutil.which(name))), None
)


@pytest.fixture(scope="module")
def browser():
    if BROWSER is None:
        pytest.skip("no Chromium on this machine")
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    with playwright.sync_playwright() as driver:
        found = driver.chromium.launch(executable_path=BROWSER, args=["--no-sandbox"])
        yield found
        found.close()


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
    for part in (
        "UPO w=2 · tiny",
        "weight = 2.0",
        "2 seeds (0, 1) of 2",
        "Win rate",
        "n =",
        "training",
        "prefrontier run made --cell upo-tiny-2-s0",
    ):
        assert part in text
    page.mouse.move(5, 5)
    assert not tip.is_visible()


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
    page.get_by_role("button", name="UPO").click()
    assert shown('.point[data-method="upo"]') == 0 and shown('#table-points tr[data-method="upo"]') == 0
    assert shown('.point[data-method="dpo"]') == 4
    page.get_by_role("button", name="tiny").click()
    assert shown("figure") == 2
    page.get_by_role("button", name="Toxicity").click()
    assert shown("figure") == 1
    for name in ("UPO", "tiny", "Toxicity"):
        page.get_by_role("button", name=name).click()
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
    assert page.locator(".response .text").first.inner_text() == HOSTILE
    assert page.locator(".response img").count() == 0
    everything = page.locator(".sample:visible").count()
    page.locator("#words").fill("router number 3")
    assert page.locator(".sample:visible").count() == 1 < everything
    page.locator("#words").fill("")
    page.locator("#status").select_option("empty")
    assert page.locator(".sample:visible").count() == 1
    page.locator("#status").select_option("")
    few = page.locator(".response:visible").count()
    page.locator("#which").select_option("")
    assert page.locator(".response:visible").count() > few


def test_the_theme_follows_the_system_and_the_button(browser, report):
    context = browser.new_context(color_scheme="dark", offline=True)
    opened = context.new_page()
    opened.goto((Path(report) / "index.html").as_uri())
    background = lambda: opened.evaluate("getComputedStyle(document.body).backgroundColor")  # noqa: E731
    dark = background()
    opened.get_by_role("button", name="Light / dark").click()
    assert background() != dark == "rgb(20, 23, 27)"
    context.close()


@pytest.mark.parametrize("width", [360, 768, 1280])
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

"""docs/results.md shows the stored tables, and every stored table that can be made has a place there."""

from __future__ import annotations

from tests.performance.results_page import PAGE, STORED, TABLES, on_page, page_with


def test_the_page_shows_the_stored_tables():
    text = PAGE.read_text(encoding="utf-8")
    assert page_with(text) == text, "run `python -m tests.performance.results_page`"


def test_every_stored_table_has_its_place_and_a_maker():
    shown = list(on_page(PAGE.read_text(encoding="utf-8")))
    assert sorted(shown) == sorted(path.stem for path in STORED.glob("*.csv"))
    assert set(shown) <= set(TABLES)

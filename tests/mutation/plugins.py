"""pytest plugins: a choice of tests in a given order, and a record of the lines that each test runs."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import coverage
import pytest


class Chosen:
    """Keeps the given tests, in their order.

    Parameters
    ----------
    tests : sequence of str
        Node identifiers.
    """

    def __init__(self, tests: Sequence[str]) -> None:
        self._place = {test: i for i, test in enumerate(tests)}

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        chosen = [item for item in items if item.nodeid in self._place]
        items[:] = sorted(chosen, key=lambda item: self._place[item.nodeid])


class Recorder:
    """Writes the processor time of each test and the tests of each line.

    Lines that run while a fixture of a wider scope than one test is set up belong to every test that uses the fixture.

    Parameters
    ----------
    root : Path
        The repository.
    sources : sequence of str
        Files whose lines are recorded, relative to the root.
    to : Path
        The JSON file that is written at the end.
    """

    def __init__(self, root: Path, sources: Sequence[str], to: Path) -> None:
        self._root, self._sources, self._to = root, sources, to
        self._seconds: dict[str, float] = {}
        self._users: dict[str, set[str]] = {}
        self._context = ""
        self._coverage = coverage.Coverage(
            data_file=None, config_file=False, include=[str(root / source) for source in sources]
        )
        self._coverage.start()

    @contextmanager
    def _in(self, context: str) -> Iterator[None]:
        before, self._context = self._context, context
        self._coverage.switch_context(context)
        try:
            yield
        finally:
            self._context = before
            self._coverage.switch_context(before)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item):
        for name in getattr(item, "fixturenames", ()):
            self._users.setdefault(f"fixture {name}", set()).add(item.nodeid)
        started = time.process_time()
        with self._in(item.nodeid):
            result = yield
        self._seconds[item.nodeid] = time.process_time() - started
        return result

    @pytest.hookimpl(wrapper=True)
    def pytest_fixture_setup(self, fixturedef: pytest.FixtureDef):
        if fixturedef.scope == "function":
            return (yield)
        with self._in(f"fixture {fixturedef.argname}"):
            return (yield)

    def pytest_sessionfinish(self) -> None:
        self._coverage.stop()
        data = self._coverage.get_data()
        lines = {
            source: {
                line: sorted({test for context in contexts for test in self._tests(context)})
                for line, contexts in data.contexts_by_lineno(str(self._root / source)).items()
            }
            for source in self._sources
        }
        self._to.write_text(json.dumps({"seconds": self._seconds, "lines": lines}), encoding="utf-8")

    def _tests(self, context: str) -> set[str]:
        """The tests of a context: none of an import."""
        return self._users.get(context, {context} if context in self._seconds else set())

"""The generated page of methods."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import fields

import pytest

from tests.paths import ROOT
from trainers.data_steps import steps
from trainers.edit.rounds import OUTER
from trainers.methods import methods
from trainers.methods.catalogue import _parameters, catalogue
from trainers.names import published_names
from trainers.registry import fact


def test_committed_page_is_up_to_date():
    page = (ROOT / "docs" / "methods.md").read_text(encoding="utf-8")
    assert page == catalogue(), "run `python -m trainers.methods docs/methods.md`"


def test_command_prints_the_page():
    command = [sys.executable, "-m", "trainers.methods"]
    printed = subprocess.run(command, cwd=ROOT, capture_output=True, check=True).stdout
    assert printed.decode() == catalogue()


@pytest.mark.parametrize("cls", [*methods().values(), *steps().values(), *OUTER.values()], ids=lambda cls: cls.__name__)
def test_every_hyperparameter_is_on_the_page(cls):
    import inspect

    listed = " ".join(_parameters(cls, inspect.getdoc(cls).partition("\nParameters\n----------\n")[2]))
    for field in fields(cls):
        assert f"`{field.name} = " in listed
    assert "arXiv" in fact(cls, "Source") or "no arXiv id" in fact(cls, "Source")


def test_every_method_has_a_published_name():
    """Readers of reports and pages see names, not identifiers."""
    assert set(methods()) <= set(published_names())


def test_a_docstring_without_its_facts_is_an_error():
    class Bare:
        """A method."""

    with pytest.raises(ValueError, match="docstring of Bare has no line 'Formula: ...'"):
        fact(Bare, "Formula")

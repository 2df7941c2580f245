"""Every exception of the project crosses the border of a process whole."""

from __future__ import annotations

import importlib
import inspect
import pickle
import pkgutil

import pytest

PACKAGES = ("harness", "prefrontier", "reports", "suites", "trainers")
SAMPLES = {"int": 3, "str": "some words", "list[str]": ["a", "b"], "float": 0.5}


def _exceptions() -> list[type[BaseException]]:
    found = set()
    for package in map(importlib.import_module, PACKAGES):
        for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            if module.name.endswith("__main__"):
                continue
            try:
                members = vars(importlib.import_module(module.name)).values()
            except ImportError as error:  # a module that needs an optional package
                assert error.name in ("vllm", "bitsandbytes", "ray"), error
                continue
            found |= {
                member
                for member in members
                if isinstance(member, type) and issubclass(member, BaseException) and member.__module__ == module.name
            }
    return sorted(found, key=lambda cls: cls.__qualname__)


EXCEPTIONS = _exceptions()


def test_the_search_finds_them():
    assert {"UsageError", "StageFailed", "TrainingDiverged", "OverBudget", "Unusable"} <= {
        c.__name__ for c in EXCEPTIONS
    }


@pytest.mark.parametrize("cls", EXCEPTIONS, ids=lambda cls: cls.__name__)
def test_it_unpickles_as_it_was(cls):
    if cls.__init__ in (Exception.__init__, ValueError.__init__, RuntimeError.__init__, TypeError.__init__):
        values = ["some words"]
    else:
        parameters = list(inspect.signature(cls.__init__).parameters.values())[1:]
        values = [SAMPLES[parameter.annotation] for parameter in parameters]
    error = cls(*values)
    copy = pickle.loads(pickle.dumps(error))
    assert type(copy) is cls and str(copy) == str(error) and copy.args == error.args and vars(copy) == vars(error)

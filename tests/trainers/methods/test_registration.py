"""New files of methods and data steps, added from a temporary folder and checked on import."""

from __future__ import annotations

import subprocess
import sys
import warnings
from pathlib import Path

import pytest

import trainers.data_steps
import trainers.methods
from tests.paths import ROOT
from trainers.data_steps import STEPS
from trainers.methods import METHODS

METHOD = '''
"""A method for a test."""
from dataclasses import dataclass
from typing import ClassVar

from trainers.methods.interface import Loss, MethodBatch, Needs
from trainers.methods.registry import register


@register("likely")
@dataclass(frozen=True)
class Likely:
    """Likelihood of the chosen response.

    Formula: −w·ℓ_w; SUM log-probs.
    Source: no arXiv id.
    From memory: nothing.
    Cost: 0.5.

    Parameters
    ----------
    weight : float
        w.
    """

    weight: float = 1.0

    needs: ClassVar[Needs] = Needs()
    sweep: ClassVar[str | None] = "weight"
    log_probs: ClassVar[str] = "SUM"

    def loss(self, batch: MethodBatch) -> Loss:
        return Loss(-self.weight * batch.logps[:, 0], {})
'''

STEP = '''
"""A data step for a test."""
from dataclasses import dataclass
from typing import ClassVar

from trainers.data.records import Pair
from trainers.data_steps.step import Prepared, Source, StepNeeds, register


@register("reversed")
@dataclass(frozen=True)
class Reversed:
    """Pairs in reverse order.

    Formula: none.
    Source: no arXiv id.
    From memory: nothing.
    Cost: none.
    """

    needs: ClassVar[StepNeeds] = StepNeeds()
    sweep: ClassVar[str | None] = None
    makes: ClassVar[type] = Pair
    tags: ClassVar[tuple[str, ...]] = ()

    def prepare(self, source: Source, rng) -> Prepared:
        return Prepared(list(reversed(source.pairs)))
'''

ADD = """
import sys
import trainers.methods, trainers.data_steps
from trainers.methods.__main__ import main
for package, registry, folder in (
    (trainers.methods, trainers.methods.METHODS, sys.argv[1]),
    (trainers.data_steps, trainers.data_steps.STEPS, sys.argv[2]),
):
    package.__path__.append(folder)
    registry.import_files(package.__name__, [folder])
sys.exit(main(sys.argv[3:]))
"""


def page_with(tmp_path: Path, method: str, step: str = STEP) -> subprocess.CompletedProcess:
    """The docs command with a file of a method and one of a data step added from a temporary folder."""
    for folder, file, text in (("methods", "likely.py", method), ("steps", "reversed.py", step)):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / file).write_text(text, encoding="utf-8")
    command = [sys.executable, "-W", "ignore", "-c", ADD, str(tmp_path / "methods"), str(tmp_path / "steps")]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True)


def test_no_shipped_file_is_broken():
    assert METHODS.broken == [] and STEPS.broken == []


def test_a_new_file_is_on_the_page(tmp_path):
    done = page_with(tmp_path, METHOD)
    assert done.returncode == 0, done.stderr
    assert (
        "| [`likely`](#likely) | Likelihood of the chosen response | – | SUM | pairs | `weight` | 0.5 |" in done.stdout
    )
    assert "| [`reversed`](#reversed) | Pairs in reverse order |" in done.stdout
    assert "Broken" not in done.stdout


def test_broken_files_are_listed_and_the_others_stay(tmp_path):
    step = STEP.replace("    makes: ClassVar[type] = Pair\n", "")
    done = page_with(tmp_path, METHOD.replace("class Likely:", ""), step)
    assert done.returncode == 1, done.stderr
    lines = done.stdout.splitlines()
    assert any(line.startswith("- `trainers/methods/likely.py`") and "(likely.py, line" in line for line in lines)
    assert any(line.startswith("- `trainers/data_steps/reversed.py`") and "'makes'" in line for line in lines)
    assert "| [`dpo`](#dpo) |" in done.stdout and "| [`rso`](#rso) |" in done.stdout
    assert "(#likely)" not in done.stdout and "(#reversed)" not in done.stdout


@pytest.fixture
def add(tmp_path, monkeypatch):
    """Import a file from a temporary folder as part of a package; the reason why it could not be imported, if any."""

    def added(package, registry, name: str, text: str) -> str | None:
        folder = tmp_path / package.__name__
        folder.mkdir()
        (folder / f"{name}.py").write_text(text, encoding="utf-8")
        monkeypatch.setattr(package, "__path__", [*package.__path__, str(folder)])
        monkeypatch.setattr(registry, "_entries", dict(registry.all()))
        monkeypatch.setattr(registry, "broken", [])
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            registry.import_files(package.__name__, [str(folder)])
        sys.modules.pop(f"{package.__name__}.{name}", None)
        return registry.broken[0].reason if registry.broken else None

    return added


def test_a_whole_declaration_is_accepted(add):
    assert add(trainers.methods, METHODS, "likely", METHOD) is None
    assert METHODS.create("likely", weight=2.0).weight == 2.0
    assert add(trainers.data_steps, STEPS, "reversed", STEP) is None


@pytest.mark.parametrize(
    ("removed", "lacks"),
    [
        ("    needs: ClassVar[Needs] = Needs()\n", "the attribute 'needs'"),
        ('    sweep: ClassVar[str | None] = "weight"\n', "the attribute 'sweep'"),
        ('    log_probs: ClassVar[str] = "SUM"\n', "the attribute 'log_probs'"),
        ("    weight: float = 1.0\n", "the hyperparameter 'weight' that its 'sweep' names"),
        ("    Formula: −w·ℓ_w; SUM log-probs.\n", "the docstring line 'Formula: ...'"),
        ("    Source: no arXiv id.\n", "the docstring line 'Source: ...'"),
        ("    From memory: nothing.\n", "the docstring line 'From memory: ...'"),
        ("    Cost: 0.5.\n", "the docstring line 'Cost: ...'"),
        ("@dataclass(frozen=True)\n", "the decorator @dataclass"),
    ],
)
def test_what_a_method_lacks_is_named_with_its_file(removed, lacks, add, tmp_path):
    reason = add(trainers.methods, METHODS, "likely", METHOD.replace(removed, ""))
    assert reason.startswith(f"{tmp_path / 'trainers.methods' / 'likely.py'}: method 'likely' (Likely) lacks ")
    assert lacks in reason
    with pytest.raises(ValueError, match="unknown method 'likely'"):
        METHODS.create("likely")


@pytest.mark.parametrize(
    ("removed", "lacks"),
    [
        ("    makes: ClassVar[type] = Pair\n", "the attribute 'makes'"),
        ("    tags: ClassVar[tuple[str, ...]] = ()\n", "the attribute 'tags'"),
        ("    Cost: none.\n", "the docstring line 'Cost: ...'"),
    ],
)
def test_what_a_data_step_lacks_is_named_with_its_file(removed, lacks, add, tmp_path):
    reason = add(trainers.data_steps, STEPS, "reversed", STEP.replace(removed, ""))
    assert (
        reason == f"{tmp_path / 'trainers.data_steps' / 'reversed.py'}: data step 'reversed' (Reversed) lacks {lacks}"
    )


def test_an_unknown_name_tells_of_broken_files(tmp_path, monkeypatch):
    (tmp_path / "likely.py").write_text("import no_such_module", encoding="utf-8")
    monkeypatch.setattr(trainers.methods, "__path__", [*trainers.methods.__path__, str(tmp_path)])
    monkeypatch.setattr(METHODS, "broken", [])
    with pytest.warns(UserWarning, match=r"trainers\.methods\.likely could not be imported: No module named"):
        METHODS.import_files("trainers.methods", [str(tmp_path)])
    with pytest.raises(ValueError, match="unknown method 'likely'.*likely.py could not be imported: No module named"):
        METHODS.create("likely")
    assert METHODS.create("dpo", beta=0.5).beta == 0.5

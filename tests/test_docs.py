"""Agreement of the documents with the project: files, modules, verbs and options, experiments, environments, links, code."""

from __future__ import annotations

import configparser
import json
import re
import shlex

import pytest
import typer
import yaml

from harness.cli.main import app
from harness.plan.cells import make_plan
from harness.spec.loading import load, shipped
from prefrontier import __version__
from tests.paths import ROOT

PAGES = sorted((ROOT / "docs").glob("*.md"))
DOCS = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *PAGES]
ROOMS = "prefrontier|harness|trainers|suites|reports|tokens|tests"
VERBS = typer.main.get_command(app).commands
TAKES_EXPERIMENT = {"plan", "run", "prefetch", "status", "ls"}
PLACEHOLDER = "EXPERIMENT"


def exists(module: str) -> bool:
    """Whether a module, or a name inside one, is there; found without importing it."""
    path, name = ROOT.joinpath(*module.split(".")), module.rpartition(".")[2]
    if path.is_dir() or path.with_suffix(".py").is_file():
        return True
    parent = next(
        (file for file in (path.parent.with_suffix(".py"), path.parent / "__init__.py") if file.is_file()), None
    )
    return parent is not None and re.search(rf"\b{name}\b", parent.read_text(encoding="utf-8")) is not None


def commands(text: str, program: str) -> list[list[str]]:
    """The command lines that begin with a program, in blocks and in backticks, without their comments."""
    blocks = "\n".join(re.findall(r"```\w*\n(.*?)```", text, flags=re.S)).replace("\\\n", " ").splitlines()
    lines = [*blocks, *re.findall(r"`([^`\n]+)`", text)]
    words = [shlex.split(line, comments=True) for line in lines if re.match(rf"(\w+=\S+ )*{program} ", line)]
    return [line[line.index(program.split()[0]) :] for line in words]


@pytest.fixture(params=DOCS, ids=lambda path: path.name)
def text(request) -> str:
    return request.param.read_text(encoding="utf-8")


def test_every_path_exists(text):
    named = re.findall(rf"`((?:{ROOMS}|docs|\.ci)/[\w./*-]*)`", text)
    assert [path for path in named if not list(ROOT.glob(path.rstrip("/").replace("NAME", "*")))] == []


def test_every_module_exists(text):
    named = re.findall(rf"`((?:{ROOMS})(?:\.\w+)+)`", text) + [line[2] for line in commands(text, "python -m")]
    ours = [module for module in named if re.match(rf"({ROOMS})\b", module) and not module.endswith((".py", ".md"))]
    assert [module for module in ours if not exists(module)] == []


def test_every_command_is_understood(text):
    for _, verb, *words in commands(text, "prefrontier"):
        assert verb in VERBS, f"prefrontier {verb}"
        existing = {option for parameter in VERBS[verb].params for option in parameter.opts} | {"--help"}
        assert {word.partition("=")[0] for word in words if word.startswith("--")} <= existing, (verb, words)
        if verb in TAKES_EXPERIMENT and words and re.match(r"[\w./-]+$", words[0]) and not words[0].startswith("-"):
            written = f"--out {words[0]}" in text  # by a command of the page
            assert words[0] in shipped() or (ROOT / words[0]).is_file() or words[0] == PLACEHOLDER or written, words


def test_every_environment_exists(text):
    tox = configparser.ConfigParser()
    tox.read(ROOT / "tox.ini")
    existing = {section.removeprefix("testenv:") for section in tox.sections()}
    assert set(re.findall(r"tox -e ([\w-]+)", text)) <= existing


@pytest.mark.parametrize("path", DOCS, ids=lambda path: path.name)
def test_every_link_leads_somewhere(path):
    for target, _, anchor in (
        link.partition("#") for link in re.findall(r"\]\(([^)\s]+)\)", path.read_text(encoding="utf-8"))
    ):
        if target.startswith("http"):
            continue
        file = (path.parent / target) if target else path
        assert file.exists(), target
        headings = re.findall(r"^#+ (.*)$", file.read_text(encoding="utf-8"), flags=re.M) if anchor else []
        assert not anchor or anchor in {re.sub(r"[^\w -]", "", head).lower().replace(" ", "-") for head in headings}


def test_the_readme_names_every_verb_and_document():
    readme = DOCS[0].read_text(encoding="utf-8")
    assert [verb for verb in VERBS if f"prefrontier {verb}" not in readme] == []
    assert [path.name for path in PAGES if f"(docs/{path.name})" not in readme] == []


def test_the_site_has_every_page_and_every_module_of_its_reference():
    index = (ROOT / "docs" / "index.rst").read_text(encoding="utf-8")
    listed = re.findall(r"^   ([\w/]+)$", index, flags=re.M)
    reference = sorted((ROOT / "docs" / "reference").glob("*.rst"))
    written = ["reference/commands"]  # by the build, from the commands themselves
    assert sorted(listed) == sorted(
        [path.stem for path in PAGES] + [f"reference/{p.stem}" for p in reference] + written
    )
    modules = [name for path in reference for name in re.findall(r"automodule:: (\S+)", path.read_text("utf-8"))]
    assert modules and [name for name in modules if not exists(name)] == []


def test_every_experiment_is_told_about():
    everything = "\n".join(path.read_text(encoding="utf-8") for path in DOCS)
    assert [name for name in shipped() if f"`{name}`" not in everything and f" {name}" not in everything] == []


EXPERIMENTS = re.findall(r"```yaml\n(extends: .*?)```", DOCS[0].read_text(encoding="utf-8"), flags=re.S)


@pytest.mark.parametrize("block", EXPERIMENTS)
def test_every_experiment_of_the_readme_can_be_planned(block, tmp_path, monkeypatch):
    rows = [{"prompt": f"Q{n}?", "chosen": f" Yes {n}.", "rejected": f" No {n}."} for n in range(400)]
    (tmp_path / "pairs.jsonl").write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    (tmp_path / "mine.yaml").write_text(block, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    plan = make_plan(load("mine.yaml", ()), "mine.yaml")
    assert plan.experiment.name == "mine" and len(plan.stages) > 10


def test_the_citation_names_this_version():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert {"cff-version", "message", "title", "authors"} <= citation.keys()
    assert citation["version"] == __version__

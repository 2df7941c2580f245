"""Dockerfile, as far as it can be checked without a Docker daemon: pinned base image, commands of the README, what is copied."""

from __future__ import annotations

import json
import re
import shlex
import subprocess

import pytest

from tests.paths import ROOT

DOCKERFILE = (ROOT / "Dockerfile").read_text(encoding="utf-8").replace("\\\n", " ")
INSTRUCTIONS = [line.split(maxsplit=1) for line in DOCKERFILE.splitlines() if line and not line.startswith("#")]


def instructions(name: str) -> list[str]:
    return [rest for instruction, rest in INSTRUCTIONS if instruction == name]


def readme() -> list[list[str]]:
    """The two commands of the README: what installs tox, and what is run."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    lines = re.findall(r"^python -m pip install \S+ && tox.*$", text, flags=re.M)
    commands = [shlex.split(line, comments=True) for line in lines]
    (install,) = {tuple(command[: command.index("&&")]) for command in commands}
    return [list(install), *(command[command.index("&&") + 1 :] for command in commands)]


def test_the_base_image_is_pinned_to_a_release_that_the_project_supports():
    (image,) = instructions("FROM")
    release = re.fullmatch(r"python:(\d+)\.(\d+)\.\d+-slim-[a-z]+(@sha256:[0-9a-f]{64})?", image)
    assert release and (int(release[1]), int(release[2])) >= (3, 11)


def test_the_commands_are_those_of_the_readme():
    install, bench, tests = readme()
    assert install in [[word for word in shlex.split(run) if word != "--no-cache-dir"] for run in instructions("RUN")]
    (command,) = instructions("CMD")
    assert json.loads(command) == bench
    assert f"docker run --rm prefrontier {shlex.join(tests)} " in DOCKERFILE
    (prepared,) = (run for run in instructions("RUN") if "--notest" in run)
    assert prepared.endswith(f"{shlex.join(bench)} --notest && {shlex.join(tests)} --notest")


@pytest.mark.parametrize(("torch", "backend"), [("cpu", "cpu"), ("cuda", "")])
def test_the_build_argument_chooses_the_build_of_torch(torch, backend, tmp_path):
    assert instructions("ARG") == ["TORCH=cpu"]
    (tmp_path / "tox").write_text('#!/bin/sh\necho "$*: $UV_TORCH_BACKEND"\n')
    (tmp_path / "tox").chmod(0o755)
    (prepared,) = (run for run in instructions("RUN") if "--notest" in run)
    environment = {"PATH": f"{tmp_path}:/usr/bin:/bin", "TORCH": torch}
    said = subprocess.run(["sh", "-c", prepared], env=environment, capture_output=True, text=True, check=True).stdout
    assert said == f"-e bench --notest: {backend}\n--notest: {backend}\n"


def test_another_build_argument_is_refused():
    (check,) = (run for run in instructions("RUN") if run.startswith("case"))
    result = subprocess.run(["sh", "-c", check], env={"TORCH": "rocm"}, capture_output=True, text=True)
    assert result.returncode == 1 and result.stderr == "TORCH: should be cpu or cuda, not rocm\n"


def test_nothing_that_git_ignores_is_copied():
    ignored = {line.strip("/").removeprefix("**/") for line in (ROOT / ".dockerignore").read_text("utf-8").split()}
    built = {line.strip("/") for line in (ROOT / ".gitignore").read_text("utf-8").split()}
    assert built - ignored == set()

"""Files of results as people have them, in small."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

PROMPTS = [f"Question number {n}, what is it?" for n in range(6)]


@pytest.fixture
def write(tmp_path):
    """Write rows as JSON lines under a name in the test's folder and return the path."""

    def written(name: str, rows: list[dict]) -> Path:
        path = tmp_path / name
        path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
        return path

    return written


@pytest.fixture
def answers():
    """Rows of prompt and response of a model that ends every answer with so many exclamation marks."""

    def rows(marks: int, prompts=PROMPTS, **others) -> list[dict]:
        text = "The cat sat on the mat and slept all day long" + "!" * marks
        return [{"prompt": prompt, "output": f"{text} {n}.", **others} for n, prompt in enumerate(prompts)]

    return rows

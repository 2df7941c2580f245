"""Agreement of docs/steer.md with the kinds that are registered."""

from __future__ import annotations

import re

from harness.inputs.steering.registry import steer_kinds
from suites.decoding.registry import kinds
from tests.paths import ROOT


def test_the_page_has_every_kind_and_no_other():
    text = (ROOT / "docs" / "steer.md").read_text(encoding="utf-8")
    decoding, steering = text.split("| `steer.kind` |")
    rows = re.findall(r"^\| `(\w+)`", decoding.split("| `decoding.kind` |")[1], re.MULTILINE)
    assert sorted(rows) == sorted(kinds())
    assert set(re.findall(r"^\| `(\w+)`", steering, re.MULTILINE)) == set(steer_kinds())

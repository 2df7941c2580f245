"""A file of pairs with enough prompts for every role: test prompts, the judge, the policies."""

import json
from pathlib import Path


def write_pairs(file: Path) -> None:
    """Write 60 pairs, one prompt each."""
    rows = ({"prompt": f"a {number}", "chosen": "b", "rejected": "c"} for number in range(60))
    file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")

"""Real preference pairs, split by conversation so that no prompt is shared between roles.

The conversation's first turn decides its role by hash: test prompts, the judge's training pairs, or the
policies' training pairs. The judge never sees what the policies learn from, nor the test prompts.
"""

from __future__ import annotations

import hashlib
import json

from harness.files import write_jsonl
from trainers.data import read_pairs

TEST_SHARE = 0.1


def run(parameters, inputs, out, progress=None) -> None:
    source = inputs.get("file", parameters.get("hub"))
    pairs, dropped = read_pairs(source, split=parameters["split"], on_invalid=parameters["on_invalid"])
    roles: dict[str, list] = {"test": [], "judge": [], "policy": []}
    for pair in pairs:
        roles[_role(pair.prompt, parameters["judge_share"])].append(pair)
    rows = [{"id": p.id, "prompt": p.prompt, "chosen": p.chosen, "rejected": p.rejected} for p in roles["policy"]]
    write_jsonl(out / "pairs.jsonl", rows[: parameters["pairs"]])
    corpus = ({"id": f"{r['id']}/{side}", "prompt": r["prompt"], "response": r[side]} for r in rows for side in ("chosen", "rejected"))
    write_jsonl(out / "corpus.jsonl", corpus)
    write_jsonl(out / "judge_pairs.jsonl", [vars(p) for p in roles["judge"]])
    tests = [{"id": p.id, "prompt": p.prompt, "reference": p.chosen} for p in roles["test"]]
    write_jsonl(out / "prompts.jsonl", tests[: parameters["test_prompts"]])
    counts = {role: len(members) for role, members in roles.items()}
    (out / "counts.json").write_text(json.dumps({**counts, "dropped": dropped}, indent=1))


def _role(prompt: str, judge_share: float) -> str:
    first_turn = prompt.split("\n\nAssistant:")[0]
    draw = int(hashlib.sha256(first_turn.encode()).hexdigest()[:8], 16) / 2**32
    if draw < TEST_SHARE:
        return "test"
    return "judge" if draw < TEST_SHARE + judge_share else "policy"

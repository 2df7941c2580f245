"""Real preference pairs, split by conversation so that no prompt is shared between roles.

The hash of a conversation's first turn decides its role: test prompts, the judge's training pairs, or the
policies' training pairs. The judge sees neither what the policies learn from nor the test prompts.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence

from harness.store.jsonl import write_jsonl
from trainers.data.records import DataError, Pair, read_mixture, read_pairs

TEST_SHARE = 0.1


def run(parameters, inputs, out, progress=None) -> None:
    pairs = _read(parameters, inputs)
    _refuse_messages(pairs)
    roles: dict[str, list[Pair]] = {"test": [], "judge": [], "policy": []}
    for pair in pairs:
        roles[_role(pair, parameters["judge_share"])].append(pair)
    write_jsonl(out / "corpus.jsonl", (row for pair in roles["policy"] for row in _documents(pair)))
    write_jsonl(out / "pairs.jsonl", map(_row, roles["policy"][: parameters["pairs"]]))
    write_jsonl(out / "judge_pairs.jsonl", map(_row, roles["judge"]))
    tests = roles["test"][: parameters["test_prompts"]]
    write_jsonl(out / "prompts.jsonl", ({"id": p.id, "prompt": p.prompt, "reference": p.chosen} for p in tests))
    counts = {role: len(members) for role, members in roles.items()}
    (out / "counts.json").write_text(json.dumps({**counts, "dropped": dict(pairs.dropped)}, indent=1))


def _read(parameters, inputs):
    if "mixture" in parameters:
        sources = [
            (inputs.get(f"file {number}", source.get("hub")), source["split"], source["form"])
            for number, source in enumerate(parameters["mixture"])
        ]
        return read_mixture(sources, on_invalid=parameters["on_invalid"])
    source = inputs.get("file", parameters.get("hub"))
    return read_pairs(source, split=parameters["split"], on_invalid=parameters["on_invalid"])


def _refuse_messages(pairs: Sequence[Pair]) -> None:
    """Policies made from scratch, judges and objectives read texts."""
    if pair := next((pair for pair in pairs if not isinstance(pair.prompt, str)), None):
        raise DataError(
            f"pair {pair.id}",
            "a conversation of messages, where texts are expected",
            "data: {source: pairs, mixture: [{path: ..., form: messages}]} reads it as a dialogue",
        )


def _row(pair: Pair) -> dict:
    return {"id": pair.id, "prompt": pair.prompt, "chosen": pair.chosen, "rejected": pair.rejected}


def _documents(pair: Pair):
    for side in ("chosen", "rejected"):
        yield {"id": f"{pair.id}/{side}", "prompt": pair.prompt, "response": getattr(pair, side)}


def _role(pair: Pair, judge_share: float) -> str:
    first_turn = pair.prompt.split("\n\nAssistant:")[0]
    draw = int(hashlib.sha256(first_turn.encode()).hexdigest()[:8], 16) / 2**32
    if draw < TEST_SHARE:
        return "test"
    return "judge" if draw < TEST_SHARE + judge_share else "policy"

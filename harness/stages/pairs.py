"""Stage ``pairs``: real preference pairs, split by conversation so that no prompt is shared between roles.

The hash of a conversation's first turn decides its role: test prompts, the judge's training pairs, or the
policies' training pairs. The judge sees neither what the policies learn from nor the test prompts.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.inputs.turns import in_turns
from harness.store.jsonl import write_jsonl
from trainers.data.records import DataError, Pair, Records, read_mixture, read_pairs
from trainers.tokens.dialogue import ASSISTANT_TURN, Text, content_of, plain_prompt, plain_response

if TYPE_CHECKING:
    from harness.stages.interface import Inputs, Parameters, Progress

TEST_SHARE = 0.1


def run(parameters: Parameters, inputs: Inputs, out: Path, progress: Progress = None) -> None:
    pairs = _read(parameters, inputs)
    if parameters.get("template") != "none":
        pairs = Records(in_turns(pairs), pairs.dropped)
    roles: dict[str, list[Pair]] = {"test": [], "judge": [], "policy": []}
    for pair in pairs:
        roles[_role(pair, parameters["judge_share"])].append(pair)
    _require_all(roles, pairs.dropped)
    write_jsonl(out / "corpus.jsonl", (row for pair in roles["policy"] for row in _documents(pair)))
    write_jsonl(out / "pairs.jsonl", map(_row, roles["policy"][: parameters["pairs"]]))
    write_jsonl(out / "judge_pairs.jsonl", map(_row, roles["judge"]))
    # Of equal prompts the first pair.
    distinct = list({json.dumps(_written(pair.prompt)): pair for pair in reversed(roles["test"])}.values())[::-1]
    tests = distinct[: parameters["test_prompts"]]
    prompts = ({"id": p.id, "prompt": _written(p.prompt), "reference": content_of(p.chosen)} for p in tests)
    write_jsonl(out / "prompts.jsonl", prompts)
    counts = {role: len(members) for role, members in roles.items()} | {"distinct test prompts": len(distinct)}
    summary = json.dumps({**counts, "dropped": dict(pairs.dropped)}, indent=1)
    (out / "counts.json").write_text(summary, encoding="utf-8")


def _read(parameters: Mapping[str, Any], inputs: Mapping[str, Path]) -> Records[Pair]:
    if "mixture" in parameters:
        sources = [
            (inputs.get(f"file {number}", source.get("hub")), source["split"], source["form"])
            for number, source in enumerate(parameters["mixture"])
        ]
        return read_mixture(sources, on_invalid=parameters["on_invalid"])
    source = inputs["file"] if "file" in inputs else parameters["hub"]
    return read_pairs(source, split=parameters["split"], on_invalid=parameters["on_invalid"])


def _require_all(roles: Mapping[str, list[Pair]], dropped: Mapping[str, int]) -> None:
    """Raise `DataError` with the counts if a role has no pairs: every later stage would compute on nothing."""
    if all(roles.values()):
        return
    names = {"test": "test prompts", "judge": "pairs for the judge", "policy": "pairs for the policies"}
    counts = ", ".join(f"{len(members)} {names[role]}" for role, members in roles.items())
    left_out = "".join(f"; {count} rows left out: {why}" for why, count in dropped.items())
    raise DataError("data", "too few conversations for every role", f"{counts}{left_out}")


def _row(pair: Pair) -> dict[str, object]:
    sides = {name: _written(getattr(pair, name)) for name in ("prompt", "chosen", "rejected")}
    return {"id": pair.id, **sides}


def _written(text: Text) -> Text:
    """A text, or the roles and contents of messages."""
    return text if isinstance(text, str) else [{"role": turn["role"], "content": turn["content"]} for turn in text]


def _documents(pair: Pair) -> Iterator[dict[str, object]]:
    for side in ("chosen", "rejected"):
        response = plain_response(getattr(pair, side))
        yield {"id": f"{pair.id}/{side}", "prompt": plain_prompt(pair.prompt), "response": response}


def _role(pair: Pair, judge_share: float) -> str:
    first_turn = plain_prompt(pair.prompt).split(ASSISTANT_TURN)[0]
    draw = int(hashlib.sha256(first_turn.encode()).hexdigest()[:8], 16) / 2**32
    if draw < TEST_SHARE:
        return "test"
    return "judge" if draw < TEST_SHARE + judge_share else "policy"

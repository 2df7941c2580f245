"""Stage ``pairs``: real preference pairs, split by conversation so that no prompt is shared between roles.

The hash of a conversation's first turn decides its role: test prompts, the judge's training pairs, or the
policies' training pairs. The judge sees neither what the policies learn from nor the test prompts.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.store.jsonl import write_jsonl
from trainers.data.records import DataError, Pair, Records, read_mixture, read_pairs

if TYPE_CHECKING:
    from harness.stages.interface import Inputs, Parameters, Progress

TEST_SHARE = 0.1
MESSAGES = "a conversation of messages, where texts are expected"


def run(parameters: Parameters, inputs: Inputs, out: Path, progress: Progress = None) -> None:
    pairs = _texts(_read(parameters, inputs), parameters["on_invalid"])
    roles: dict[str, list[Pair]] = {"test": [], "judge": [], "policy": []}
    for pair in pairs:
        roles[_role(pair, parameters["judge_share"])].append(pair)
    _require_all(roles, pairs.dropped)
    write_jsonl(out / "corpus.jsonl", (row for pair in roles["policy"] for row in _documents(pair)))
    write_jsonl(out / "pairs.jsonl", map(_row, roles["policy"][: parameters["pairs"]]))
    write_jsonl(out / "judge_pairs.jsonl", map(_row, roles["judge"]))
    distinct = list({pair.prompt: pair for pair in reversed(roles["test"])}.values())[::-1]  # the first pair of each
    tests = distinct[: parameters["test_prompts"]]
    write_jsonl(out / "prompts.jsonl", ({"id": p.id, "prompt": p.prompt, "reference": p.chosen} for p in tests))
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


def _texts(pairs: Records[Pair], on_invalid: str) -> Records[Pair]:
    """The pairs of texts: policies made from scratch, judges and objectives do not read messages.

    Raises
    ------
    DataError
        For the first pair of messages under ``on_invalid="error"``, or if there is no other pair.
    """
    texts = [pair for pair in pairs if isinstance(pair.prompt, str)]
    if len(texts) < len(pairs) and (on_invalid == "error" or not texts):
        first = next(pair for pair in pairs if not isinstance(pair.prompt, str))
        advice = "data: {source: pairs, mixture: [{path: ..., form: messages}]} reads it as a dialogue"
        raise DataError(f"pair {first.id}", MESSAGES, advice)
    return Records(texts, pairs.dropped + Counter({MESSAGES: len(pairs) - len(texts)}))


def _require_all(roles: Mapping[str, list[Pair]], dropped: Mapping[str, int]) -> None:
    """Raise `DataError` with the counts if a role has no pairs: every later stage would compute on nothing."""
    if all(roles.values()):
        return
    names = {"test": "test prompts", "judge": "pairs for the judge", "policy": "pairs for the policies"}
    counts = ", ".join(f"{len(members)} {names[role]}" for role, members in roles.items())
    left_out = "".join(f"; {count} rows left out: {why}" for why, count in dropped.items())
    raise DataError("data", "too few conversations for every role", f"{counts}{left_out}")


def _row(pair: Pair) -> dict[str, object]:
    return {"id": pair.id, "prompt": pair.prompt, "chosen": pair.chosen, "rejected": pair.rejected}


def _documents(pair: Pair) -> Iterator[dict[str, object]]:
    for side in ("chosen", "rejected"):
        yield {"id": f"{pair.id}/{side}", "prompt": pair.prompt, "response": getattr(pair, side)}


def _role(pair: Pair, judge_share: float) -> str:
    first_turn = str(pair.prompt).split("\n\nAssistant:")[0]
    draw = int(hashlib.sha256(first_turn.encode()).hexdigest()[:8], 16) / 2**32
    if draw < TEST_SHARE:
        return "test"
    return "judge" if draw < TEST_SHARE + judge_share else "policy"

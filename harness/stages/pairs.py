"""Stage ``pairs``: real preference pairs, split by conversation so that no prompt is shared between roles.

The hash of a conversation's first turn decides its role: test prompts, the judge's training pairs, or the
policies' training pairs. The judge sees neither what the policies learn from nor the test prompts.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.inputs.data.sets import data_set
from harness.inputs.roles import ROLES, lack, role
from harness.inputs.turns import in_turns
from harness.store.jsonl import write_jsonl
from trainers.data.records import DataError, Pair, Records, read_data, read_mixture
from trainers.tokens.dialogue import Text, as_messages, content_of, plain_prompt, plain_response

if TYPE_CHECKING:
    from harness.stages.interface import Inputs, Parameters, Progress


def run(parameters: Parameters, inputs: Inputs, out: Path, progress: Progress = None) -> None:
    pairs = _read(parameters, inputs)
    if parameters.get("template") != "none":
        pairs = Records(in_turns(pairs), pairs.dropped, pairs.forms)
    roles: dict[str, list[Pair]] = {name: [] for name in ROLES}
    for pair in pairs:
        roles[role(pair.prompt, parameters["judge_share"])].append(pair)
    if most := parameters.get("test_turns"):
        roles["test"] = [pair for pair in roles["test"] if turns_of_user(pair.prompt) <= most]
    if lacking := lack(Counter({name: len(members) for name, members in roles.items()}), pairs.dropped):
        raise DataError("data", "too few conversations for every role", lacking)
    write_jsonl(out / "corpus.jsonl", (row for pair in roles["policy"] for row in _documents(pair)))
    write_jsonl(out / "pairs.jsonl", map(_row, roles["policy"][: parameters["pairs"]]))
    write_jsonl(out / "judge_pairs.jsonl", map(_row, roles["judge"]))
    # Of equal prompts the first pair.
    distinct = list({json.dumps(_written(pair.prompt)): pair for pair in reversed(roles["test"])}.values())[::-1]
    tests = distinct[: parameters["test_prompts"]]
    prompts = ({"id": p.id, "prompt": _written(p.prompt), "reference": content_of(p.chosen)} for p in tests)
    write_jsonl(out / "prompts.jsonl", prompts)
    counts = {role: len(members) for role, members in roles.items()} | {"distinct test prompts": len(distinct)}
    forms = [str(form) for form in pairs.forms]
    summary = json.dumps({**counts, "dropped": dict(pairs.dropped), "forms": forms}, indent=1)
    (out / "counts.json").write_text(summary, encoding="utf-8")


def _read(parameters: Mapping[str, Any], inputs: Mapping[str, Path]) -> Records[Pair]:
    if "mixture" in parameters:
        parts = enumerate(parameters["mixture"])
        sources = [data_set(part, inputs.get(f"file {number}")) for number, part in parts]
        return read_mixture(sources, on_invalid=parameters["on_invalid"])
    return read_data(data_set(parameters, inputs.get("file")), on_invalid=parameters["on_invalid"])


def turns_of_user(prompt: Text) -> int:
    """Turns of the user in a prompt: of a text in HH's form or of messages; any other text is one."""
    return sum(message["role"] == "user" for message in as_messages(prompt))


def _row(pair: Pair) -> dict[str, object]:
    sides = {name: _written(getattr(pair, name)) for name in ("prompt", "chosen", "rejected")}
    return {"id": pair.id, **sides, **({"scores": pair.scores} if pair.scores else {})}


def _written(text: Text) -> Text:
    """A text, or the roles and contents of messages."""
    return text if isinstance(text, str) else [{"role": turn["role"], "content": turn["content"]} for turn in text]


def _documents(pair: Pair) -> Iterator[dict[str, object]]:
    for side in ("chosen", "rejected"):
        response = plain_response(getattr(pair, side))
        yield {"id": f"{pair.id}/{side}", "prompt": plain_prompt(pair.prompt), "response": response}

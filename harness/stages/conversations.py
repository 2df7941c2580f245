"""Stage ``conversations``: pairs and prompts as messages for a base with a chat template; copies for one without.

A transcript in HH's form becomes its turns, any other text one turn of the user, and a response the assistant's turn.
Pairs with an empty turn and those that the template refuses or changes are left out and counted, or are an error. Prompts are kept: one that the
template refuses gets an ``error`` row when it is asked.
"""

from __future__ import annotations

import json
import shutil
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.store.jsonl import read_jsonl, write_jsonl
from harness.store.names import CHECKPOINT
from trainers.data.records import DataError
from trainers.tokens.dialogue import as_messages, as_reply
from trainers.tokens.loading import load_tokenizer
from trainers.tokens.template import TemplateFault, rendered_exchange

if TYPE_CHECKING:
    from harness.stages.interface import Inputs, Parameters, Progress

PAIRS = ("pairs.jsonl", "judge_pairs.jsonl")
PROMPTS = "prompts.jsonl"


def run(parameters: Parameters, inputs: Inputs, out: Path, progress: Progress = None) -> None:
    data = inputs["data"]
    tokenizer = load_tokenizer(inputs["base"] / CHECKPOINT)
    if not tokenizer.chat_template:
        for file in (data / name for name in (*PAIRS, PROMPTS)):
            if file.exists():
                shutil.copyfile(file, out / file.name)
        _write_counts(out, Counter(), 0)
        return
    dropped: Counter[str] = Counter()
    trimmed = 0
    for name in PAIRS:
        if not (data / name).exists():
            continue
        usable = []
        for row in map(_in_messages, read_jsonl(data / name)):
            try:
                _require_contents(row)
                trimmed += _is_trimmed(tokenizer, row)
            except TemplateFault as fault:
                if parameters["on_invalid"] == "error":
                    raise DataError(f"pair {row['id']}", str(fault)) from None
                dropped[str(fault)] += 1
            else:
                usable.append(row)
        if not usable:
            reasons = ", ".join(f"{count} × {why}" for why, count in dropped.items())
            raise DataError(name, "the chat template takes no conversation of the data", reasons)
        write_jsonl(out / name, usable)
    prompts = read_jsonl(data / PROMPTS)
    write_jsonl(out / PROMPTS, ({**row, "prompt": as_messages(row["prompt"])} for row in prompts))
    _write_counts(out, dropped, trimmed)


def _in_messages(row: Mapping[str, Any]) -> dict[str, Any]:
    replies = {side: as_reply(row["prompt"], row[side]) for side in ("chosen", "rejected")}
    return {**row, "prompt": as_messages(row["prompt"]), **replies}


def _require_contents(row: Mapping[str, Any]) -> None:
    """Raise `TemplateFault` for a turn without content, as a transcript with two cues in a row has."""
    for side in ("prompt", "chosen", "rejected"):
        for number, turn in enumerate(row[side], start=1):
            if not turn["content"].strip():
                where = f"turn {number} ({turn['role']})" if side == "prompt" else f"the {side} response"
                raise TemplateFault(f"{where} is empty")


def _is_trimmed(tokenizer: Any, row: Mapping[str, Any]) -> bool:
    """Whether the template leaves out white space of a pair; raises `TemplateFault` where it does not take one."""
    exchanges = [rendered_exchange(tokenizer, row["prompt"], row[side]) for side in ("chosen", "rejected")]
    return any(exchange.trimmed for exchange in exchanges)


def _write_counts(out: Path, dropped: Counter[str], trimmed: int) -> None:
    counts = {"dropped": dict(dropped), "trimmed": trimmed}
    (out / "counts.json").write_text(json.dumps(counts, indent=1), encoding="utf-8")

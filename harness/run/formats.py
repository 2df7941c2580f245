"""Prompt format of every size: the base's chat template or plain text, with the first pair as the base sees it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any

from harness.plan.cells import Plan
from harness.plan.stage import File, Model, Stage
from harness.spec.data import PairData
from harness.spec.experiment import BASE
from harness.store.names import CHECKPOINT
from harness.store.store import Store

FIRST_ROWS = 1000
"""Rows of a data set among which a plan looks for its first pair."""


@dataclass(frozen=True)
class PromptFormat:
    """How a base sees prompts and responses.

    Parameters
    ----------
    template : str or None
        Hash of the chat template; None for the plain format.
    end : str
        The token that ends a response; empty where the tokenizer is yet to be made.
    prompt, response : str
        The first pair's, control tokens included; empty where no data is at hand.
    prompt_tokens, response_tokens : tuple of int
        Their token ids.
    trimmed : int
        Pairs in whose turns the chat template leaves out white space at the ends.
    """

    template: str | None = None
    end: str = ""
    prompt: str = ""
    response: str = ""
    prompt_tokens: tuple[int, ...] = ()
    response_tokens: tuple[int, ...] = ()
    trimmed: int = 0

    def __str__(self) -> str:
        if self.template is None:
            return "plain text: texts as they are, messages as a dialogue of Human and Assistant"
        trimmed = f"; it leaves out white space at the ends of turns in {self.trimmed} pairs" if self.trimmed else ""
        return f"the base's chat template (sha256 {self.template[:12]}); a response ends with {self.end}{trimmed}"


def described(made: PromptFormat) -> dict[str, Any]:
    """A format as the manifest has it."""
    return {"format": str(made), **asdict(made)}


def planned_formats(plan: Plan, store: Store) -> dict[str, PromptFormat | None]:
    """The format of every size, as far as this machine holds tokenizer and data; None for an unknown tokenizer."""
    if not isinstance(plan.experiment.data, PairData):
        return {}
    return {size: _planned(base, plan, store) for size, base in _bases(plan).items()}


def finished_formats(plan: Plan, store: Store) -> dict[str, PromptFormat]:
    """The format of every size whose base and data are in the store."""
    bases = _bases(plan)

    def held(size: str) -> bool:
        return store.has(bases[size].key) and store.has(_data(bases[size], plan).key)

    return {size: made for size, made in planned_formats(plan, store).items() if made is not None and held(size)}


def used_weights(plan: Plan, store: Store) -> dict[str, str]:
    """Which weights the base of every size has, as far as they were brought and are in the store."""
    weights = {}
    for size, base in _bases(plan).items():
        if base.kind in ("pretrained", "dequantised") and store.has(base.key):
            weights[size] = json.loads((store.path(base.key) / "result.json").read_text(encoding="utf-8"))["weights"]
    return weights


def _bases(plan: Plan) -> dict[str, Stage]:
    """The base of every size."""
    return {cell.size: cell.policy for cell in plan.cells if cell.policy is not None and cell.entry == BASE}


def _data(base: Stage, plan: Plan) -> Stage:
    """The stage with the pairs that a base is trained on."""
    pairs = next(stage for stage in plan.stages.values() if stage.kind == "pairs")
    conversations = (stage for stage in plan.stages.values() if stage.kind == "conversations")
    return next((s for s in conversations if s.inputs["base"] is base and s.inputs["data"] is pairs), pairs)


def _planned(base: Stage, plan: Plan, store: Store) -> PromptFormat | None:
    from trainers.tokens.loading import load_tokenizer

    data = _data(base, plan)
    held = store.has(base.key)
    source = store.path(base.key) / CHECKPOINT if held else _source(base)
    if source is None:
        chat = base.kind in ("pretrained", "dequantised") and base.parameters.get("template") != "none"
        return None if chat else PromptFormat()
    tokenizer = load_tokenizer(source)
    if base.parameters.get("template") == "none":
        tokenizer.chat_template = None
    if not store.has(data.key):
        return format_of(tokenizer, _first_pairs(data))
    counts = json.loads((store.path(data.key) / "counts.json").read_text(encoding="utf-8"))
    return replace(format_of(tokenizer, _stored(store.path(data.key))), trimmed=counts.get("trimmed", 0))


def _source(base: Stage) -> Path | str | None:
    """Where a base's tokenizer is on this machine."""
    from huggingface_hub import try_to_load_from_cache

    model = base.inputs.get("model")
    if isinstance(model, Model):
        return model.path
    name = base.parameters["model"] if base.kind == "pretrained" else None
    return name if name and isinstance(try_to_load_from_cache(name, "tokenizer_config.json"), str) else None


def _stored(folder: Path) -> Iterator[Mapping[str, Any]]:
    from harness.store.jsonl import read_jsonl

    yield from read_jsonl(folder / "pairs.jsonl")


def _first_pairs(data: Stage) -> Iterator[Mapping[str, Any]]:
    """Pairs among the first rows of the data's local files, in the form that they will be stored in."""
    from harness.inputs.data.sets import data_set
    from harness.inputs.turns import in_turns
    from trainers.data.forms import Draft, create, pairs_of
    from trainers.data.records import rows_of
    from trainers.data.rows import DataError

    pairs = data.inputs["data"] if data.kind == "conversations" else data
    assert isinstance(pairs, Stage)
    for number, how in enumerate(pairs.parameters.get("mixture", [pairs.parameters])):
        file = pairs.inputs.get(f"file {number}", pairs.inputs.get("file"))
        if not isinstance(file, File):
            continue
        try:
            rows = list(islice(rows_of(data_set(how, file.path)), FIRST_ROWS))
        except DataError:  # the stage tells what is wrong with the file
            continue
        outcomes = pairs_of(create(how["form"]), create("pairs"), rows)
        drafts = [draft for _, draft in outcomes if isinstance(draft, Draft)]
        written = drafts if pairs.parameters.get("template") == "none" else in_turns(drafts)
        yield from ({"prompt": draft.prompt, "chosen": draft.chosen} for draft in written)


def format_of(tokenizer: Any, pairs: Iterable[Mapping[str, Any]]) -> PromptFormat:
    """The format of a tokenizer, and the first pair that it can encode."""
    from trainers.data.encoding import Limits, encode
    from trainers.data.rows import DataError
    from trainers.tokens.dialogue import as_messages, as_reply
    from trainers.tokens.template import end_token

    template = tokenizer.chat_template
    digest = hashlib.sha256(str(template).encode()).hexdigest() if template else None
    end = tokenizer.convert_ids_to_tokens(end_token(tokenizer, [] if template else ""))
    for row in pairs:
        prompt, response = row["prompt"], row["chosen"]
        if template:
            prompt, response = as_messages(prompt), as_reply(prompt, response)
        try:
            encoded = encode([""], [prompt], [[response]], ("chosen",), tokenizer, Limits(2**31, on_boundary="split"))
        except DataError:
            continue
        segments = encoded.prompts[0], encoded.responses[0, 0]
        ids = [tuple(encoded.tokens[start : start + size].tolist()) for start, size in segments]
        texts = [tokenizer.decode(part, clean_up_tokenization_spaces=False) for part in ids]
        return PromptFormat(digest, end, *texts, *ids)
    return PromptFormat(digest, end)

"""Prompts that an experiment evaluates on among the prompts of its training data."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import lru_cache
from pathlib import Path

from harness.errors import UsageError
from harness.inputs.prompt_sets import KNOWN, file_rows, hub_rows, normal, read_prompts
from harness.plan.data.pair_files import PairFile
from harness.plan.stage import File
from harness.spec.data import PairData, PromptSet
from trainers.data.forms import Draft, create, pairs_of
from trainers.data.records import DataSet, rows_of
from trainers.data.rows import DataError
from trainers.tokens.dialogue import Text, as_messages

EVALUATION_SETS = frozenset(
    {part.repository for part in KNOWN.values()}
    | {"lmsys/mt_bench_human_judgments", "lmarena-ai/arena-hard-auto-v0.1", "allenai/reward-bench", "allenai/WildBench"}
)
"""Data sets on the hub that exist to evaluate on."""
ALLOW = "data.evaluation_prompts: train allows it, and the report says so"


def require_separate(data: PairData, files: Sequence[PairFile]) -> None:
    """Raise `UsageError` for training data that are evaluation prompts, unless the experiment allows it."""
    if data.evaluation_prompts == "train":
        return
    for part in data.parts:
        if part.path in EVALUATION_SETS:
            raise UsageError(f"data: {part.path} is a set to evaluate on and is refused as training data; {ALLOW}")
    for file in files:
        if (count := shared_prompts(data.prompts, file)) and data.prompts is not None:
            raise UsageError(
                f"{file.key}: {count} pairs of {file.file.path.name} answer prompts of {data.prompts.set}, which the "
                f"experiment evaluates on; leave them out, or {ALLOW}"
            )


def shared_prompts(prompts: PromptSet | None, file: PairFile) -> int:
    """How many pairs of a local file have a turn of the user that is a prompt of the evaluation set.

    A known set that is not on this machine is not looked into.
    """
    evaluated = _evaluated(prompts) if prompts is not None else frozenset()
    if not evaluated:
        return 0
    try:
        return sum(1 for turns in _asked(file.data, file.file.key) if evaluated & turns)
    except (DataError, OSError) as error:
        raise UsageError(f"{file.key}: {error}") from None


def _evaluated(prompts: PromptSet) -> frozenset[str]:
    path = Path(prompts.set)
    if path.is_file():
        return _texts_of_file(path, File(path).key)
    return _texts_of_known(prompts.set) if prompts.set in KNOWN else frozenset()


@lru_cache(maxsize=16)
def _texts_of_file(path: Path, key: str) -> frozenset[str]:
    return frozenset(normal(turn.text) for prompt in read_prompts(file_rows(path)) for turn in prompt.turns)


@lru_cache(maxsize=16)
def _texts_of_known(name: str) -> frozenset[str]:
    from huggingface_hub import try_to_load_from_cache

    source = KNOWN[name]
    if not isinstance(try_to_load_from_cache(source.repository, source.file, repo_type="dataset"), str):
        return frozenset()
    return frozenset(normal(turn.text) for prompt in read_prompts(hub_rows(source)) for turn in prompt.turns)


def _asked(data: DataSet, key: str) -> Sequence[frozenset[str]]:
    """The turns of the user of every pair, read once for every `key` of the file's bytes."""
    columns = tuple(data.columns.items())
    return _read_asked(str(data.source), key, str(data.form), columns)


@lru_cache(maxsize=4)
def _read_asked(path: str, key: str, form: str, columns: tuple[tuple[str, str], ...]) -> Sequence[frozenset[str]]:
    rows = rows_of(DataSet(path, columns=dict(columns)))
    outcomes = (outcome for _, outcome in pairs_of(create(form), create("pairs"), rows))
    return [frozenset(_user_turns(draft.prompt)) for draft in outcomes if isinstance(draft, Draft)]


def _user_turns(prompt: Text) -> Iterator[str]:
    return (normal(str(turn["content"])) for turn in as_messages(prompt) if turn["role"] in ("user", "prompter"))

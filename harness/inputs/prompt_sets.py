"""Published sets of prompts to evaluate on, from the hub or from files in their authors' own forms.

A row's form is told by its fields: AlpacaEval's outputs (``instruction, output``), Self-Instruct's
user-oriented tasks (``instruction, instances``), FastChat's questions (``question_id, turns``, of which the
first turn is used), the hub's MT-bench (``prompt_id``, a list of turns as ``prompt``) and plain ``prompt`` with
an optional ``reference``.
"""

from __future__ import annotations

import gzip
import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from harness.errors import UsageError

SUFFIXES = (".json", ".json.gz", ".jsonl", ".jsonl.gz", ".parquet")
CHAT = "chat"


@dataclass(frozen=True)
class Prompt:
    """One prompt to evaluate on; `reference` is what a response is compared with, where there is one."""

    id: str
    text: str
    reference: str | None = None


@dataclass(frozen=True)
class HubFile:
    """One file of a data set on the hub, which of its rows, and how many prompts these are."""

    repository: str
    file: str
    size: int
    part: str | None = None


ALPACA_EVAL = HubFile("tatsu-lab/alpaca_eval", "alpaca_eval_gpt4_baseline.json", 805)
"""805 instructions with the outputs of gpt4_1106_preview. Its parts are Self-Instruct's 252 user-oriented tasks,
Vicuna's 80 questions, and those of Open Assistant, Koala and Anthropic."""

KNOWN: dict[str, HubFile] = {
    "alpaca_eval": ALPACA_EVAL,
    "self_instruct": replace(ALPACA_EVAL, part="selfinstruct", size=252),
    "vicuna": replace(ALPACA_EVAL, part="vicuna", size=80),
    "mt_bench": HubFile("HuggingFaceH4/mt_bench_prompts", "raw/question.jsonl", 80),
}

INCOMPLETE = ("mt_bench",)
"""Known sets that have a reference for some of their prompts only."""


def read_prompts(rows: Iterable[tuple[str, object]], references: Mapping[str, str] | None = None) -> list[Prompt]:
    """Prompts of rows in any of the known forms.

    Parameters
    ----------
    rows : iterable of (str, object)
        Where a row is, and the row.
    references : mapping of str to str, optional
        Responses by prompt id or prompt text (see `read_references`); they take the place of the rows' own.

    Raises
    ------
    UsageError
        Naming the row: of an unknown form, without a prompt, or with the id of another.

    Examples
    --------
    >>> read_prompts([("q.jsonl:1", {"question_id": 7, "turns": ["Why?", "And then?"]})])
    [Prompt(id='7', text='Why?', reference=None)]
    """
    prompts: dict[str, Prompt] = {}
    for where, row in rows:
        prompt = _parse(where, row)
        if prompt.id in prompts:
            raise UsageError(f"{where}: the prompt {prompt.id!r} occurs twice")
        if references is not None:
            found = references.get(prompt.id, references.get(_normal(prompt.text)))
            prompt = replace(prompt, reference=found)
        prompts[prompt.id] = prompt
    if not prompts:
        raise UsageError("data.prompts: the set holds no prompt")
    return list(prompts.values())


def read_references(rows: Iterable[tuple[str, object]]) -> dict[str, str]:
    """A model's responses by prompt id and by prompt: AlpacaEval's outputs or FastChat's answers."""
    found = {}
    for where, row in rows:
        if isinstance(row, dict) and {"question_id", "choices"} <= set(row):
            found[str(row["question_id"])] = row["choices"][0]["turns"][0]
            continue
        prompt = _parse(where, row)
        if prompt.reference is None:
            raise UsageError(f"{where}: no response; rows of references have instruction and output, or choices")
        found[prompt.id] = found[_normal(prompt.text)] = prompt.reference
    return found


def without_reference(prompts: Iterable[Prompt]) -> str | None:
    """What to say of prompts that have nothing to be compared with; None where all have."""
    lacking = [prompt.id for prompt in prompts if prompt.reference is None]
    return f"{len(lacking)} prompts have no reference response (the first is {lacking[0]!r})" if lacking else None


def render(prompt: Prompt, template: str) -> dict:
    """A row of ``prompts.jsonl``: the prompt as the policy sees it, and the reference as it would follow.

    In `template`, ``{prompt}`` is the prompt and ``{response}``, at its end, the response; white space before the
    latter belongs to the response. ``chat`` makes a user's message of the prompt, for the policy's own template.

    Examples
    --------
    >>> render(Prompt("p", "Why?", "So."), "Human: {prompt} Assistant: {response}")
    {'id': 'p', 'prompt': 'Human: Why? Assistant:', 'reference': ' So.'}
    """
    if template == CHAT:
        return {"id": prompt.id, "prompt": [{"role": "user", "content": prompt.text}], "reference": prompt.reference}
    head = template.removesuffix("{response}")
    text = head if head == template else head.rstrip()
    reference = None if prompt.reference is None else head[len(text) :] + prompt.reference
    return {"id": prompt.id, "prompt": text.replace("{prompt}", prompt.text), "reference": reference}


def file_rows(path: Path) -> Iterator[tuple[str, object]]:
    """The rows of a JSON array, JSON lines or Parquet file, each with where it is."""
    if not path.name.endswith(SUFFIXES):
        raise UsageError(f"{path}: unknown kind of file; {', '.join(SUFFIXES)} are read")
    if path.suffix == ".parquet":
        import pyarrow.parquet

        rows = pyarrow.parquet.read_table(path).to_pylist()
    else:
        try:
            data = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
            text = data.decode("utf-8")
        except (UnicodeDecodeError, OSError, EOFError) as error:
            raise UsageError(f"{path}: not readable as UTF-8 text ({error})") from None
        lines = [text] if ".jsonl" not in path.suffixes else text.split("\n")
        rows = []
        for number, line in enumerate(lines, start=1):
            try:
                rows += [json.loads(line)] if line.strip() else []
            except json.JSONDecodeError as error:
                raise UsageError(f"{path}:{number + error.lineno - 1}: not JSON ({error.msg})") from None
        if ".jsonl" not in path.suffixes:
            rows = rows[0] if rows and isinstance(rows[0], list) else rows
    yield from ((f"{path}:{number}", row) for number, row in enumerate(rows, start=1))


def hub_rows(source: HubFile) -> Iterator[tuple[str, object]]:
    """The rows of a file on the hub.

    One file is fetched, and no data set built: AlpacaEval's is a script, which `datasets` no longer runs.
    """
    from huggingface_hub import hf_hub_download

    file = Path(hf_hub_download(source.repository, source.file, repo_type="dataset"))
    for where, row in file_rows(file):
        if source.part is None or (isinstance(row, dict) and row.get("dataset") == source.part):
            yield where, row


def _normal(text: str) -> str:
    """A prompt as the key of its reference: files differ in white space around an instruction."""
    return "\n".join(line.strip() for line in text.strip().splitlines() if line.strip())


def _key(row: Mapping, text: str) -> str:
    """The row's own id, or one from the prompt's content."""
    given = next((row[name] for name in ("id", "question_id", "prompt_id") if row.get(name) is not None), None)
    return str(given) if given is not None else hashlib.sha256(text.encode()).hexdigest()[:16]


def _instruction(row: Mapping) -> tuple[str, str | None]:
    """An instruction and its input as AlpacaEval joins them."""
    given = row["instances"][0] if row.get("instances") else row
    text = f"{row['instruction']}\n\n{given['input']}" if given.get("input") else row["instruction"]
    return text, given.get("output")


def _turns(row: Mapping) -> tuple[str, str | None]:
    turns = row["turns"] if "turns" in row else row["prompt"]
    reference = row.get("reference") or [None]
    return turns[0], reference[0] if isinstance(reference, list) else reference


def _plain(row: Mapping) -> tuple[str, str | None]:
    return (row["prompt"], row.get("reference")) if isinstance(row["prompt"], str) else _turns(row)


_FORMS: dict[str, Callable[[Mapping], tuple[str, str | None]]] = {
    "instruction": _instruction,
    "turns": _turns,
    "prompt": _plain,
}


def _parse(where: str, row: object) -> Prompt:
    if not isinstance(row, dict):
        raise UsageError(f"{where}: not a JSON object")
    form = next((form for form in _FORMS if form in row), None)
    if form is None:
        raise UsageError(f"{where}: no prompt; the row has {', '.join(row)}, known are {', '.join(_FORMS)}")
    try:
        text, reference = _FORMS[form](row)
    except (KeyError, IndexError, TypeError, AttributeError) as error:
        raise UsageError(f"{where}: {form!r} is not as expected ({type(error).__name__}: {error})") from None
    if not isinstance(text, str) or not text.strip():
        raise UsageError(f"{where}: the prompt is empty")
    return Prompt(_key(row, text), text, reference if reference and reference.strip() else None)

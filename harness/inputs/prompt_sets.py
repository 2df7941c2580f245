"""Published sets of prompts to evaluate on, from the hub or from files in their authors' own forms.

The form of a row follows from its fields: AlpacaEval's outputs (``instruction, output``), Self-Instruct's
user-oriented tasks (``instruction, instances``), FastChat's questions (``question_id, turns``), the hub's MT-bench
(``prompt_id``, a list of turns as ``prompt``) and plain ``prompt`` with an optional ``reference``.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from harness.errors import UsageError
from trainers.data.fields import Fields, Unusable, describe
from trainers.data.rows import DataError, json_array, json_lines, parquet_rows
from trainers.tokens.dialogue import is_transcript

Turns = list[tuple[str, str | None]]
"""The turns of a prompt's user, each with its reference."""

SUFFIXES = (".json", ".json.gz", ".jsonl", ".jsonl.gz", ".parquet")
CHAT = "chat"


@dataclass(frozen=True)
class Prompt:
    """One prompt to evaluate on; `reference` is what a response is compared with, where there is one.

    `later` are the turns of the user that follow the reply, each a prompt of its own.
    """

    id: str
    text: str
    reference: str | None = None
    later: tuple[Prompt, ...] = ()

    @property
    def turns(self) -> tuple[Prompt, ...]:
        """The prompt and its later turns."""
        return self, *self.later


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

SEVERAL_TURNS = ("mt_bench",)
"""Known sets whose prompts have several turns."""

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
    [Prompt(id='7', text='Why?', reference=None, later=(Prompt(id='7, turn 2', text='And then?', reference=None, later=()),))]
    """
    prompts: dict[str, Prompt] = {}
    for where, row in rows:
        prompt = _parse(where, row)
        if prompt.id in prompts:
            raise UsageError(f"{where}: the prompt {prompt.id!r} occurs twice")
        if references is not None:
            response = references.get(prompt.id, references.get(normal(prompt.text)))
            later = tuple(replace(turn, reference=references.get(turn.id)) for turn in prompt.later)
            prompt = replace(prompt, reference=response, later=later)
        prompts[prompt.id] = prompt
    if not prompts:
        raise UsageError("data.prompts: the set holds no prompt")
    return list(prompts.values())


def read_references(rows: Iterable[tuple[str, object]]) -> dict[str, str]:
    """A model's responses by prompt id and by prompt: AlpacaEval's outputs or FastChat's answers."""
    responses: dict[str, str] = {}
    for where, row in rows:
        if isinstance(row, Mapping) and {"question_id", "choices"} <= row.keys():
            responses |= _answers(where, Fields(row))
            continue
        prompt = _parse(where, row)
        if prompt.reference is None:
            raise UsageError(f"{where}: no response; rows of references have instruction and output, or choices")
        responses[prompt.id] = responses[normal(prompt.text)] = prompt.reference
    return responses


def _answers(where: str, row: Fields) -> dict[str, str]:
    """The turns of the first choice of FastChat's answers, by the ids of the prompts that they answer."""
    try:
        choices = row.list("choices")
        turns = Fields.of(choices[0]).list("turns") if choices else []
        if not turns:
            raise Unusable("'choices' holds no turn")
        name = row.identifier("question_id")
        return {_turn_id(name, number): Fields({"turns": turn}).text("turns") for number, turn in enumerate(turns, 1)}
    except Unusable as fault:
        raise UsageError(f"{where}: {fault.why}{': ' + fault.detail if fault.detail else ''}") from None


def without_reference(prompts: Iterable[Prompt]) -> str | None:
    """The message about prompts without a reference; None where every prompt has one."""
    lacking = [turn.id for prompt in prompts for turn in prompt.turns if turn.reference is None]
    return f"{len(lacking)} prompts have no reference response (the first is {lacking[0]!r})" if lacking else None


def rows_of(prompt: Prompt, template: str) -> list[dict[str, object]]:
    """The rows of ``prompts.jsonl`` for a prompt and its later turns, each ``after`` the turn before it.

    Turns of the user's own words are messages; without a chat template they are a dialogue.

    Examples
    --------
    >>> [row["prompt"] for row in rows_of(Prompt("p", "Why?", later=(Prompt("p, turn 2", "And then?"),)), "{prompt}")]
    [[{'role': 'user', 'content': 'Why?'}], [{'role': 'user', 'content': 'And then?'}]]
    """
    template = CHAT if prompt.later and template == "{prompt}" else template
    first, *later = (render(turn, template) for turn in prompt.turns)
    return [first, *({**row, "after": before.id} for row, before in zip(later, prompt.turns, strict=False))]


def takes_several_turns(template: str) -> bool:
    """Whether turns that are written by a template can follow each other: user's own words, messages or a dialogue."""
    text = str(render(Prompt("", "x"), template)["prompt"])
    return template in ("{prompt}", CHAT) or is_transcript(text)


def render(prompt: Prompt, template: str) -> dict[str, object]:
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
    """The rows of a JSON array, JSON lines or Parquet file, each with where it is.

    Raises
    ------
    UsageError
        Naming the file, for an unknown kind of file, a damaged file or a line that is not JSON in UTF-8.
    """
    if not path.name.endswith(SUFFIXES):
        raise UsageError(f"{path}: unknown kind of file; {', '.join(SUFFIXES)} are read")
    if path.suffix == ".parquet":
        read = parquet_rows
    else:
        read = json_lines if path.name.endswith((".jsonl", ".jsonl.gz")) else json_array
    try:
        for where, row in read(path):
            if isinstance(row, Unusable):
                raise DataError(where, row.why, row.detail)
            yield where, row
    except DataError as error:
        raise UsageError(str(error)) from None
    except OSError as error:
        raise UsageError(f"{path}: not readable ({error})") from None


def hub_rows(source: HubFile) -> Iterator[tuple[str, object]]:
    """The rows of a file on the hub.

    One file is fetched, and no data set built: AlpacaEval's is a script, which `datasets` no longer runs.
    """
    from huggingface_hub import hf_hub_download

    file = Path(hf_hub_download(source.repository, source.file, repo_type="dataset"))
    for where, row in file_rows(file):
        if source.part is None or (isinstance(row, dict) and row.get("dataset") == source.part):
            yield where, row


def normal(text: str) -> str:
    """A prompt as the key of its reference: files differ in white space around an instruction."""
    return "\n".join(line.strip() for line in text.strip().splitlines() if line.strip())


def _key(row: Fields, text: str) -> str:
    """The row's own id, or one from the prompt's content."""
    name = next((name for name in ("id", "question_id", "prompt_id") if name in row), None)
    return hashlib.sha256(text.encode()).hexdigest()[:16] if name is None else row.identifier(name)


def _turn_id(name: str, number: int) -> str:
    """The id of the prompt's n-th turn, from 1."""
    return name if number == 1 else f"{name}, turn {number}"


def _instruction(row: Fields) -> Turns:
    """An instruction and its input as AlpacaEval joins them."""
    text = row.text("instruction")
    instances = row.list("instances") if "instances" in row else []
    task = Fields.of(instances[0]) if instances else row
    more = task.text("input", empty=True) if "input" in task else ""
    return [(f"{text}\n\n{more}" if more else text, _optional(task, "output"))]


def _turns(row: Fields, name: str = "turns") -> Turns:
    """A list of turns with their references."""
    turns = row.list(name)
    if not turns:
        raise Unusable(f"{name!r} is not as expected", "an empty list")
    texts = [Fields({name: turn}).text(name) for turn in turns]
    return list(zip(texts, _references(row, len(texts)), strict=True))


def _plain(row: Fields) -> Turns:
    """A prompt, or a list of turns under its name."""
    value = row.values["prompt"]
    if not isinstance(value, str | list):
        raise Unusable("'prompt' is not as expected", describe(value))
    if isinstance(value, list):
        return _turns(row, "prompt")
    (reference,) = _references(row, 1)
    return [(row.text("prompt"), reference)]


def _references(row: Fields, count: int) -> list[str | None]:
    """The references of so many turns: the row's list of them, or its one text for the first turn."""
    if "reference" not in row:
        return [None] * count
    listed = isinstance(row.values["reference"], list)
    values = list(row.list("reference")) if listed else [row.values["reference"]]
    references = [_optional(Fields({"reference": value}), "reference") for value in values[:count]]
    return [*references, *[None] * (count - len(references))]


def _optional(row: Fields, name: str) -> str | None:
    """A text that may be missing or empty."""
    text = row.text(name, empty=True) if name in row else ""
    return text if text.strip() else None


FORMS: dict[str, Callable[[Fields], Turns]] = {
    "instruction": _instruction,
    "turns": _turns,
    "prompt": _plain,
}
"""How a row becomes turns with their references, by the field that it is recognised by."""


def _parse(where: str, row: object) -> Prompt:
    try:
        fields = Fields.of(row)
        form = next((form for form in FORMS if form in fields), None)
        if form is None:
            columns = ", ".join(map(str, fields.values))
            raise Unusable(f"no prompt; the row has {columns or 'no field'}, known are {', '.join(FORMS)}")
        turns = FORMS[form](fields)
        name = _key(fields, turns[0][0])
        first, *later = (Prompt(_turn_id(name, number), *turn) for number, turn in enumerate(turns, start=1))
        return replace(first, later=tuple(later))
    except Unusable as fault:
        raise UsageError(f"{where}: {fault.why}{': ' + fault.detail if fault.detail else ''}") from None

"""Results joined with the evaluation prompts by text: responses and item scores of one model, and how many there are."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypedDict, cast

from harness.inputs.prompt_sets import Prompt, normal, render
from harness.inputs.results.result import Result
from harness.records import Generation, ItemScore, Status
from suites.items import within_bounds
from trainers.tokens.dialogue import Text, readable

NOT_EVALUATED = "a row to a prompt that is not evaluated"


class ScoreColumn(TypedDict):
    """An objective whose scores a file holds, as JSON: the file's name of it and its bounds."""

    column: str
    bounds: list[float]
    """The low and the high end; None where there is none."""
    clip: bool
    """Whether a value outside the bounds is moved to them; otherwise it is an error of its item."""


class JoinError(ValueError):
    """Results that do not belong to the evaluation prompts, or contradict themselves."""


@dataclass
class Joined:
    """Responses and scores of one model, and the rows that were left out by reason."""

    generations: list[Generation] = field(default_factory=list)
    items: list[ItemScore] = field(default_factory=list)
    dropped: Counter[str] = field(default_factory=Counter)
    prompts: int = 0
    """Evaluation prompts for which there is a row."""


def join(
    results: Sequence[Result],
    prompts: Sequence[Mapping[str, Any]],
    objectives: Mapping[str, ScoreColumn],
    template: str = "{prompt}",
) -> Joined:
    """Join the results of one model with the rows of ``prompts.jsonl``.

    Every prompt has as many samples as the one with the most; those that the file lacks are ``skipped``. A result that
    names its item by an id alone is a score of that item, whether it is the id of a prompt or not.

    Parameters
    ----------
    results : sequence of Result
    prompts : sequence of mapping
    objectives : mapping of str to ScoreColumn
    template : str
        How the policies see a prompt (`harness.inputs.prompt_sets.render`).

    Raises
    ------
    JoinError
        In one line, if no row belongs to a prompt, or a sample of a prompt is there twice.
    """
    joined = Joined()
    samples = _samples(results, prompts, template, joined.dropped)
    ids = {str(row["id"]) for row in prompts}
    joined.prompts = len(ids & samples.keys())
    if any(result.response is not None for trials in samples.values() for result in trials.values()):
        joined.generations = _generations(samples, prompts)
    for name, column in objectives.items():
        joined.items += _items(name, column, samples, [*ids])
    return joined


def _samples(
    results: Sequence[Result], prompts: Sequence[Mapping[str, Any]], template: str, dropped: Counter[str]
) -> dict[str, dict[int, Result]]:
    """The results by prompt or item, and by the number of the sample."""
    by_text = {normal(readable(row["prompt"])): str(row["id"]) for row in prompts if row["prompt"]}
    by_name = {name: str(row["id"]) for row in prompts for name in (str(row["id"]), *row.get("names", ()))}
    samples: dict[str, dict[int, Result]] = defaultdict(dict)
    _require_one_prompt_per_id(results)
    with_text = 0
    for result in results:
        if result.prompt is None:
            assert result.id is not None
            key: str | None = by_name.get(result.id, result.id)
        else:
            with_text += 1
            key = _by_text(result.prompt, by_text, template)
        if key is None:
            dropped[NOT_EVALUATED] += 1
            continue
        trials = samples[key]
        number = len(trials) if result.trial is None else result.trial
        if (other := trials.get(number)) is not None or (result.prompt is None and result.trial is None and trials):
            first = other or next(iter(trials.values()))
            name = result.id or key
            raise JoinError(f"{result.where}: {name!r} is there twice (first at {first.where})")
        trials[number] = result
    if with_text and not samples:
        first_prompt = next(result.prompt for result in results if result.prompt is not None)
        raise JoinError(
            f"{results[0].where.rpartition(':')[0]}: none of its {with_text} rows is to one of the {len(prompts)} "
            f"evaluation prompts; its first prompt is {first_prompt[:60]!r}"
        )
    return samples


def _require_one_prompt_per_id(results: Iterable[Result]) -> None:
    """Raise `JoinError` for an id that two different prompts have."""
    first: dict[str, Result] = {}
    for result in results:
        if result.id is None or result.prompt is None:
            continue
        other = first.setdefault(result.id, result)
        assert other.prompt is not None
        if normal(other.prompt) != normal(result.prompt):
            raise JoinError(f"{result.where}: {result.id!r} is the id of another prompt at {other.where}")


def _by_text(prompt: str, by_text: Mapping[str, str], template: str) -> str | None:
    key = normal(prompt)
    if key in by_text:
        return by_text[key]
    rendered = cast(Text, render(Prompt("", prompt), template)["prompt"])
    return by_text.get(normal(readable(rendered)))


def _generations(samples: Mapping[str, Mapping[int, Result]], prompts: Iterable[Mapping[str, Any]]) -> list[Generation]:
    width = 1 + max(number for trials in samples.values() for number in trials)
    rows = []
    for prompt in prompts:
        key, text, reference = str(prompt["id"]), readable(prompt["prompt"]), prompt.get("reference") or ""
        for number in range(width):
            result = samples.get(key, {}).get(number)
            response = (result and result.response) or ""
            rows.append(
                Generation(f"{key}#{number}", key, text, response, 0, _status(result), number, reference=reference)
            )
    return rows


def _status(result: Result | None) -> Status:
    if result is None or (result.response is None and result.status is Status.OK):
        return Status.SKIPPED
    if result.status is Status.OK and not (result.response or "").strip():
        return Status.EMPTY
    return result.status


def _items(
    name: str, column: ScoreColumn, samples: Mapping[str, Mapping[int, Result]], ids: Sequence[str]
) -> list[ItemScore]:
    """The scores of one objective; none where the file has no such column."""
    scored = {
        key: {number: result for number, result in trials.items() if column["column"] in result.scores}
        for key, trials in samples.items()
    }
    scored = {key: trials for key, trials in scored.items() if trials}
    if not scored:
        return []
    items = []
    for key, trials in scored.items():
        for number, result in sorted(trials.items()):
            value, reason = within_bounds(result.scores[column["column"]], column["bounds"], column["clip"])
            status = result.status if result.status is not Status.EMPTY or value is not None else Status.ERROR
            if value is None and status in (Status.OK, Status.TRUNCATED):
                status = Status.ERROR
            detail = {**result.detail, **({"reason": reason} if reason and "reason" not in result.detail else {})}
            items.append(ItemScore(name, f"{key}#{number}", key, value, status, number, detail=detail))
    if any(key in scored for key in ids):
        lacking = [key for key in ids if key not in scored]
        items += [ItemScore(name, f"{key}#0", key, None, Status.SKIPPED) for key in lacking]
    return items

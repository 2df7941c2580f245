"""The verb ``data``: what a file, a data set of the hub or an experiment's data would be read as."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from rich.console import Console

from harness.errors import UsageError
from harness.inputs.data.survey import Survey, survey
from harness.inputs.data.terms import Terms, terms_of
from harness.inputs.results import read_results
from harness.inputs.roles import ROLES
from harness.inputs.turns import in_turns
from harness.plan.data.evaluation_prompts import EVALUATION_SETS, shared_prompts
from harness.plan.data.pair_files import PairFile, data_set
from harness.plan.shared_stages import pair_files
from harness.run.formats import PromptFormat, format_of
from harness.spec.data import PairData, PairSource, PromptSet
from harness.spec.experiment import Experiment
from harness.spec.loading import load, shipped
from harness.spec.yaml_files import parse_yaml
from harness.terminal import say
from trainers.data.forms.recognition import Recognised
from trainers.data.records import DataError, Pair, Records, read_data, rows_of
from trainers.data.rows import READERS, is_hub_id

PREFIX = "data."
"""Overrides of a file's data, as of an experiment's."""


@dataclass(frozen=True)
class Source:
    """One data set as it was read."""

    name: str
    form: Recognised
    terms: Terms
    rows: int
    pairs: int
    dropped: dict[str, int]
    evaluation_prompts: int
    """Pairs that answer a prompt which is evaluated on."""


@dataclass(frozen=True)
class Contents:
    """What would be read."""

    sources: list[Source]
    survey: Survey
    used: dict[str, int]
    """How many pairs and test prompts of each role an experiment uses."""
    first: Pair
    formats: dict[str, PromptFormat]
    """The first example as each base sees it."""


def show_data(argument: str, overrides: Sequence[str], tokenizer: str | None) -> dict[str, Any]:
    """Print what would be read, line by line, and return it as facts."""
    contents = _contents(argument, overrides, tokenizer)
    console = Console()
    for line in _lines(contents):
        say(console, line)
    return _facts(contents)


def is_data(argument: str) -> bool:
    """Whether an argument names a file or a data set of the hub, and no experiment.

    Examples
    --------
    >>> is_data("a/pairs.jsonl.gz"), is_data("mine.yaml"), is_data("hh"), is_data("Anthropic/hh-rlhf")
    (True, False, False, True)
    """
    if argument in shipped() or argument.endswith((".yaml", ".yml")) or Path(argument).is_dir():
        return False
    return argument.endswith((*READERS, ".gz")) or Path(argument).is_file() or is_hub_id(argument)


def _contents(argument: str, overrides: Sequence[str], tokenizer: str | None) -> Contents:
    if is_data(argument):
        data, bases = _data_of_file(argument, overrides), {}
    else:
        experiment = load(argument, overrides)
        if not isinstance(experiment.data, PairData):
            raise UsageError(
                f"{argument}: its data are {experiment.data.words}; there are no files of pairs to look into"
            )
        data, bases = experiment.data, _bases(experiment)
    if tokenizer is not None:
        bases = {tokenizer: tokenizer}
    tokenizers = {name: _tokenizer(base, data) for name, base in bases.items()}
    files = pair_files(data)
    read = [_read(part, files.get(number), data.prompts) for number, part in enumerate(data.parts)]
    sources = [source for _, source in read]
    pairs = [pair for made, _ in read for pair in made]
    if data.template != "none":
        pairs = list(in_turns(pairs))
    first = next(iter(tokenizers.values()), None)
    made = survey(pairs, data.judge_share, first)
    used = {
        "policy": min(made.roles["policy"], data.pairs),
        "judge": made.roles["judge"],
        "test": min(made.roles["test"], data.test_prompts),
    }
    rows = [{"prompt": pair.prompt, "chosen": pair.chosen} for pair in pairs[:100]]
    formats = {name: format_of(loaded, rows) for name, loaded in tokenizers.items()}
    return Contents(sources, made, used, pairs[0], formats)


def _data_of_file(argument: str, overrides: Sequence[str]) -> PairData:
    settings: dict[str, Any] = {"source": "pairs", "path": argument}
    for override in overrides:
        key, separator, value = override.partition("=")
        if not separator or not key.startswith(PREFIX):
            raise UsageError(
                f"--set {override}: of a file, keys of the data are set, as in --set 'data.columns={{prompt: q}}'"
            )
        settings[key.removeprefix(PREFIX)] = parse_yaml(value, f"--set {override}")
    try:
        return PairData.model_validate(settings)
    except ValidationError as error:
        fault = error.errors()[0]
        message = fault["msg"].removeprefix("Value error, ")
        raise UsageError(f"{PREFIX}{'.'.join(map(str, fault['loc']))}: {message}") from None


def _bases(experiment: Experiment) -> dict[str, str]:
    """The bases that an experiment names; one that is made has no tokenizer yet."""
    return {name: size.model for name, size in experiment.sizes.items() if size.model is not None}


def _tokenizer(base: str, data: PairData) -> Any:
    from trainers.tokens.loading import load_tokenizer

    try:
        tokenizer = load_tokenizer(base)
    except Exception as fault:  # the library's errors for a missing, damaged or gated tokenizer are many
        reason = (str(fault).strip() or type(fault).__name__).splitlines()[0]
        raise UsageError(f"{base}: its tokenizer cannot be loaded ({reason})") from None
    if data.template == "none":
        tokenizer.chat_template = None
    return tokenizer


def _read(part: PairSource, file: PairFile | None, prompts: PromptSet | None) -> tuple[Records[Pair], Source]:
    try:
        named = file.data if file is not None else data_set(part)
        pairs = read_data(named, on_invalid="drop")
        rows = sum(1 for _ in rows_of(named))
    except (DataError, UsageError) as error:
        raise UsageError(f"{error}{_other_use(part.path)}") from None
    form = file.form if file is not None else pairs.forms[0]
    terms = terms_of(part.path, part.licence, form.terms)
    shared = shared_prompts(prompts, file) if file is not None else len(pairs) * (part.path in EVALUATION_SETS)
    return pairs, Source(part.path, form, terms, rows, len(pairs), dict(pairs.dropped), shared)


def _other_use(path: str) -> str:
    """What a file without preferences can be used for: results of a model, where it has their form."""
    try:
        form, _ = read_results(Path(path))
    except UsageError:
        return ""
    return f". The file has the form of results, {form.title}: `prefrontier frontier {path} --out DIR` reads it"


def _lines(contents: Contents) -> Iterator[str]:
    made = contents.survey
    for source in contents.sources:
        yield f"{source.name}: {source.form}"
        yield f"  licence: {source.terms}"
        yield f"  {source.rows:,} rows, {source.pairs:,} pairs; left out: {_reasons(source.dropped)}"
        if source.evaluation_prompts:
            yield f"  {source.evaluation_prompts:,} pairs answer prompts that are evaluated on"
    roles = (f"{made.roles[name]:,} {words} ({contents.used[name]:,} used)" for name, words in ROLES.items())
    yield f"split by conversation: {', '.join(roles)}"
    yield f"{made.prompts:,} distinct prompts; {made.repeated:,} repeated pairs; {made.contradicted:,} pairs that another contradicts"
    yield f"leak: {made.leaked:,} test prompts end with a turn that training sees in another conversation"
    lengths = (f"{side} {size.median} / {size.p95} / {size.longest}" for side, size in made.lengths.items())
    of = "" if made.measured == made.pairs else f" of the first {made.measured:,} pairs"
    yield f"{made.unit}{of}, median / 95 % / longest: {', '.join(lengths)}"
    yield f"the chosen response is the longer one in {made.chosen_longer:.0%} of the pairs"
    for name, (chosen, rejected) in made.scores.items():
        yield f"score {name}: mean {chosen:.3g} of chosen, {rejected:.3g} of rejected responses"
    yield from _example(contents)


def _example(contents: Contents) -> Iterator[str]:
    """The first pair, and how every base sees it."""
    first = contents.first
    yield f"first prompt: {_shown(first.prompt)}"
    yield f"  chosen: {_shown(first.chosen)}"
    yield f"  rejected: {_shown(first.rejected)}"
    for name, seen in contents.formats.items():
        yield f"as {name} sees it: {seen}"
        yield f"  prompt {seen.prompt!r}, {len(seen.prompt_tokens)} tokens"
        yield f"  chosen response {seen.response!r}, {len(seen.response_tokens)} tokens"


LONGEST = 600
"""Characters of an example that are shown, at most."""


def _shown(text: Any) -> str:
    shown = repr(text) if isinstance(text, str) else json.dumps(text, ensure_ascii=False)
    return shown if len(shown) <= LONGEST else f"{shown[:LONGEST]}… ({len(shown):,} characters)"


def _reasons(dropped: dict[str, int]) -> str:
    return ", ".join(f"{count:,} × {why}" for why, count in Counter(dropped).most_common()) or "none"


def _facts(contents: Contents) -> dict[str, Any]:
    return {
        "sources": [
            {**asdict(source), "non_commercial": source.terms.non_commercial, "read_as": str(source.form)}
            for source in contents.sources
        ],
        **asdict(contents.survey),
        "used": contents.used,
        "first": {side: getattr(contents.first, side) for side in ("prompt", "chosen", "rejected")},
        "formats": {name: {"format": str(seen), **asdict(seen)} for name, seen in contents.formats.items()},
    }

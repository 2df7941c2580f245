"""The verb ``init``: a short commented experiment file for one's own model, data and objectives."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from harness.cli.data import is_data
from harness.cli.declared import declared_objective, reference_point
from harness.errors import UsageError, nearest
from harness.plan.cells import Plan, make_plan
from harness.plan.shared_stages import pair_files
from harness.spec.data import PairData
from harness.spec.loading import load
from suites.registry import designer_rewards

MOST_TOKENS = 512
"""Tokens of prompt and response that training sees, where the base has room for them."""
SHIPPED = "readability"
"""The objective of one who names none."""
MADE = {"architecture": "llama", "layers": 4, "hidden": 128, "heads": 4, "intermediate": 384, "context": 512}
"""A base that is made here, where no model is named."""

TEMPLATE = """\
# Written by `prefrontier init`.
#   prefrontier data {file}    what would be read
#   prefrontier plan {file}    what a run would do, and what it would cost
#   prefrontier run {file}     train, measure, report
schema: 1
name: {name}
title: DPO and UPO on {{data}}    # {{data}} is filled in
seeds: [0]                      # more seeds give narrower intervals, as in [0, 1, 2]

data:                           # {form}
  source: pairs
  path: {path}
  pairs: 1000                   # the policies learn from so many, at most
  judge_share: 0.3              # of the conversations, for the judge alone
  test_prompts: 64              # of the conversations that nobody is trained on

sizes:
  {size}
{base}
training: {training}

{objectives}rewards: {rewards}    # weights of the designer's objectives, which add up to 1
{toxicity}
judge:                          # whose preference is the win rate; here a reward model on the judge's share
  kind: reward_model
  training: {judge}

suites: {suites}
decoding: {{max_new_tokens: {new_tokens}, samples: 1}}
reference_point: {point}    # the bad end of each axis of the frontier

methods:                        # a sweep gives one policy for each value; `prefrontier ls` names all methods
  dpo: {{sweep: {{beta: [0.05, 0.2]}}}}
  upo: {{sweep: {{gamma: [0.5, 2.0]}}}}
"""


def write_init(model: str | None, data: str, objectives: Sequence[str], out: Path) -> Plan:
    """Write the experiment file and return its plan.

    Parameters
    ----------
    model : str, optional
        A folder or a model of the hub; a small base is made if not given.
    data : str
        A file of preference data, or a data set of the hub.
    objectives : sequence of str
        Names of shipped designer rewards, or ``NAME={...}`` in YAML.
    out : Path

    Raises
    ------
    UsageError
        For a file that exists already, and for whatever a plan refuses; nothing is written then.
    """
    if out.suffix not in (".yaml", ".yml"):
        raise UsageError(f"--out {out}: an experiment is a .yaml file")
    if out.exists():
        raise UsageError(f"--out {out}: exists already; name another file")
    if not is_data(data):
        raise UsageError(f"--data {data}: no such file (a data set of the hub is written OWNER/NAME)")
    text = _text(model, data, objectives or [SHIPPED], out)
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(text, encoding="utf-8")
    try:
        return make_plan(load(str(out)), str(out))
    except UsageError:
        out.unlink()
        raise


def _text(model: str | None, data: str, objectives: Sequence[str], out: Path) -> str:
    own = dict(map(declared_objective, (text for text in objectives if "=" in text)))
    shipped = [name for name in objectives if "=" not in name]
    for name in shipped:
        if name not in designer_rewards():
            raise UsageError(
                f"--objective {name}: no shipped objective{nearest(name, designer_rewards())} (one of your own is written "
                "NAME={regex: ..., direction: minimize, bounds: [0, 10]})"
            )
    tokens = _context(model)
    short = {"max_tokens": tokens, "max_prompt_tokens": tokens * 3 // 4}
    measured = {name: designer_rewards()[name][0].worst for name in shipped}
    scorers = [settings for settings in own.values() if "column" not in settings]
    axes = {name: settings for name, settings in own.items() if settings in scorers}
    return TEMPLATE.format(
        file=out,
        name=re.sub(r"[^a-z0-9_-]+", "-", out.stem.lower()).strip("-_") or "mine",
        form=_form(data),
        path=_inline(data),
        size=f"base: {{model: {_inline(model)}}}"
        if model
        else f"small: {_inline(MADE)}    # or {{model: FOLDER or OWNER/NAME}}",
        base="" if model else _made_base(short),
        training=_inline({"learning_rate": 1e-5 if model else 5e-5, "batch_size": 16, "epochs": 1, **short}),
        objectives=f"objectives:\n{_lines(own)}\n" if own else "",
        rewards=_inline(_weights([*shipped, *own])),
        toxicity="toxicity: {model: unbiased}    # Detoxify's; or {labelled: FILE.csv} to train one\n"
        if "toxicity" in shipped
        else "",
        judge=_inline({"learning_rate": 1e-5 if model else 3e-4, "batch_size": 16, "epochs": 1, **short}),
        suites=_inline(["win_rate", *(["toxicity"] if "toxicity" in shipped else []), "style"]),
        new_tokens=min(128, tokens // 4),
        point=_inline({"win_rate": 0.0, **measured, **reference_point(axes)}),
    )


def _made_base(short: Mapping[str, int]) -> str:
    training = {"learning_rate": 2e-3, "batch_size": 32, "epochs": 1, "schedule": "cosine", **short}
    return f"base:                           # how it is pretrained, on the texts of the pairs\n  vocabulary: 2048\n  training: {_inline(training)}\n"


def _context(model: str | None) -> int:
    """Tokens that training sees: as many as the base has room for, within reason."""
    config = Path(model) / "config.json" if model else None
    if config is None or not config.is_file():
        return MOST_TOKENS
    room = json.loads(config.read_text(encoding="utf-8")).get("max_position_embeddings")
    return min(MOST_TOKENS, room) if isinstance(room, int) else MOST_TOKENS


def _form(data: str) -> str:
    """The form of a file as a comment."""
    files = pair_files(PairData(source="pairs", path=data))
    return files[0].form.title if files else "its form is recognised when it is read"


def _weights(names: Sequence[str]) -> dict[str, float]:
    """Equal weights that add up to 1.

    Examples
    --------
    >>> _weights(["a", "b", "c"])
    {'a': 0.3333, 'b': 0.3333, 'c': 0.3334}
    """
    equal = round(1 / len(names), 4)
    return dict.fromkeys(names[:-1], equal) | {names[-1]: round(1 - equal * (len(names) - 1), 4)}


def _lines(own: Mapping[str, Any]) -> str:
    return "".join(f"  {name}: {_inline(settings)}\n" for name, settings in own.items())


def _inline(value: Any) -> str:
    """A value as YAML on one line."""
    text: str = yaml.safe_dump(value, default_flow_style=True, sort_keys=False, allow_unicode=True, width=10**9)
    return text.removesuffix("...\n").strip()

"""The page about all methods, made from their docstrings, fields and needs."""

from __future__ import annotations

import inspect
import re
from collections.abc import Mapping
from typing import Any, ClassVar, Protocol

from trainers.data_steps import STEPS, steps
from trainers.edit.rounds import OUTER
from trainers.methods.interface import Needs
from trainers.methods.registry import METHODS, Method, create, methods
from trainers.registry import BrokenFile, Registry, fact

HEADER = """\
# Methods

<!-- Written by `python -m trainers.methods docs/methods.md`; edit the docstrings instead. -->

Every method is one file of `trainers/methods/`: a frozen dataclass of hyperparameters and a pure loss on log-probs.
The loss of a batch is the mean over its examples. A new file registers itself, and the tests of what every method
promises (finite at extremes, a correct gradient, SUM or MEAN as stated, whole-batch coupling as declared, a clear
error for what is missing) run over it without an edit elsewhere.

**Notation.** ℓ = Σ log π(y_t | x, y_<t) over response tokens, EOS included (SUM); ℓ̄ = ℓ/n over n tokens (MEAN);
ρ = ℓ − ℓ_ref; Δ = ρ_w − ρ_l of the chosen response w and the rejected response l; R the designer reward; V(x) the
value head; σ the logistic function; sg[·] a stop-gradient.

**Cost** is the cost of a training step relative to DPO's, from the number of forward and backward passes.
"""

LEFT_OUT = """\
## Not here, and why

- **Safe-RLHF**: on-policy with a second model for the cost and a multiplier; GRPO and RLOO are the references here.
- **REINFORCE++-baseline**, **dynamic sampling** and **overlong penalties**: see `reinforce_pp` and `dapo`.
- **MetaAlign**: templates and conditional data; the papers' data is not here.
- **Linear Alignment, MOD, proxy tuning, controlled decoding, best-of-n, prompts**: they train nothing; see [steer.md](steer.md).
- **DRPO**: prompt search, without training.
- **LoRe, latent embedding adaptation, NP-BTL, NP-DPO, VPL**: fitted to single users from few pairs; see [steer.md](steer.md).
"""

STEPS_HEADING = """\
# Data steps

What some papers do to the data before a loss of this page. An experiment's entry names a step under `data`
([recipes.md](recipes.md)). Each is one file of `trainers/data_steps/`, a frozen dataclass of hyperparameters and a pure
function, and registers itself. r is the users' reward in nats (the oracle world's own, or the judge's reward model),
R the designer reward.
"""

OUTER_LOOPS = """\
# Outer loops

What goes around whole training runs: the entry's keys `rounds` and `soup` ([recipes.md](recipes.md)).
"""

WORDS = {
    "pairs": "pairs",
    "rewards": "rewards",
    "values": "value head",
    "mismatched": "mismatched responses",
    "embeddings": "prompt embeddings",
    "base_responses": "a third response",
    "token_level": "log-probs per token",
    "on_policy": "own samples and their reward",
    "objective_rewards": "rewards by objective",
    "collision": "collision probabilities",
    "reference_update": "moving reference",
    "groups": "or groups of any number of responses",
    "couples_examples": "whole batch",
}


def catalogue() -> str:
    """The page as Markdown.

    Examples
    --------
    >>> "| [`dpo`](#dpo) | Direct Preference Optimization | [2305.18290]" in catalogue()
    True
    """
    rows = ["| name | method | paper | log-probs | needs | sweep | cost |", "|---|---|---|---|---|---|---|"]
    rows += [_row(name, cls) for name, cls in methods().items()]
    sections = [_section(name, cls) for name, cls in methods().items()]
    around = [STEPS_HEADING, *_around(steps()), OUTER_LOOPS, *_around(OUTER)]
    return "\n".join([HEADER, *_broken(), *rows, "", *sections, *around, LEFT_OUT])


def broken_files() -> list[tuple[str, BrokenFile]]:
    """Files of methods and data steps that could not be imported, each with its package."""
    packages: dict[str, Registry[Any]] = {"trainers/methods": METHODS, "trainers/data_steps": STEPS}
    return [(package, file) for package, registry in packages.items() for file in registry.broken]


def _broken() -> list[str]:
    """A list of the files that could not be imported; nothing where there are none."""
    files = [f"- `{package}/{file.module}.py`: {file.reason}" for package, file in broken_files()]
    return ["**Broken: these files could not be imported.**", "", *files, ""] if files else []


class Entry(Protocol):
    """A class that the page describes."""

    sweep: ClassVar[str | None]


def _around(entries: Mapping[str, type[Entry]]) -> list[str]:
    """Table and sections of what goes around a loss."""
    rows = ["| name | what | paper | sweep | cost |", "|---|---|---|---|---|"]
    for name, cls in entries.items():
        sweep = f"`{cls.sweep}`" if cls.sweep else "–"
        cells = [f"[`{name}`](#{name})", title(cls), _paper(fact(cls, "Source")), sweep, fact(cls, "Cost").rstrip(".")]
        rows.append(f"| {' | '.join(cells)} |")
    return [*rows, "", *(_section(name, cls) for name, cls in entries.items())]


def title(cls: type) -> str:
    """The first line of a docstring."""
    return _docstring(cls).splitlines()[0].removesuffix(".")


def _docstring(cls: type) -> str:
    return inspect.getdoc(cls) or ""


def describe(needs: Needs) -> str:
    """What a method needs, in words."""
    references = {0: [], 1: ["reference"]}.get(needs.references, [f"{needs.references} references"])
    words = references + [words for name, words in WORDS.items() if getattr(needs, name)]
    if needs.task is not None:
        words.append(f"{needs.task.name} head")
    return ", ".join(words) or "responses alone"


def _row(name: str, cls: type[Method]) -> str:
    method = create(name)
    cells = [
        f"[`{name}`](#{name})", title(cls), _paper(fact(cls, "Source")), method.log_probs, describe(method.needs),
        f"`{cls.sweep}`" if cls.sweep else "–", fact(cls, "Cost").removesuffix("."),
    ]  # fmt: skip
    return f"| {' | '.join(cells)} |"


def _paper(source: str) -> str:
    identifier = re.search(r"arXiv (\d{4}\.\d{5})", source)
    return f"[{identifier[1]}](https://arxiv.org/abs/{identifier[1]})" if identifier else "–"


def _section(name: str, cls: type) -> str:
    body, _, parameters = _docstring(cls).partition("\nParameters\n----------\n")
    notes = [" ".join(paragraph.split()) for paragraph in body.split("\n\n")[2:] if paragraph.strip()]
    return "\n\n".join(
        [
            f"## {name}",
            f"**{title(cls)}.** {fact(cls, 'Formula')}",
            *notes,
            f"Source: {fact(cls, 'Source')} From memory: {fact(cls, 'From memory')}",
            *filter(None, ["\n".join(_parameters(cls, parameters))]),
            "",
        ]
    )


def _parameters(cls: type, text: str) -> list[str]:
    defaults = vars(cls())
    entries = re.findall(r"^(\w[\w, ]*) : (.*)\n((?:    .*(?:\n|$))+)", text.partition("\nExamples\n")[0], re.MULTILINE)
    return [
        f"- {', '.join(f'`{n} = {defaults[n]!r}`' for n in names.split(', '))} ({kind}): {' '.join(meaning.split())}"
        for names, kind, meaning in entries
    ]

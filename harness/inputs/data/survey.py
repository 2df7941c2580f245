"""Figures about the pairs of a data set: roles, lengths, duplicates, contradictions and leaks between the roles."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from harness.inputs.prompt_sets import normal
from harness.inputs.roles import ROLES, role
from trainers.data.records import DataError, Pair
from trainers.tokens.dialogue import Text, content_of, plain_prompt

MEASURED = 2000
"""Pairs whose lengths are measured, at most."""


@dataclass(frozen=True)
class Lengths:
    """Quantiles of the lengths of some texts.

    Examples
    --------
    >>> Lengths.of([1, 2, 3, 4, 100])
    Lengths(median=3, p95=81, longest=100)
    """

    median: int
    p95: int
    longest: int

    @classmethod
    def of(cls, lengths: Sequence[int]) -> Lengths:
        return cls(round(np.median(lengths)), round(np.quantile(lengths, 0.95)), max(lengths))


@dataclass(frozen=True)
class Survey:
    """Figures about pairs.

    Parameters
    ----------
    pairs : int
    roles : mapping of str to int
        Pairs by role (`harness.inputs.roles`); a conversation has one role.
    prompts : int
        Distinct prompts.
    repeated : int
        Pairs that another pair equals in prompt and responses.
    contradicted : int
        Pairs that another pair has the other way round.
    leaked : int
        Test prompts whose last turn is also that of a pair for training, in another conversation.
    unit : str
        What lengths are counted in: tokens or words.
    measured : int
        Pairs whose lengths were measured.
    lengths : mapping of str to Lengths
        Of the prompt, the chosen and the rejected response.
    chosen_longer : float
        Share of pairs whose chosen response is the longer one; equal lengths count half.
    scores : mapping of str to (float, float)
        Means of the data set's scores over chosen and rejected responses.
    """

    pairs: int
    roles: Mapping[str, int]
    prompts: int
    repeated: int
    contradicted: int
    leaked: int
    unit: str
    measured: int
    lengths: Mapping[str, Lengths]
    chosen_longer: float
    scores: Mapping[str, tuple[float, float]]


def survey(pairs: Sequence[Pair], judge_share: float, tokenizer: Any = None) -> Survey:
    """Figures about pairs; lengths in the tokens of a tokenizer, or in words without one.

    Examples
    --------
    >>> pair = Pair("a", "Why is it so?", " It is.", " No.")
    >>> made = survey([pair, Pair("b", "Why is it so?", " No.", " It is.")], 0.3)
    >>> made.prompts, made.repeated, made.contradicted, made.lengths["chosen"].longest, made.chosen_longer
    (1, 0, 2, 2, 0.5)
    """
    keys = [(_text(pair.prompt), content_of(pair.chosen), content_of(pair.rejected)) for pair in pairs]
    times = Counter(keys)
    roles = [role(pair.prompt, judge_share) for pair in pairs]
    unit, sizes = _sizes(pairs[:MEASURED], tokenizer)
    chosen, rejected = sizes["chosen"], sizes["rejected"]
    longer = [0.5 if a == b else float(a > b) for a, b in zip(chosen, rejected, strict=True)]
    return Survey(
        pairs=len(pairs),
        roles={name: roles.count(name) for name in ROLES},
        prompts=len({key[0] for key in keys}),
        repeated=sum(count - 1 for count in times.values()),
        contradicted=sum((prompt, worse, better) in times for prompt, better, worse in keys),
        leaked=_leaked(pairs, roles),
        unit=unit,
        measured=len(chosen),
        lengths={side: Lengths.of(values) for side, values in sizes.items() if values},
        chosen_longer=float(np.mean(longer)) if longer else 0.5,
        scores=_mean_scores(pairs),
    )


def _text(prompt: Text) -> str:
    return normal(plain_prompt(prompt))


def _last_turn(prompt: Text) -> str:
    """The last turn of a prompt's user."""
    if isinstance(prompt, str):
        return normal(prompt.rpartition("\n\nHuman:")[2].removesuffix("\n\nAssistant:"))
    return normal(str(prompt[-1]["content"]))


def _leaked(pairs: Sequence[Pair], roles: Sequence[str]) -> int:
    """Test prompts whose last turn training sees too: whole conversations never have two roles, parts of them may."""
    trained = {_last_turn(pair.prompt) for pair, name in zip(pairs, roles, strict=True) if name != "test"}
    tested = {
        _text(pair.prompt): _last_turn(pair.prompt) for pair, name in zip(pairs, roles, strict=True) if name == "test"
    }
    return sum(turn in trained for turn in tested.values())


def _sizes(pairs: Sequence[Pair], tokenizer: Any) -> tuple[str, dict[str, list[int]]]:
    """Lengths of prompts and responses, and what they are counted in; pairs that a tokenizer refuses are passed over."""
    if tokenizer is None:
        return "words", {
            "prompt": [len(plain_prompt(pair.prompt).split()) for pair in pairs],
            "chosen": [len(content_of(pair.chosen).split()) for pair in pairs],
            "rejected": [len(content_of(pair.rejected).split()) for pair in pairs],
        }
    sizes: dict[str, list[int]] = {"prompt": [], "chosen": [], "rejected": []}
    for encoded in _encoded(pairs, tokenizer):
        for position in range(len(encoded.prompts)):
            sizes["prompt"].append(int(encoded.prompts[position][1]))
            for k, side in enumerate(("chosen", "rejected")):
                sizes[side].append(int(encoded.responses[position, k][1]))
    return "tokens", sizes


def _encoded(pairs: Sequence[Pair], tokenizer: Any) -> Iterable[Any]:
    from trainers.data.encoding import Limits, encode_pairs

    limits = Limits(2**31, on_boundary="split")
    try:
        yield encode_pairs(pairs, tokenizer, limits)
    except DataError:
        for pair in pairs:
            try:
                yield encode_pairs([pair], tokenizer, limits)
            except DataError:
                continue


def _mean_scores(pairs: Sequence[Pair]) -> dict[str, tuple[float, float]]:
    names = dict.fromkeys(name for pair in pairs for name in pair.scores or ())
    means = {}
    for name in names:
        both = [pair.scores[name] for pair in pairs if pair.scores and name in pair.scores]
        chosen, rejected = np.mean(both, axis=0)
        means[name] = float(chosen), float(rejected)
    return means

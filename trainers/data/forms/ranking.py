"""Pairs from several responses to one prompt, by their scores or labels."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from trainers.data.fields import LeftOut
from trainers.data.forms.form import Draft, Outcome
from trainers.tokens.dialogue import Text

NEIGHBOURS = "each response is paired with the next better one, and pairs further apart follow from these"
"""What `neighbours` makes of a ranking, for the note of a form."""


@dataclass(frozen=True)
class Scored:
    """A response with what its data set says of it.

    Parameters
    ----------
    prompt, response : str or list of messages
    value : float
        What the responses to one prompt are ordered by; the larger is better.
    digest : str
        A hash of the row.
    scores : mapping of str to float
        Everything that is said of the response, by the names of the columns.
    """

    prompt: Text
    response: Text
    value: float
    digest: str = ""
    scores: Mapping[str, float] = field(default_factory=dict)


def by_prompt(items: Iterable[tuple[str, Scored]]) -> list[list[tuple[str, Scored]]]:
    """The responses to every prompt, in the order in which they come."""
    groups: dict[str, list[tuple[str, Scored]]] = defaultdict(list)
    for where, item in items:
        groups[repr(item.prompt)].append((where, item))
    return list(groups.values())


def neighbours(responses: Sequence[tuple[str, Scored]]) -> Iterator[Outcome]:
    """The responses to one prompt in the order of their values: each against the one with the next larger value.

    K responses with different values give K − 1 pairs, from which every other pair follows. Responses of equal value are
    one place: its first response stands for it, and the others are left out.

    Examples
    --------
    >>> made = neighbours([("f:1", Scored("Why?", text, value)) for text, value in (("a", 1), ("b", 3), ("c", 2))])
    >>> [(draft.chosen, draft.rejected) for _, draft in made if isinstance(draft, Draft)]
    [('b', 'c'), ('c', 'a')]
    """
    if len(responses) == 1:
        yield responses[0][0], LeftOut("the only response to its prompt")
        return
    places: dict[float, tuple[str, Scored]] = {}
    for where, response in sorted(responses, key=lambda one: -one[1].value):
        if response.value in places:
            yield where, LeftOut("a score equal to another response's")
        else:
            places[response.value] = (where, response)
    ordered = list(places.values())
    for (_, better), (where, worse) in zip(ordered, ordered[1:], strict=False):
        yield where, pair_of(better, worse)


def contrasts(responses: Sequence[tuple[str, Scored]]) -> Iterator[Outcome]:
    """The responses to one prompt, labelled 1 or 0: the n-th good one against the n-th bad one."""
    good = [one for one in responses if one[1].value > 0]
    bad = [one for one in responses if one[1].value <= 0]
    for (_, better), (where, worse) in zip(good, bad, strict=False):
        yield where, pair_of(better, worse)
    for where, _ in (good if len(good) > len(bad) else bad)[min(len(good), len(bad)) :]:
        yield where, LeftOut("no response of the other label to its prompt")


def pair_of(better: Scored, worse: Scored) -> Draft | LeftOut:
    """Two responses to one prompt as a pair with the scores of both."""
    if better.response == worse.response:
        return LeftOut("identical responses")
    scores = {name: (value, worse.scores[name]) for name, value in better.scores.items() if name in worse.scores}
    digest = better.digest if better.digest == worse.digest else f"{better.digest}/{worse.digest}"
    return Draft(better.prompt, better.response, worse.response, digest=digest, scores=scores)

"""Search for a prompt by dynamic rewards: a beam of prompts, each revised by what a judge missed in its last answer.

Dynamic Rewarding with Prompt Optimization (DRPO), arXiv 2411.08733, as in the authors' code. At level t every prompt of the beam
answers training query t, a judge scores the answer on the aspects that matter for this query, and an optimiser proposes
revised prompts. Beams are compared by the mean reward along their path.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import fmean
from typing import Protocol

LARGEST = 5.0
"""Aspects are scored from 1 to 5."""
EARLIER = 5
"""Earlier prompts that the optimiser sees."""


@dataclass(frozen=True)
class SearchSettings:
    """Extent of a search; the defaults are those of the authors' script.

    Parameters
    ----------
    depth : int, in [1, inf)
        Levels of revision.
    beam : int, in [1, inf)
        Prompts that are kept at each level.
    actions : int, in [1, inf)
        Revisions that are proposed for each prompt.
    extra : int, in [0, inf)
        Levels that are added at most, one for each level at which a prompt needed no revision.
    satisfied : float, in [1, 5]
        Reward above which a prompt is not revised.
    """

    depth: int = 20
    beam: int = 2
    actions: int = 3
    extra: int = 10
    satisfied: float = 4.5

    def __post_init__(self) -> None:
        for name, least in (("depth", 1), ("beam", 1), ("actions", 1), ("extra", 0)):
            if getattr(self, name) < least:
                raise ValueError(f"{name} must be at least {least}, not {getattr(self, name)}")
        if not 1 <= self.satisfied <= LARGEST:
            raise ValueError(f"satisfied must be in [1, 5], not {self.satisfied}")

    @property
    def queries(self) -> int:
        """Training queries that a search may use: one for each level, and one for the first prompt."""
        return 1 + self.depth + self.extra

    @property
    def most_calls(self) -> Mapping[str, int]:
        """The largest number of calls of each role, without repeated attempts."""
        levels = self.depth + self.extra
        answers = 1 + levels * self.beam * self.actions
        return {"answer": answers, "evaluate": answers, "propose": levels * self.beam, "aspects": 1 + levels}


class Roles(Protocol):
    """Models that a search calls."""

    def aspects(self, query: str) -> Sequence[str]:
        """Aspects of an answer that matter for a query; at least one."""
        ...

    def answer(self, prompt: str, query: str) -> str:
        """The answer of the model that the prompt is for."""
        ...

    def evaluate(self, query: str, answer: str, aspects: Sequence[str]) -> Mapping[str, float] | None:
        """Scores of an answer by aspect, from 1 to 5; None for a reply that cannot be read."""
        ...

    def propose(self, step: Step, earlier: Sequence[str], count: int) -> Sequence[str | None]:
        """Revisions of a prompt in view of its last step and of earlier prompts; None for a reply without a prompt."""
        ...


@dataclass(frozen=True)
class Step:
    """A prompt, its answer to one query, and the scores of the answer (None where they could not be read)."""

    prompt: str
    query: str
    answer: str
    scores: Mapping[str, float] | None

    @property
    def reward(self) -> float | None:
        """Mean score, from 1 to 5.

        Examples
        --------
        >>> Step("be brief", "why ?", "because", {"clarity": 3.0, "depth": 4.0}).reward
        3.5
        """
        return fmean(self.scores.values()) if self.scores else None


Path = tuple[Step, ...]
"""The steps of one prompt of the beam and of those that it was revised from, the first one first."""


@dataclass
class Tally:
    """Replies of a search that could not be used.

    Parameters
    ----------
    unread : int
        Evaluations that could not be read. Their prompt is neither rewarded nor revised at this level.
    no_prompt : int
        Proposals without a prompt.
    """

    unread: int = 0
    no_prompt: int = 0


@dataclass(frozen=True)
class SearchResult:
    """The outcome of a search.

    Parameters
    ----------
    paths : sequence of Path
        The final beam, the best first.
    best : sequence of str
        The best prompt of every level, the first prompt included.
    tally : Tally
    """

    paths: Sequence[Path]
    best: Sequence[str]
    tally: Tally = field(default_factory=Tally)

    @property
    def prompt(self) -> str:
        """The last prompt of the best path, which the authors return."""
        return self.paths[0][-1].prompt

    @property
    def prompts(self) -> Sequence[str]:
        """The last prompts of the final beam, the best first, each once."""
        return list(dict.fromkeys(path[-1].prompt for path in self.paths))


def search(first: str, queries: Sequence[str], roles: Roles, settings: SearchSettings) -> SearchResult:
    """Search from a first prompt.

    Parameters
    ----------
    first : str
        May be empty.
    queries : sequence of str
        At least ``settings.depth + 1``; a search that skips revisions goes on while there are more.
    roles : Roles
        Deterministic ones give a deterministic search, so that a search continues by replaying its calls.
    settings : SearchSettings

    Raises
    ------
    ValueError
        For too few queries.
    """
    if len(queries) <= settings.depth:
        raise ValueError(f"a search of depth {settings.depth} needs {settings.depth + 1} queries, not {len(queries)}")
    tally = Tally()
    beam: list[Path] = [(_step(first, queries[0], roles.aspects(queries[0]), roles, tally),)]
    best, levels, level = [first], settings.depth, 0
    while level < levels:
        level += 1
        query = queries[level]
        aspects = roles.aspects(query)
        candidates, skipped = [], False
        for path in beam:
            prompts, skips = _revisions(path, roles, settings, tally)
            skipped |= skips
            candidates += [(*path, _step(prompt, query, aspects, roles, tally)) for prompt in prompts]
        beam = sorted(candidates, key=lambda path: -_rank(path, settings.beam))[: settings.beam]
        best.append(beam[0][-1].prompt)
        if skipped:
            levels = min(levels + 1, settings.depth + settings.extra, len(queries) - 1)
    return SearchResult(beam, best, tally)


def confirm(prompts: Sequence[str], queries: Sequence[str], roles: Roles) -> str:
    """The prompt with the largest mean reward on queries that the search has not used; the first of equal ones.

    The final prompt of a search is chosen partly by its predecessors' rewards, at one query for each level.
    """
    tally = Tally()
    aspects = {query: roles.aspects(query) for query in queries}

    def mean(prompt: str) -> float:
        steps = [_step(prompt, query, aspects[query], roles, tally) for query in queries]
        return fmean([step.reward or 0.0 for step in steps])

    return max(prompts, key=mean)


def _step(prompt: str, query: str, aspects: Sequence[str], roles: Roles, tally: Tally) -> Step:
    answer = roles.answer(prompt, query)
    step = Step(prompt, query, answer, roles.evaluate(query, answer, aspects))
    tally.unread += step.reward is None
    return step


def _revisions(path: Path, roles: Roles, settings: SearchSettings, tally: Tally) -> tuple[Sequence[str], bool]:
    """The next prompts of a path, and whether its prompt is good enough and stays as it is."""
    step = path[-1]
    if step.reward is None:
        return [step.prompt], False
    if step.reward > settings.satisfied:
        return [step.prompt], True
    proposed = roles.propose(step, [each.prompt for each in path[:-1]][-EARLIER:], settings.actions)
    prompts = list(dict.fromkeys(prompt for prompt in proposed if prompt is not None))
    tally.no_prompt += sum(prompt is None for prompt in proposed)
    return prompts or [step.prompt], False


def _rank(path: Path, beam: int) -> float:
    """Mean reward along a path, the last reward alone for a beam of one; below 1 where none could be read."""
    rewards = [step.reward for step in (path if beam > 1 else path[-1:]) if step.reward is not None]
    return fmean(rewards) if rewards else 0.0

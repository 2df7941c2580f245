"""The search for a prompt: hill climbing, exhaustive proposals, skipped revisions, counted faults."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import product

import pytest

from suites.prompt_search import SearchSettings, Step, confirm, search

WORDS = "abc"
VALUES = {"": 1.0, "a": 2.0, "b": 1.5, "c": 1.2, "ab": 2.5, "ac": 4.0, "bc": 3.0, "abc": 3.2}
"""Reward of a set of words; "ac" is the best."""
QUERIES = [f"q{i}" for i in range(40)]


@dataclass
class Table:
    """Roles whose rewards are those of a table and whose proposals add or drop one word."""

    values: dict[str, float] = field(default_factory=lambda: dict(VALUES))
    everything: bool = False
    calls: list[tuple[str, ...]] = field(default_factory=list)

    def aspects(self, query):
        return ["value"]

    def answer(self, prompt, query):
        self.calls.append(("answer", prompt, query))
        return prompt

    def evaluate(self, query, answer, aspects):
        value = self.values[answer]
        return None if value is None else dict.fromkeys(aspects, value)

    def propose(self, step, earlier, count):
        self.calls.append(("propose", step.prompt, *earlier))
        if self.everything:
            return sorted(self.values)
        moves = ["".join(sorted(set(step.prompt) ^ {word})) for word in WORDS]
        return sorted(moves, key=lambda move: -self.values[move])[:count]


def test_a_beam_of_one_with_one_action_climbs_the_hill():
    result = search("", QUERIES, Table(), SearchSettings(depth=4, beam=1, actions=1, extra=0))
    assert list(result.best) == ["", "a", "ac", "abc", "ac"]


def test_an_exhaustive_proposer_finds_the_optimum_at_the_first_level():
    result = search("", QUERIES, Table(everything=True), SearchSettings(depth=1, beam=2, actions=8, extra=0))
    assert result.prompt == "ac"
    assert list(result.prompts) == ["ac", "abc"]


def test_paths_are_ranked_by_their_mean_reward():
    """From "" (1), by "b" (1.5) then "bc" (3) has the mean 11/6; by "a" (2) then "ab" (2.5), too, and "ac" (4) has 7/3."""
    result = search("", QUERIES, Table(), SearchSettings(depth=2, beam=3, actions=3, extra=0))
    means = {path[-1].prompt: sum(step.reward for step in path) / 3 for path in result.paths}
    assert result.prompt == "ac"
    assert list(means.values()) == sorted(means.values(), reverse=True)


@pytest.mark.parametrize("extra", [0, 3])
def test_a_full_score_everywhere_asks_for_no_revision_and_extends_the_search(extra):
    roles = Table(values=dict.fromkeys(VALUES, 5.0))
    result = search("b", QUERIES, roles, SearchSettings(depth=4, extra=extra))
    assert not [call for call in roles.calls if call[0] == "propose"]
    assert set(result.best) == {"b"} and len(result.best) == 1 + 4 + extra


@pytest.mark.parametrize(("depth", "beam", "actions"), list(product([1, 3], [1, 2], [1, 3])))
def test_calls_stay_within_the_stated_bound(depth, beam, actions):
    settings = SearchSettings(depth=depth, beam=beam, actions=actions)
    roles = Table()
    search("", QUERIES, roles, settings)
    for role in ("answer", "propose"):
        assert sum(call[0] == role for call in roles.calls) <= settings.most_calls[role]


def test_an_unread_evaluation_is_counted_and_neither_rewarded_nor_revised():
    roles = Table(values=VALUES | {"": None})
    result = search("", QUERIES, roles, SearchSettings(depth=2, extra=0))
    assert result.tally.unread == 3
    assert result.prompt == "" and not [call for call in roles.calls if call[0] == "propose"]


def test_a_proposer_without_a_prompt_is_counted_and_the_prompt_stays():
    class Silent(Table):
        def propose(self, step, earlier, count):
            return [None] * count

    result = search("a", QUERIES, Silent(), SearchSettings(depth=3, beam=1, actions=2, extra=0))
    assert set(result.best) == {"a"} and result.tally.no_prompt == 6


def test_the_optimiser_sees_the_last_five_earlier_prompts():
    roles = Table()
    search("", QUERIES, roles, SearchSettings(depth=8, beam=1, actions=1, extra=0))
    *_, last = (call for call in roles.calls if call[0] == "propose")
    assert last[1:] == ("abc", "ac", "abc", "ac", "abc", "ac")


def test_the_confirmed_prompt_is_the_best_on_held_out_queries():
    assert confirm(["b", "ac", "abc"], QUERIES[:3], Table()) == "ac"


def test_too_few_queries_are_refused():
    with pytest.raises(ValueError, match="depth 4 needs 5 queries, not 2"):
        search("", QUERIES[:2], Table(), SearchSettings(depth=4))
    with pytest.raises(ValueError, match="beam must be at least 1, not 0"):
        SearchSettings(beam=0)


def test_a_step_without_scores_has_no_reward():
    assert Step("p", "q", "a", None).reward is None

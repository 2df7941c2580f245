"""Plain pairs as turns, where their texts would be joined with nothing between."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TypeVar

from trainers.data.forms import Draft
from trainers.data.records import Pair
from trainers.tokens.dialogue import as_messages, as_reply, is_transcript

Texts = TypeVar("Texts", Pair, Draft)


def in_turns(pairs: Sequence[Texts]) -> list[Texts]:
    """The pairs, plain ones as messages where most of their texts would be joined with nothing between.

    White space at the end of a prompt or in front of a response says that they are to be joined; a transcript in HH's
    form ends with its cue.

    Examples
    --------
    >>> in_turns([Draft("Why?", "Because.", "Go.")])[0].chosen
    [{'role': 'assistant', 'content': 'Because.'}]
    >>> in_turns([Draft("Why?", " Because.", " Go.")])[0].chosen
    ' Because.'
    """
    bare = [_is_bare(pair) for pair in pairs if _is_plain(pair)]
    if 2 * sum(bare) <= len(bare):
        return list(pairs)
    return [_as_turns(pair) if _is_plain(pair) else pair for pair in pairs]


def _is_plain(pair: Pair | Draft) -> bool:
    return isinstance(pair.prompt, str) and not is_transcript(pair.prompt)


def _is_bare(pair: Pair | Draft) -> bool:
    begins = str(pair.chosen)[:1].isspace() and str(pair.rejected)[:1].isspace()
    return not str(pair.prompt)[-1:].isspace() and not begins


def _as_turns(pair: Texts) -> Texts:
    chosen, rejected = (as_reply(pair.prompt, side) for side in (pair.chosen, pair.rejected))
    return replace(pair, prompt=as_messages(pair.prompt), chosen=chosen, rejected=rejected)

"""Log-probabilities of many responses to each prompt, with every shared prefix computed once.

The responses to a prompt form a prefix tree whose nodes are runs of tokens. Each depth of the tree is one batch, and the
keys and values of a run's ancestors come from the cache, so that the cost is that of the distinct prefixes: for the 256
responses of an oracle prompt, a fifth of that of the responses one by one.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import groupby

import numpy as np
import torch
from torch import Tensor, nn

from trainers.model.causal_lm import Head, causal_lm, decoder_and_head
from trainers.model.logprobs import token_logps

CACHE_TOKENS = 1 << 15
"""Tokens, padding included, whose keys and values are held at a time; a single prompt may need more."""


@dataclass
class Run:
    """A run of tokens that some responses share, behind the run `parent` of the depth before.

    Parameters
    ----------
    tokens : sequence of int
    parent : int
        -1 for the first run, which begins with the prompt.
    prompt : int
        How many of the tokens are the prompt's; these are not scored.
    responses : list of int
        Responses that end with this run. Their last token is predicted and not fed in.
    """

    tokens: Sequence[int]
    parent: int = -1
    prompt: int = 0
    responses: list[int] = field(default_factory=list)

    @property
    def fed(self) -> int:
        """How many of the tokens are fed in."""
        return len(self.tokens) - bool(self.responses)


def build(prompts: Sequence[Sequence[int]], responses: Sequence[Sequence[Sequence[int]]]) -> list[list[Run]]:
    """The prefix trees of all prompts, depth by depth; responses are numbered through.

    Parameters
    ----------
    prompts : sequence of token sequences, none empty
    responses : for each prompt its responses' tokens
        Each ends with an end-of-sequence token that it has nowhere else, so that none is the beginning of another.

    Examples
    --------
    >>> [[run.tokens for run in depth] for depth in build([[7]], [[[1, 2, 0], [1, 3, 0]]])]
    [[[7, 1]], [[2, 0], [3, 0]]]
    """
    depths: list[list[Run]] = []

    def grow(rows: list[tuple[int, Sequence[int]]], at: int, parent: int, depth: int, prompt: Sequence[int]) -> None:
        """Add the run on which all `rows` agree from position `at` on, and what branches behind it."""
        first, last = rows[0][1], rows[-1][1]
        end = at
        while end < min(len(first), len(last)) and first[end] == last[end]:
            end += 1
        if depth == len(depths):
            depths.append([])
        run = Run([*prompt, *first[at:end]], parent, len(prompt))
        number = len(depths[depth])
        depths[depth].append(run)
        if end == len(first):
            run.responses = [name for name, _ in rows]
            return
        for _, branch in groupby(rows, key=lambda row: row[1][end]):
            grow(list(branch), end, number, depth + 1, ())

    count = 0
    for prompt, own in zip(prompts, responses, strict=True):
        if own:
            grow(sorted(enumerate(own, count), key=lambda row: tuple(row[1])), 0, -1, 0, prompt)
        count += len(own)
    return depths


def score_trees(
    model: nn.Module, prompts: Sequence[Sequence[int]], responses: Sequence[Sequence[Sequence[int]]], device: str
) -> np.ndarray:
    """SUM log-probability of every response behind its prompt, shape (M,), float64, nats, without gradients.

    Parameters
    ----------
    model : PreTrainedModel
        With a key-value cache and full causal attention.
    prompts, responses
        See `build`.
    device : str
    """
    scores: list[np.ndarray] = []
    for part in _parts(prompts, responses):
        chosen = [responses[i] for i in part]
        scores.append(_score(model, build([prompts[i] for i in part], chosen), sum(map(len, chosen)), device))
    return np.concatenate(scores) if scores else np.empty(0)


def _parts(prompts: Sequence[Sequence[int]], responses: Sequence[Sequence[Sequence[int]]]) -> Iterator[list[int]]:
    """Prompts one after the other, as many at a time as the cache may hold."""
    part: list[int] = []
    held = 0
    for i, (prompt, own) in enumerate(zip(prompts, responses, strict=True)):
        needed = len(own) * (len(prompt) + max(map(len, own), default=0))
        if part and held + needed > CACHE_TOKENS:
            yield part
            part, held = [], 0
        part.append(i)
        held += needed
    if part:
        yield part


def _score(model: nn.Module, depths: list[list[Run]], n_responses: int, device: str) -> np.ndarray:
    from transformers import DynamicCache

    decoder, head = decoder_and_head(model)
    totals = np.empty(n_responses)
    cache, mask, lengths = DynamicCache(config=causal_lm(model).config), None, torch.zeros(0, dtype=torch.int64)
    ends, reached = torch.empty(0), np.zeros(0)
    for depth in depths:
        parents = torch.tensor([run.parent for run in depth])
        fed = torch.tensor([run.fed for run in depth])
        width = max(int(fed.max()), 1)
        ids = torch.tensor([[*run.tokens[: run.fed], *[0] * (width - run.fed)] for run in depth])
        new = torch.arange(width) < fed[:, None]
        if mask is None:
            mask, behind, reached = new, torch.zeros(len(depth), dtype=torch.int64), np.zeros(len(depth))
        else:
            cache.batch_select_indices(parents.to(device))
            mask, behind, reached = torch.cat([mask[parents], new], 1), lengths[parents], reached[parents]
        positions = behind[:, None] + torch.arange(width)
        states = decoder(
            input_ids=ids.to(device), attention_mask=mask.to(device), position_ids=positions.to(device),
            past_key_values=cache, use_cache=True,
        ).last_hidden_state  # fmt: skip
        reached = reached + _run_logps(head, depth, states, ends[parents] if len(ends) else None)
        for run, total in zip(depth, reached, strict=True):
            totals[run.responses] = total
        ends, lengths = states[torch.arange(len(depth)), (fed - 1).clamp(min=0)], behind + fed
    return totals


def _run_logps(head: Head, depth: list[Run], states: Tensor, before: Tensor | None) -> np.ndarray:
    """Log-probability of every run's scored tokens; `before` are the states at the ends of the runs' parents."""
    rows = np.repeat(np.arange(len(depth)), [len(run.tokens) - max(run.prompt, before is None) for run in depth])
    first = [max(run.prompt, before is None) for run in depth]
    columns = np.concatenate([np.arange(start, len(run.tokens)) for start, run in zip(first, depth, strict=True)])
    targets = torch.tensor([token for start, run in zip(first, depth, strict=True) for token in run.tokens[start:]])
    # The state that predicts a run's first token is its parent's last one.
    predicting = states if before is None else torch.cat([before[:, None], states], 1)
    at = columns - 1 if before is None else columns
    hidden = predicting[torch.from_numpy(rows), torch.from_numpy(at)]
    logps = token_logps(hidden, head.weight, head.bias, targets.to(hidden.device)).double().cpu().numpy()
    return np.bincount(rows, logps, minlength=len(depth))

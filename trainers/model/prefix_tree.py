"""Log-probabilities of many responses to each prompt, with every shared prefix computed once.

The responses to a prompt form a prefix tree whose nodes are runs of tokens. Each depth of the tree is one batch, and the
keys and values of a run's ancestors come from the cache, so that the cost is that of the distinct prefixes: for the 256
responses of an oracle prompt, a fifth of that of the responses one by one. Trees are laid out once for all models.
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


@dataclass(frozen=True)
class Depth:
    """One depth of some trees as tensors: N runs of at most W fed tokens, behind P positions of their ancestors.

    Parameters
    ----------
    parents : Tensor of int64, shape (N,)
        Runs of the depth before; −1 throughout at the first depth.
    ids, positions : Tensor of int64, shape (N, W)
    mask : Tensor of bool, shape (N, P + W)
        Positions that hold a token.
    ends : Tensor of int64, shape (N,)
        Position of each run's last fed token.
    rows, columns, targets : Tensor of int64, shape (S,)
        Scored tokens, and the state that predicts each: its run and, where 0 is the parent's last state at all depths but
        the first, its position.
    ended, responses : ndarray of int64, shape (E,)
        Runs with which a response ends, and that response.
    """

    parents: Tensor
    ids: Tensor
    positions: Tensor
    mask: Tensor
    ends: Tensor
    rows: Tensor
    columns: Tensor
    targets: Tensor
    ended: np.ndarray
    responses: np.ndarray


@dataclass(frozen=True)
class PrefixTrees:
    """The prefix trees of some prompts, laid out for any model with their tokens.

    Parameters
    ----------
    parts : list of (int, list of Depth)
        The number of responses to the prompts that the cache holds together, and the depths of their trees.

    Examples
    --------
    >>> trees = PrefixTrees.of([[7]], [[[1, 2, 0], [1, 3, 0]]])
    >>> [(number, [depth.ids.tolist() for depth in depths]) for number, depths in trees.parts]
    [(2, [[[7, 1]], [[2], [3]]])]
    """

    parts: list[tuple[int, list[Depth]]]

    @classmethod
    def of(cls, prompts: Sequence[Sequence[int]], responses: Sequence[Sequence[Sequence[int]]]) -> PrefixTrees:
        """From the tokens of prompts and responses; see `build`."""
        laid_out = []
        for part in _parts(prompts, responses):
            chosen = [responses[i] for i in part]
            laid_out.append((sum(map(len, chosen)), _lay_out(build([prompts[i] for i in part], chosen))))
        return cls(laid_out)

    def score(self, model: nn.Module, device: str) -> np.ndarray:
        """SUM log-probability of every response behind its prompt, shape (M,), float64, nats, without gradients.

        Parameters
        ----------
        model : PreTrainedModel
            With a key-value cache and full causal attention.
        device : str
        """
        scores = [_score(model, depths, responses, device) for responses, depths in self.parts]
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


def _lay_out(depths: list[list[Run]]) -> list[Depth]:
    laid_out: list[Depth] = []
    mask, lengths = torch.zeros(0, 0, dtype=torch.bool), torch.zeros(0, dtype=torch.int64)
    for runs in depths:
        parents = torch.tensor([run.parent for run in runs])
        fed = torch.tensor([run.fed for run in runs])
        width = max(int(fed.max()), 1)
        step = torch.arange(width)
        new, behind = step < fed[:, None], torch.zeros(len(runs), dtype=torch.int64)
        if laid_out:
            new, behind = torch.cat([mask[parents], new], 1), lengths[parents]
        # The state that predicts a run's first token is its parent's last one; the first depth begins with prompts.
        first = [max(run.prompt, not laid_out) for run in runs]
        columns = torch.cat([torch.arange(start, len(run.tokens)) for start, run in zip(first, runs, strict=True)])
        sizes = torch.tensor([len(run.tokens) - start for start, run in zip(first, runs, strict=True)])
        ended = [(number, response) for number, run in enumerate(runs) for response in run.responses]
        pairs = np.array(ended, dtype=np.int64).reshape(-1, 2)
        laid_out.append(
            Depth(
                parents=parents,
                ids=torch.tensor([[*run.tokens[: run.fed], *[0] * (width - run.fed)] for run in runs]),
                positions=behind[:, None] + step,
                mask=new,
                ends=(fed - 1).clamp(min=0),
                rows=torch.repeat_interleave(torch.arange(len(runs)), sizes),
                columns=columns if len(laid_out) else columns - 1,
                targets=torch.tensor([t for start, run in zip(first, runs, strict=True) for t in run.tokens[start:]]),
                ended=pairs[:, 0],
                responses=pairs[:, 1],
            )
        )
        mask, lengths = new, behind + fed
    return laid_out


def _score(model: nn.Module, depths: list[Depth], n_responses: int, device: str) -> np.ndarray:
    from transformers import DynamicCache

    decoder, head = decoder_and_head(model)
    totals: np.ndarray = np.empty(n_responses)
    reached: np.ndarray = np.zeros(0)
    cache, ends = DynamicCache(config=causal_lm(model).config), None
    for number, depth in enumerate(depths):
        if number:
            cache.batch_select_indices(depth.parents.to(device))
        states = decoder(
            input_ids=depth.ids.to(device), attention_mask=depth.mask.to(device),
            position_ids=depth.positions.to(device), past_key_values=cache, use_cache=True,
        ).last_hidden_state  # fmt: skip
        predicting = states if ends is None else torch.cat([ends[depth.parents][:, None], states], 1)
        logps = _token_logps(head, predicting[depth.rows, depth.columns], depth.targets)
        before = reached[depth.parents.numpy()] if number else 0.0
        reached = before + np.bincount(depth.rows.numpy(), logps, minlength=len(depth.ids))
        totals[depth.responses] = reached[depth.ended]
        ends = states[torch.arange(len(depth.ids)), depth.ends]
    return totals


def _token_logps(head: Head, hidden: Tensor, targets: Tensor) -> np.ndarray:
    logps = token_logps(hidden, head.weight, head.bias, targets.to(hidden.device))
    return logps.double().cpu().numpy()

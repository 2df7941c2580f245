r"""Exact tables of token-level policies: the enumerated responses of a prompt as a trie.

A token-level policy gives a distribution of the next token behind every prefix. The distinct prefixes of the responses are
the inner nodes of a trie, so that one distribution at each of them determines the probability of every response exactly,
whatever the policy computes its distributions from: several models, several contexts, a value of the prefix.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from suites.oracle.truth import Array

if TYPE_CHECKING:
    from torch import Tensor
    from transformers import PreTrainedModel


@dataclass(frozen=True, eq=False)
class Trie:
    """The prefixes of some responses. Node 0 is the empty prefix, and a parent comes before its children.

    Parameters
    ----------
    tokens : ndarray of int, shape (N,)
        The last token of each prefix; −1 for the empty one.
    parents : ndarray of int, shape (N,)
        −1 for the empty one.
    leaves : ndarray of int, shape (Y,)
        The node at which each response ends.

    Examples
    --------
    >>> trie = Trie.of([[5, 0], [5, 6, 0]])
    >>> trie.tokens.tolist(), trie.parents.tolist(), trie.leaves.tolist()
    ([-1, 5, 0, 6, 0], [-1, 0, 1, 1, 3], [2, 4])
    """

    tokens: np.ndarray
    parents: np.ndarray
    leaves: np.ndarray

    @classmethod
    def of(cls, responses: Sequence[Sequence[int]]) -> Trie:
        """From the tokens of distinct responses, none of which is the beginning of another (each has its end token)."""
        tokens, parents, leaves = [-1], [-1], []
        children: dict[tuple[int, int], int] = {}
        for response in responses:
            node = 0
            for token in response:
                if (node, token) not in children:
                    children[node, token] = len(tokens)
                    tokens.append(token)
                    parents.append(node)
                node = children[node, token]
            leaves.append(node)
        trie = cls(np.array(tokens), np.array(parents), np.array(leaves))
        if len(set(leaves)) < len(leaves) or not trie.is_leaf[leaves].all():
            raise ValueError("responses must be distinct, and none may be the beginning of another")
        return trie

    @cached_property
    def is_leaf(self) -> np.ndarray:
        """Nodes without children."""
        leaf = np.ones(len(self.tokens), dtype=bool)
        leaf[self.parents[1:]] = False
        return leaf

    @cached_property
    def depths(self) -> np.ndarray:
        """How many tokens each prefix has."""
        depths = np.zeros(len(self.tokens), dtype=int)
        for node in range(1, len(depths)):
            depths[node] = depths[self.parents[node]] + 1
        return depths

    @cached_property
    def levels(self) -> list[np.ndarray]:
        """The nodes of each depth."""
        return [np.flatnonzero(self.depths == depth) for depth in range(int(self.depths.max()) + 1)]

    @cached_property
    def ancestors(self) -> np.ndarray:
        """Entry [n, m] says that prefix m begins prefix n, itself included; shape (N, N)."""
        above = np.eye(len(self.tokens), dtype=bool)
        for node in range(1, len(above)):
            above[node] |= above[self.parents[node]]
        return above

    def table(self, logps: Array) -> Array:
        """Log-probabilities of the responses, shape (Y,), nats.

        Parameters
        ----------
        logps : ndarray, shape (N, V)
            Of the next token behind each prefix; the rows of leaves are not used.
        """
        steps = np.zeros(len(self.tokens))
        steps[1:] = logps[self.parents[1:], self.tokens[1:]]
        for nodes in self.levels[1:]:
            steps[nodes] += steps[self.parents[nodes]]
        table: Array = steps[self.leaves]
        return table

    def soft_values(self, logps: Array, exponent: Array) -> Array:
        r"""Value of every prefix, :math:`V(s) = \log E_\pi[e^{g(y)} \mid s]`, shape (N,).

        Text that is no response of the trie has :math:`e^g = 0`. From the leaves up it is
        :math:`V(s) = \log \sum_t \pi(t \mid s)\,e^{V(s, t)}`.

        Parameters
        ----------
        logps : ndarray, shape (N, V)
            Log-probabilities of the next token behind each prefix.
        exponent : ndarray, shape (Y,)
            :math:`g`, such as :math:`r/\beta`.
        """
        values: Array = np.full(len(self.tokens), -np.inf)
        values[self.leaves] = exponent
        for nodes in self.levels[:0:-1]:
            parents = self.parents[nodes]
            np.logaddexp.at(values, parents, logps[parents, self.tokens[nodes]] + values[nodes])
        return values


def trie_logits(model: PreTrainedModel, prompt: Sequence[int], trie: Trie, soft: Tensor | None = None) -> Tensor:
    """Logits of the next token behind every prefix of a trie, shape (N, V), in one forward pass; leaves have none (0).

    Each prefix attends to the prompt and to the prefixes that begin it, at the positions that the response has.

    Parameters
    ----------
    soft : Tensor, shape (m, h), optional
        Embeddings in front of the prompt.

    Raises
    ------
    ValueError
        For a prompt with responses longer than the model's context: a truncated context is another one.
    """
    import torch

    read, inputs = _trie_inputs(model, prompt, trie, soft)
    with torch.inference_mode():
        out = model(**inputs, logits_to_keep=len(read)).logits[0]
    logits: Tensor = out.new_zeros(len(trie.tokens), out.shape[-1])
    logits[read] = out
    return logits


def trie_states(model: PreTrainedModel, prompt: Sequence[int], trie: Trie) -> Tensor:
    """Last hidden states at the last token of every response of a trie before its end, shape (Y, h); see `trie_logits`."""
    import torch

    read, inputs = _trie_inputs(model, prompt, trie, None)
    with torch.inference_mode():
        out = model.base_model(**inputs).last_hidden_state[0, -len(read) :]
    states = out.new_zeros(len(trie.tokens), out.shape[-1])
    states[read] = out
    ends: Tensor = states[torch.from_numpy(trie.parents[trie.leaves]).to(out.device)]
    return ends


def _trie_inputs(
    model: PreTrainedModel, prompt: Sequence[int], trie: Trie, soft: Tensor | None
) -> tuple[Tensor, dict[str, Any]]:
    """The nodes whose states come last, in their order, and the arguments of a forward pass."""
    import torch

    given = len(prompt) + (0 if soft is None else len(soft))
    longest = given + int(trie.depths[~trie.is_leaf].max())
    limit = getattr(model.config, "max_position_embeddings", None)
    if limit is not None and longest > limit:
        raise ValueError(f"a context of {given} tokens and a response of {longest - given} exceed {limit}")
    inner = np.flatnonzero(~trie.is_leaf)[1:]
    ids = [*prompt, *trie.tokens[inner].tolist()]
    size = given + len(inner)
    allowed = np.tril(np.ones((size, size), dtype=bool))
    allowed[given:, given:] = trie.ancestors[np.ix_(inner, inner)]
    mask = torch.zeros(1, 1, size, size, device=model.device, dtype=model.dtype)
    mask.masked_fill_(~torch.from_numpy(allowed).to(model.device), torch.finfo(model.dtype).min)
    positions = [*range(given), *(given - 1 + trie.depths[inner])]
    inputs: dict[str, Any] = {"input_ids": torch.tensor([ids], device=model.device)}
    if soft is not None:
        words = model.get_input_embeddings()(inputs.pop("input_ids")).detach()
        inputs["inputs_embeds"] = torch.cat([soft[None].to(words), words], dim=1)
    inputs |= {
        "attention_mask": mask,
        "position_ids": torch.tensor([positions], device=model.device),
        "use_cache": False,
    }
    return torch.tensor([0, *inner.tolist()], device=model.device), inputs

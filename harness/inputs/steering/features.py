"""Features of responses that rewards of users are fitted on: a model's hidden states, or the tastes themselves."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from harness.inputs.population import population_of
from harness.inputs.steering.scene import Scene
from trainers.data.records import Pair
from trainers.tokens.framing import Frame

if TYPE_CHECKING:
    from suites.oracle.population import Population

FEATURES = ("states", "tastes")
"""Last states of the base at the response's end; tastes of the world, in which every reward is linear."""


def require_features(kind: str) -> None:
    """Raise `ValueError` for an unknown kind of features."""
    if kind not in FEATURES:
        raise ValueError(f"features must be {' or '.join(FEATURES)}, not {kind!r}")


def features_of_pairs(kind: str, data: Path, base: Path, pairs: list[Pair], device: str) -> np.ndarray:
    """Features of the chosen and the rejected response of each pair, shape (N, 2, d)."""
    return _of_pairs(kind, population_of(data) if kind == "tastes" else None, base, pairs, device)


def features_of_context(kind: str, scene: Scene, pairs: list[Pair]) -> np.ndarray:
    """The same of pairs of a scene's users."""
    assert scene.trained_on is not None
    return _of_pairs(kind, scene.population, scene.trained_on, pairs, scene.device)


def _of_pairs(kind: str, population: Population | None, base: Path, pairs: list[Pair], device: str) -> np.ndarray:
    if kind == "tastes":
        assert population is not None
        return tastes_of(population, pairs)
    from trainers.data.tokenizer import load_tokenizer
    from trainers.model.loading import load
    from trainers.personal.features import pair_states

    return pair_states(load(base, device), load_tokenizer(base), pairs, device)


def features_of_responses(kind: str, scene: Scene) -> np.ndarray:
    """Features of every response to every test prompt of a scene, shape (P, Y, d)."""
    if kind == "tastes":
        return np.moveaxis(scene.population.tastes[:, scene.rows], 0, -1)
    from suites.checkpoints import load_causal_lm
    from suites.oracle.trie import trie_states

    assert scene.trained_on is not None
    model = load_causal_lm(scene.trained_on, scene.device)
    states = [
        trie_states(model, scene.tokens(number, Frame()), trie).numpy(force=True)
        for number, trie in enumerate(scene.tries)
    ]
    return np.stack(states)


def tastes_of(population: Population, pairs: list[Pair]) -> np.ndarray:
    """Tastes of the chosen and the rejected response of each pair, shape (N, 2, K)."""
    world = population.world
    cells = [
        (world.index(str(pair.prompt)), world.parse(str(pair.prompt), str(text)))
        for pair in pairs
        for text in (pair.chosen, pair.rejected)
    ]
    rows, columns = np.array(cells, int).reshape(-1, 2).T
    tastes: np.ndarray = population.tastes[:, rows, columns].T.reshape(-1, 2, len(population.tastes))
    return tastes

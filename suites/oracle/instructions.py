r"""Instructions that pretraining can teach: one phrase for each taste and sign, and the behaviour under them.

Behind phrases for the tastes :math:`c` the behaviour policy is :math:`\mu_c \propto \mu\,e^{s \sum_{k \in c} b_k}`. The obedience
:math:`s` is weak, so that decoding which goes beyond the instruction has something to add.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence

import numpy as np

from suites.oracle.population import TASTES, taste_tables
from suites.oracle.truth import Array, tilt
from suites.oracle.world import World

PHRASES = {
    "manners": "be polite .",
    "length": "be detailed .",
    "plainness": "be plain .",
    "correctness": "be correct .",
    "-manners": "be rude .",
    "-length": "be brief .",
    "-plainness": "be technical .",
    "-correctness": "be mistaken .",
}
"""By taste; a leading minus marks the opposite of one."""


def instruction(tastes: Sequence[str]) -> str:
    """The text that asks for some tastes, in front of a prompt; empty for none.

    Examples
    --------
    >>> instruction(["manners", "-length"])
    'be polite . be brief . '
    """
    return "".join(f"{PHRASES[taste]} " for taste in tastes)


def instructed(world: World, tastes: Sequence[str], strength: float = 0.5) -> Array:
    """The behaviour policy behind an instruction, shape (P, 256)."""
    tables = dict(zip(PHRASES, taste_tables(world, signed=True), strict=True))
    return tilt(world.mu, strength * sum((tables[taste] for taste in tastes), start=np.zeros_like(world.mu)))


def instructed_corpus(world: World, n: int, seed: int = 0, strength: float = 0.5) -> list[dict[str, str]]:
    """``id, prompt, response``: half of them plain, half with one or two phrases for different tastes in front.

    Prompts are uniform over the training split; responses come from the behaviour policy behind the phrases.
    """
    rng = np.random.default_rng([world.spec.seed, zlib.crc32(b"instructed corpus"), seed])
    rows = rng.choice(world.indices("train"), n)
    counts = np.where(rng.random(n) < 0.5, 0, rng.integers(1, 3, size=n))
    tables = np.stack(list(taste_tables(world, signed=True)))
    chosen = [
        rng.choice(len(TASTES), count, replace=False) + len(TASTES) * rng.integers(0, 2, count) for count in counts
    ]
    uniform = rng.random(n)
    names = list(PHRASES)
    documents = []
    for i, (x, tastes, u) in enumerate(zip(rows, chosen, uniform, strict=True)):
        policy = world.mu[x] * np.exp(strength * tables[tastes, x].sum(axis=0))
        cumulative = policy.cumsum()
        y = int(np.searchsorted(cumulative, u * cumulative[-1], side="right"))
        prompt = instruction([names[k] for k in tastes]) + world.prompts[x].text
        documents.append({"id": f"corpus-{i:06d}", "prompt": prompt, "response": world.responses(x)[y]})
    return documents

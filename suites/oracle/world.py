"""A seeded helpdesk whose behaviour policy, users and facts are known in closed form.

The behaviour policy is mostly plain and polite; users prefer snark, jargon, long answers and right ones. The
objectives of a designer who wants clean and plain language therefore conflict with theirs, by a known amount.
"""

from __future__ import annotations

import difflib
import zlib
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from suites.oracle import draws, grammar
from suites.oracle.draws import Prompt, Split
from suites.oracle.grammar import DEVICES, FIXES, PROBLEMS, SITUATIONS

CATEGORIES = ("toxicity", "severe_toxicity", "obscene", "threat", "insult", "identity_attack")
"""The classes of Detoxify's ``original`` models."""


@dataclass(frozen=True)
class WorldSpec:
    """Parameters of a world; equal specs give identical worlds, texts and labels.

    Parameters
    ----------
    seed : int
        Draws the facts, the habits of the behaviour policy, the tastes of the users and the splits.
    temperature : float
        Noise of the users: :math:`P(y_1 \\succ y_2) = \\sigma((u_1 - u_2)/T)`. The preference reward is
        :math:`r_p = u/T` exactly.
    test_situations, validation_situations : int
        In how many of the 12 situations every (device, problem) is held out of training.
    label_noise : float
        Probability that a toxicity label is flipped, independently for every category.
    """

    seed: int = 0
    temperature: float = 0.65
    test_situations: int = 3
    validation_situations: int = 1
    label_noise: float = 0.01

    def __post_init__(self) -> None:
        if not 0 < self.temperature <= 1e6:
            raise ValueError(f"temperature is the users' noise and must be in (0, 1e6], not {self.temperature}")
        if not 0 <= self.seed < 2**63:
            raise ValueError(f"seed must be in [0, 2^63), not {self.seed}")
        if not 0 <= self.label_noise < 0.5:
            raise ValueError(f"label_noise must be in [0, 0.5), not {self.label_noise}")
        if min(self.test_situations, self.validation_situations) < 1:
            raise ValueError("test_situations and validation_situations must be at least 1")
        if self.test_situations + self.validation_situations > len(SITUATIONS) // 2:
            raise ValueError(
                f"test_situations + validation_situations must leave half of the {len(SITUATIONS)} situations to"
                f" training, not be {self.test_situations} + {self.validation_situations}"
            )


@dataclass(frozen=True, eq=False)
class World:
    r"""Prompts, all their responses, the behaviour policy and the users.

    Parameters
    ----------
    spec : WorldSpec
    prompts : tuple of Prompt
        P = 288: every device, problem and situation. Splits hold out combinations, never words.
    right, wrong : ndarray of int, shapes (6, 4) and (4,)
        The fix (index into `grammar.FIXES`) that helps with each (device, problem), and the one people wrongly
        believe to help with each problem.
    mu : ndarray, shape (P, 256)
        Behaviour policy :math:`\mu(y|x)`: a product of slots, each conditional on a feature of the prompt.
    utility : ndarray, shape (P, 256)
        Users' utility :math:`u(x,y)`, dimensionless.

    Examples
    --------
    >>> world = World.build(WorldSpec(seed=0))
    >>> len(world.prompts), world.mu.shape
    (288, (288, 256))
    >>> world.prompts[0].text
    'my printer is slow at home . what should i do ?'
    >>> world.parse(world.prompts[0].text, world.responses(0)[17])
    17
    """

    spec: WorldSpec
    prompts: tuple[Prompt, ...]
    right: np.ndarray
    wrong: np.ndarray
    mu: np.ndarray
    utility: np.ndarray

    @classmethod
    def build(cls, spec: WorldSpec = WorldSpec()) -> World:
        """Draw a world from its spec."""
        right, wrong = draws.facts(_generator(spec, "facts"))
        prompts = draws.prompts(spec.test_situations, spec.validation_situations, _generator(spec, "splits"))
        features = np.array([(p.device, p.problem, p.situation) for p in prompts])
        mu = draws.behaviour(features, _generator(spec, "behaviour"))
        utility = draws.utility(features, _generator(spec, "utility"))
        for array in (right, wrong, mu, utility):
            array.setflags(write=False)
        return cls(spec, prompts, right, wrong, mu, utility)

    @cached_property
    def reward(self) -> np.ndarray:
        """The preference reward :math:`r_p = u/T` that Bradley-Terry labels reveal, shape (P, 256)."""
        return self.utility / self.spec.temperature

    def indices(self, split: Split) -> np.ndarray:
        """Prompts of a split, as row numbers of `mu` and `utility`."""
        return np.array([i for i, prompt in enumerate(self.prompts) if prompt.split == split])

    def responses(self, prompt: int) -> tuple[str, ...]:
        """All 256 responses to a prompt, in the order of the columns of `mu`."""
        return self._responses[self.prompts[prompt].device, self.prompts[prompt].problem]

    def index(self, prompt: str) -> int:
        """Row number of a prompt's text; ValueError for a text that is no prompt of this world."""
        try:
            return self._rows[prompt]
        except KeyError:
            close = difflib.get_close_matches(prompt, self._rows, n=1, cutoff=0.0)[0]
            raise ValueError(f"{prompt!r} is no prompt of the oracle world; the nearest is {close!r}") from None

    def parse(self, prompt: str, text: str) -> int | None:
        """Column of a response's text, None if it is off the grammar. White space does not count."""
        facts = self.prompts[self.index(prompt)]
        return self._columns[facts.device, facts.problem].get(" ".join(text.split()))

    def vocabulary(self) -> list[str]:
        """Every token of the world, sorted; the tokens of a text are ``text.split()``."""
        texts = [prompt.text for prompt in self.prompts]
        texts += [text for everything in self._responses.values() for text in everything]
        return sorted({word for text in texts for word in text.split()} | set(FIXES))

    def corpus(self, n: int, seed: int = 0) -> list[dict[str, str]]:
        """``id, prompt, response``: prompts uniform over the training split, responses from `mu`."""
        rng = _generator(self.spec, "corpus", seed)
        rows = rng.choice(self.indices("train"), n)
        return [
            {"id": f"corpus-{i:06d}", "prompt": self.prompts[x].text, "response": self.responses(x)[y]}
            for i, (x, y) in enumerate(zip(rows, self._draw(rows, rng), strict=True))
        ]

    def pairs(self, n: int, seed: int = 0) -> list[dict[str, str]]:
        r"""``id, prompt, chosen, rejected``: one Bradley-Terry label of one user for each pair.

        Prompts are uniform over the training split; the two responses are independent draws from `mu`, both
        drawn again until they differ: :math:`P(y_1, y_2|x) \propto \mu(y_1|x)\,\mu(y_2|x)\,1[y_1 \ne y_2]`;
        the first is chosen with probability :math:`\sigma((u_1 - u_2)/T)`.
        """
        rng = _generator(self.spec, "pairs", seed)
        rows = rng.choice(self.indices("train"), n)
        first, second = self._draw(rows, rng), self._draw(rows, rng)
        while (equal := first == second).any():
            first[equal], second[equal] = self._draw(rows[equal], rng), self._draw(rows[equal], rng)
        margin = self.reward[rows, first] - self.reward[rows, second]
        wins = rng.random(n) < 1.0 / (1.0 + np.exp(-margin))
        chosen, rejected = np.where(wins, first, second), np.where(wins, second, first)
        return [
            {
                "id": f"pair-{i:06d}",
                "prompt": self.prompts[x].text,
                "chosen": self.responses(x)[won],
                "rejected": self.responses(x)[lost],
            }
            for i, (x, won, lost) in enumerate(zip(rows, chosen, rejected, strict=True))
        ]

    def evaluation(self, split: Split) -> list[dict[str, str]]:
        """``id, prompt, reference``: every prompt of a split once, with a reference response from `mu`."""
        rows = self.indices(split)
        references = self._draw(rows, _generator(self.spec, f"evaluation {split}"))
        return [
            {"id": self.prompts[x].id, "prompt": self.prompts[x].text, "reference": self.responses(x)[y]}
            for x, y in zip(rows, references, strict=True)
        ]

    def labelled_texts(self, n: int, seed: int = 0) -> list[dict[str, str | int]]:
        """``id, text`` and one 0/1 column for each of `CATEGORIES`, to train a toxicity classifier on.

        Half of the texts are responses to training prompts, uniform over the 256, the other half 1 to 24
        words of the vocabulary in any order, so that a classifier has seen text off the grammar. A text is
        toxic with probability `grammar.nominal_toxicity`; a toxic one is an insult if it holds an
        insult (level 0.9), and severely toxic if it holds two. No text is obscene, a threat or an attack on an
        identity. Every label is then flipped with probability ``label_noise``.
        """
        rng = _generator(self.spec, "labelled texts", seed)
        rows = rng.choice(self.indices("train"), n)
        columns = rng.integers(self.mu.shape[1], size=n)
        lengths = rng.integers(1, 25, size=n)
        vocabulary = np.array(self.vocabulary())
        texts = [
            self.responses(x)[y] if i % 2 == 0 else " ".join(rng.choice(vocabulary, length))
            for i, (x, y, length) in enumerate(zip(rows, columns, lengths, strict=True))
        ]
        insults = np.array([len(set(text.split()) & grammar.INSULTS) for text in texts])
        toxic = rng.random(n) < np.array([grammar.nominal_toxicity(text) for text in texts])
        labels = np.zeros((n, len(CATEGORIES)), dtype=bool)
        labels[:, CATEGORIES.index("toxicity")] = toxic
        labels[:, CATEGORIES.index("insult")] = toxic & (insults >= 1)
        labels[:, CATEGORIES.index("severe_toxicity")] = toxic & (insults >= 2)
        labels ^= rng.random(labels.shape) < self.spec.label_noise
        return [
            {"id": f"text-{i:06d}", "text": text, **dict(zip(CATEGORIES, map(int, row), strict=True))}
            for i, (text, row) in enumerate(zip(texts, labels, strict=True))
        ]

    @cached_property
    def _responses(self) -> dict[tuple[int, int], tuple[str, ...]]:
        return {
            (d, p): grammar.responses(FIXES[self.right[d, p]], FIXES[self.wrong[p]])
            for d in range(len(DEVICES))
            for p in range(len(PROBLEMS))
        }

    @cached_property
    def _columns(self) -> dict[tuple[int, int], dict[str, int]]:
        return {fact: {text: y for y, text in enumerate(texts)} for fact, texts in self._responses.items()}

    @cached_property
    def _rows(self) -> dict[str, int]:
        return {prompt.text: i for i, prompt in enumerate(self.prompts)}

    def _draw(self, rows: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """One response from `mu` for each row number, by inverting its cumulative distribution."""
        cumulative = np.cumsum(self.mu, axis=1)
        cumulative = cumulative / cumulative[:, -1:] + np.arange(len(self.mu))[:, None]  # all rows, one above the other
        columns: np.ndarray = np.searchsorted(cumulative.ravel(), rows + rng.random(len(rows)))
        columns = columns - rows * self.mu.shape[1]
        return columns


def _generator(spec: WorldSpec, purpose: str, seed: int = 0) -> np.random.Generator:
    """A separate generator for every purpose, so that one draw never changes another."""
    return np.random.default_rng([spec.seed, zlib.crc32(purpose.encode()), seed])

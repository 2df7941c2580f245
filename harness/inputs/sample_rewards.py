"""The reward of a policy's own samples: what users want and, times a weight, what the designer wants."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.inputs.designer_rewards import DeclaredReward, Scorers, designer_values, objective_of
from harness.inputs.judges import judge_kind, judge_setup
from suites.judges.registry import Reward
from suites.objectives import training_reward
from trainers.tokens.dialogue import Text, readable

if TYPE_CHECKING:
    import numpy as np

    from suites.oracle.world import World


@dataclass(frozen=True)
class SampleReward:
    """r = u + w·R of sampled texts.

    Off the grammar of the oracle world a text has the worst value of every objective, as in the closed forms; so
    has a text whose designer objective cannot be measured.

    Parameters
    ----------
    user : callable
        u: the judge's own scale.
    objectives : mapping of str to float
        Designer objectives and their weights in R.
    declared : mapping of str to DeclaredReward
        The same objectives as their suites declare them.
    weight : float
        w; with 0 the designer's objectives are not even measured.
    scorers : Scorers
        What the objectives' functions need.
    world : World or None
        The oracle world, if the texts are of it.
    """

    user: Reward
    objectives: Mapping[str, float]
    declared: Mapping[str, DeclaredReward]
    weight: float
    scorers: Scorers = Scorers()
    world: World | None = None

    def __call__(self, prompts: Sequence[Text], responses: Sequence[str]) -> np.ndarray:
        import numpy as np

        total = self.user(prompts, responses)
        if not self.weight:
            return total
        columns = self._designer(prompts, responses)
        weighted = (weight * column for weight, column in zip(self.objectives.values(), columns, strict=True))
        return total + self.weight * sum(weighted, start=np.zeros(len(responses)))

    @property
    def objective_weights(self) -> list[float]:
        """Weights of the columns of `by_objective`: 1 for the users', w times its weight in R for each objective."""
        return [1.0, *(self.weight * weight for weight in self.objectives.values() if self.weight)]

    def by_objective(self, prompts: Sequence[Text], responses: Sequence[str]) -> np.ndarray:
        """u and, unless w is 0, each designer objective, unweighted, shape (n, M)."""
        import numpy as np

        designer = self._designer(prompts, responses) if self.weight else []
        return np.stack([self.user(prompts, responses), *designer], axis=1)

    def _designer(self, prompts: Sequence[Text], responses: Sequence[str]) -> list[np.ndarray]:
        """A reward in [0, 1] for each objective and text."""
        import numpy as np

        on_grammar = np.ones(len(responses), bool)
        if self.world is not None:
            parsed = [self.world.parse(readable(prompt), text) for prompt, text in zip(prompts, responses, strict=True)]
            on_grammar = np.array([choice is not None for choice in parsed])
        columns, asked = [], [readable(prompt) for prompt in prompts]
        for name in self.objectives:
            declared = self.declared[name]
            values = designer_values(name, declared, asked, responses, self.scorers)
            objective = objective_of(name, declared)
            rewards = np.array([0.0 if value is None else training_reward(objective, value) for value in values])
            columns.append(np.where(on_grammar, rewards, 0.0))
        return columns


def user_reward(parameters: Mapping[str, Any], inputs: Mapping[str, Path], data: Path, device: str) -> Reward:
    """The users' reward by the stage's judge: the oracle world's own, or a reward model's."""
    kind = judge_kind(parameters)
    if kind.reward is None:
        raise ValueError(f"a judge of kind {kind.name!r} compares responses and gives no reward")
    return kind.reward(judge_setup(parameters, inputs, data, device))

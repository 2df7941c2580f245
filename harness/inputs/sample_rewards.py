"""The reward of a policy's own samples: what users want and, times a weight, what the designer wants."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from harness.inputs.designer_rewards import DeclaredReward, designer_values, objective_of
from harness.inputs.reward_models import reward_model
from suites.objectives import training_reward

if TYPE_CHECKING:
    import numpy as np

    from suites.judges.reward_model import RewardModelJudge

Reward = Callable[[Sequence[str], Sequence[str]], "np.ndarray"]
"""From prompts and responses to a number for each."""


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
    toxicity : path, str or None
        The toxicity scorer, if R has one.
    world : World or None
        The oracle world, if the texts are of it.
    device : str
        Where the scorer runs.
    """

    user: Reward
    objectives: Mapping[str, float]
    declared: Mapping[str, DeclaredReward]
    weight: float
    toxicity: Path | str | None = None
    world: object | None = None
    device: str = "cpu"

    def __call__(self, prompts: Sequence[str], responses: Sequence[str]) -> np.ndarray:
        total = self.user(prompts, responses)
        return total + self.weight * self._designer(prompts, responses) if self.weight else total

    def _designer(self, prompts: Sequence[str], responses: Sequence[str]) -> np.ndarray:
        import numpy as np

        total = np.zeros(len(responses))
        for name, weight in self.objectives.items():
            declared = self.declared[name]
            values = designer_values(declared, responses, self.toxicity, self.device)
            objective = objective_of(name, declared)
            rewards = [0.0 if value is None else training_reward(objective, value) for value in values]
            total += weight * np.array(rewards)
        if self.world is None:
            return total
        on_grammar = [self.world.parse(*texts) is not None for texts in zip(prompts, responses, strict=True)]
        return np.where(on_grammar, total, 0.0)


def user_reward(parameters: Mapping, inputs: Mapping[str, Path], world, device: str) -> Reward:
    """What a stage takes for the users' reward: the oracle world's own, a trained judge's, or a named reward model's."""
    if parameters["judge"] == "oracle":
        return oracle_reward(world)
    return judge_reward(reward_model(parameters, inputs, device))


def oracle_reward(world) -> Reward:
    """r_p of the oracle world's users, exactly; the prompt's lowest for a text off the grammar.

    Examples
    --------
    >>> from suites.oracle.world import World
    >>> world = World.build()
    >>> prompt, response = world.prompts[0].text, world.responses(0)[3]
    >>> rewards = oracle_reward(world)([prompt, prompt], [response, "hm"])
    >>> bool(rewards[0] == world.reward[0, 3]), bool(rewards[1] == world.reward[0].min())
    (True, True)
    """

    def rewards(prompts: Sequence[str], responses: Sequence[str]) -> np.ndarray:
        import numpy as np

        rows = [world.index(prompt) for prompt in prompts]
        columns = [world.parse(*texts) for texts in zip(prompts, responses, strict=True)]
        return np.array(
            [
                world.reward[row].min() if column is None else world.reward[row, column]
                for row, column in zip(rows, columns, strict=True)
            ]
        )

    return rewards


def judge_reward(judge: RewardModelJudge) -> Reward:
    """The scalar reward of a Bradley-Terry reward model."""
    import numpy as np

    def rewards(prompts: Sequence[str], responses: Sequence[str]) -> np.ndarray:
        return np.array(judge.score(prompts, responses))

    return rewards

"""Command ``python -m suites.oracle [seed]``: an example exchange, and the optimal policies computed without training."""

from __future__ import annotations

import argparse
from collections.abc import Callable

import numpy as np

from harness.records import Objective
from suites.oracle.exact import gap, hypervolume_share
from suites.oracle.frontier import Problem, frontier_points
from suites.oracle.grammar import nominal_toxicity
from suites.oracle.tasks import expected_accuracy
from suites.oracle.truth import Array, dpo_target, expectation, kl, modpo_target, upo_target
from suites.oracle.world import World, WorldSpec

WIN_RATE = Objective("win_rate", "Win rate against mu", "maximize", "probability", (0.0, 1.0), "user")
TOXICITY = Objective("toxicity", "Nominal toxicity", "minimize", "probability", (0.0, 1.0))
READABILITY = Objective("readability", "clip((9 - Coleman-Liau grade)/5, 0, 1)", "maximize", "reward", (0.0, 1.0))
"""Designer objectives that need no trained scorer; an experiment uses those of its scorers."""


def stand_in_problem(world: World) -> Problem:
    """The world with word-list toxicity and textstat's Coleman-Liau index as designer objectives."""
    import textstat

    def table(score: Callable[[str], float]) -> Array:
        return np.array([[score(text) for text in world.responses(x)] for x in range(len(world.prompts))])

    grade = table(textstat.coleman_liau_index)
    readability = np.clip((9.0 - grade) / 5.0, 0.0, 1.0)
    return Problem.build(
        world.mu, world.reward, WIN_RATE, {TOXICITY: table(nominal_toxicity), READABILITY: readability}
    )


def targets(problem: Problem, reward: Array) -> dict[str, Array]:
    """Targets of some methods; R is the mean of safety (1 - toxicity) and readability."""
    mu, designer = problem.mu, problem.values[1:].mean(axis=0)
    return {
        "mu": mu,
        **{f"DPO beta={b}": dpo_target(mu, reward, b) for b in (1.0, 0.5, 0.3)},
        **{f"MODPO beta=0.5 w0={w}": modpo_target(mu, reward, 0.5, w, (1 - w) * designer) for w in (0.7, 0.5, 0.3)},
        **{f"UPO beta=0.5 lambda={lam}": upo_target(mu, reward, 0.5, lam, designer) for lam in (1, 3, 5)},
    }


def main(seed: int = 0) -> None:
    world = World.build(WorldSpec(seed=seed))
    pair = world.pairs(1)[0]
    print(f"asked     {pair['prompt']}\nchosen    {pair['chosen']}\nrejected  {pair['rejected']}\n")

    rows = world.indices("test")
    problem, reward = stand_in_problem(world).at(rows), world.reward[rows]
    lengths = np.array([[len(text.split()) + 1 for text in world.responses(x)] for x in rows])
    print("| policy | win rate | toxicity | readability | accuracy | tokens | KL | gap | hypervolume share |")
    print("|---|---|---|---|---|---|---|---|---|")
    for name, policy in targets(problem, reward).items():
        scaled, divergence = expectation(policy, problem.values), kl(policy, problem.mu)
        figures = [*problem.unscale(scaled), expected_accuracy(policy), expectation(policy, lengths), divergence]
        figures += [gap(scaled, divergence, problem), hypervolume_share(scaled, divergence, problem)]
        print(f"| {name} | " + " | ".join(f"{figure:.3f}" for figure in figures) + " |")

    print("\nTrue frontier of win rate and toxicity:\n\n| KL budget | win rate | toxicity |\n|---|---|---|")
    plane = Problem(problem.mu, problem.objectives[:2], problem.raw[:2])
    for budget in (0.1, 0.5, 1.5):
        for win_rate, toxicity in plane.unscale(frontier_points(plane, budget, 5)):
            print(f"| {budget} | {win_rate:.3f} | {toxicity:.3f} |")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m suites.oracle", description=(__doc__ or "").partition(": ")[2])
    parser.add_argument("seed", type=int, nargs="?", default=0, help="of the world")
    main(parser.parse_args().seed)

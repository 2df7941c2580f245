r"""Population target of a method in the oracle world: the policy at the minimum of its loss over all responses.

A method's derivation names an optimum (`suites.oracle.truth`); the loss that is run need not have its minimum there.
Here a policy is a table of logits over a prompt's enumerated responses, and the loss is exact,

.. math:: L(\pi) = \sum_i p_i\, \ell_i(\log \pi),

over pairs :math:`i = (y_w, y_l)` with :math:`p_i \propto \mu(y_w)\,\mu(y_l)\,\sigma(r_p(y_w) - r_p(y_l))`, or, for a
method that learns from single responses, over the responses of these pairs with their labels. Prompts do not share
parameters and are solved one by one in float64. The distance of a trained policy from this target is a matter of
optimisation; the distance of this target from the derivation's is a matter of the loss.

``python -m harness.inputs.population_target`` prints the targets of docs/oracle.md.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass

import numpy as np
import torch
from scipy.optimize import minimize
from torch import Tensor

from suites.oracle.__main__ import stand_in_problem
from suites.oracle.truth import dpo_target, expectation, kl, modpo_target, upo_target
from suites.oracle.world import World, WorldSpec
from trainers.methods import Method, create, methods
from trainers.methods.dpo import DPO
from trainers.methods.interface import ABSENT, MethodBatch
from trainers.methods.kto import KTO
from trainers.methods.modpo import MODPO
from trainers.methods.upo import UPO

ITERATIONS = 1000
STATIONARY = 1e-5
"""Largest total variation between a policy and the one that a further gradient step of size 1 / max |gradient|
would give, at which a minimum counts as found."""


@dataclass(frozen=True, eq=False)
class PopulationTarget:
    """Policies at the minimum of a population loss.

    Parameters
    ----------
    policy : ndarray, shape (P, Y)
    stationary : ndarray of bool, shape (P,)
        Whether the loss has a minimum there, up to the solver's tolerance; a loss without a minimum, such as a hinge
        that is 0 beyond its margin, ends where the solver stopped.
    """

    policy: np.ndarray
    stationary: np.ndarray


def why_not(method: Method) -> str | None:
    """Reason why a method has no population target over single prompts; None where it has one."""
    needs = method.needs
    reasons = {
        "it learns from samples of the policy itself": needs.on_policy,
        "its loss is on single tokens": needs.token_level,
        "it needs a response of the base model": needs.base_responses,
        "it needs prompt embeddings": needs.embeddings,
        "it needs several reference models": needs.references > 1,
        "its reference moves with the policy": needs.reference_update is not None,
        f"it has a task of its own ({needs.task.name if needs.task else ''})": needs.task is not None,
        "its loss couples examples": needs.couples_examples and not needs.mismatched,
    }
    return next((reason for reason, holds in reasons.items() if holds), None)


def population_target(
    method: Method, mu: np.ndarray, reward: np.ndarray, designer: np.ndarray, lengths: np.ndarray
) -> PopulationTarget:
    """Minimise a method's population loss for every prompt.

    The reference is `mu`. V(x) is the expectile of the rewards that the method teaches it, or, where it follows the
    policy, minimised beside it. KTO's baseline z₀ is that of mismatched responses with log-ratios below 0: z₀ = 0.

    Parameters
    ----------
    method : Method
    mu : ndarray, shape (P, Y)
        The behaviour policy.
    reward : ndarray, shape (P, Y)
        r_p, the Bradley–Terry reward, nats.
    designer : ndarray, shape (P, Y)
        R, the weighted sum of designer rewards.
    lengths : ndarray of int, shape (P, Y)
        Tokens of every response, end of sequence included.

    Raises
    ------
    ValueError
        For a method without such a target; see `why_not`.

    Examples
    --------
    DPO's is the optimum that its derivation names:

    >>> from suites.oracle.truth import dpo_target
    >>> from trainers.methods import create
    >>> mu, reward = np.array([[0.5, 0.3, 0.2]]), np.array([[0.0, 1.0, -1.0]])
    >>> found = population_target(create("dpo", beta=0.5), mu, reward, np.zeros((1, 3)), np.full((1, 3), 4))
    >>> bool(np.abs(found.policy - dpo_target(mu, reward, 0.5)).max() < 1e-5)
    True
    """
    if reason := why_not(method):
        raise ValueError(f"{type(method).__name__} has no population target: {reason}")
    solved = [_solve(method, *prompt) for prompt in zip(mu, reward, designer, lengths, strict=True)]
    return PopulationTarget(np.stack([policy for policy, _ in solved]), np.array([ends for _, ends in solved]))


def expectile(values: np.ndarray, probability: np.ndarray, tau: float) -> float:
    """τ-expectile of a distribution: Σ p·|τ − 1(e < 0)|·e = 0 for e = values − V.

    Examples
    --------
    >>> round(expectile(np.array([0.0, 1.0]), np.array([0.5, 0.5]), 0.7), 9)
    0.7
    """
    value = float(values @ probability)
    for _ in range(200):  # a Newton step on a piecewise linear equation: exact once the signs are right
        weights = probability * np.where(values < value, 1 - tau, tau)
        value, before = float(weights @ values / weights.sum()), value
        if value == before:
            break
    return value


def _solve(
    method: Method, mu: np.ndarray, reward: np.ndarray, designer: np.ndarray, lengths: np.ndarray
) -> tuple[np.ndarray, bool]:
    """The policy at the minimum for one prompt, and whether it is one."""
    population = pairs(mu, reward)
    if not method.needs.pairs:
        population = singles(*population)
    batch = _Population(method, mu, designer, lengths, *population)
    start = np.concatenate([np.log(mu), [batch.value]])
    if "sg[" in (type(method).__doc__ or ""):
        # The gradient is deliberately not the loss's derivative, so that a line search would find no descent.
        end = batch.descend(start)
    else:
        end = minimize(
            batch.loss, start, jac=True, method="L-BFGS-B",
            options={"maxiter": ITERATIONS, "maxfun": 2 * ITERATIONS, "ftol": 1e-14, "gtol": 1e-8},
        ).x  # fmt: skip
    policy = np.exp(end[:-1] - np.logaddexp.reduce(end[:-1]))
    return policy, batch.is_stationary(end)


def pairs(mu: np.ndarray, reward: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """All pairs of different responses: responses (N, 2), labels (N, 2), probabilities (N,)."""
    chosen, rejected = np.nonzero(~np.eye(len(mu), dtype=bool))
    probability = mu[chosen] * mu[rejected] / (1 + np.exp(reward[rejected] - reward[chosen]))
    responses = np.stack([chosen, rejected], axis=1)
    return responses, np.tile([True, False], (len(responses), 1)), probability / probability.sum()


def singles(
    responses: np.ndarray, labels: np.ndarray, probability: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The responses of pairs with their labels: responses (N, 1), labels (N, 1), probabilities (N,)."""
    n = int(responses.max()) + 1
    masses = [np.bincount(responses[:, side], probability / 2, n) for side in (0, 1)]
    return np.tile(np.arange(n), 2)[:, None], np.repeat([True, False], n)[:, None], np.concatenate(masses)


class _Population:
    """The population loss of one prompt as a function of the logits of its responses and V(x)."""

    def __init__(
        self, method: Method, mu: np.ndarray, designer: np.ndarray, lengths: np.ndarray,
        responses: np.ndarray, labels: np.ndarray, probability: np.ndarray,
    ) -> None:  # fmt: skip
        self.method = method
        self.responses = torch.from_numpy(responses)
        self.labels, self.probability = torch.from_numpy(labels), torch.from_numpy(probability)
        self.reference = torch.from_numpy(np.log(mu))[self.responses]
        self.rewards = torch.from_numpy(designer)[self.responses]
        self.lengths = torch.from_numpy(lengths.astype(float))[self.responses]
        self.zeros = torch.zeros(len(responses), dtype=torch.float64)
        fit = method.needs.value_fit
        self.value = expectile(designer, mu, fit.expectile if fit else 0.5)
        self.value_is_free = fit is None or fit.follows_policy

    def loss(self, parameters: np.ndarray) -> tuple[float, np.ndarray]:
        """Loss and gradient."""
        leaf = torch.from_numpy(parameters).requires_grad_()
        loss = (self.probability * self.method.loss(self._batch(leaf)).per_example).sum()
        (gradient,) = torch.autograd.grad(loss, leaf)
        if not self.value_is_free:
            gradient[-1] = 0.0
        return loss.item(), gradient.numpy()

    def _batch(self, leaf: Tensor) -> MethodBatch:
        needs = self.method.needs
        return MethodBatch(
            logps=torch.log_softmax(leaf[:-1], 0)[self.responses],
            lengths=self.lengths,
            desirable=self.labels,
            reference=self.reference if needs.references else ABSENT,
            mismatched=self.zeros if needs.mismatched else None,
            mismatched_reference=self.zeros if needs.mismatched else None,
            rewards=self.rewards if needs.rewards else ABSENT,
            values=leaf[-1].expand(len(self.responses)) if needs.values else ABSENT,
            step=1 << 30,
        )

    def descend(self, start: np.ndarray) -> np.ndarray:
        """Where the gradient field leads: Adam with a falling rate."""
        parameters = torch.from_numpy(start).requires_grad_()
        optimizer = torch.optim.Adam([parameters], lr=0.05)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, ITERATIONS)
        for _ in range(ITERATIONS):
            parameters.grad = torch.from_numpy(self.loss(parameters.detach().numpy())[1])
            optimizer.step()
            schedule.step()
        return parameters.detach().numpy()

    def is_stationary(self, parameters: np.ndarray) -> bool:
        """Whether the gradient vanishes beside the policy's probabilities."""
        _, gradient = self.loss(parameters)
        return bool(np.abs(gradient).sum() < STATIONARY)


def report(seed: int, prompts: int, every: bool) -> None:
    """Print the targets of UPO and of what it is compared with, or of every method at its defaults."""
    world = World.build(WorldSpec(seed=seed))
    rows = world.indices("test")[:prompts]
    problem, reward = stand_in_problem(world).at(rows), world.reward[rows]
    designer = problem.values[1:].mean(axis=0)
    lengths = np.array([[len(text.split()) + 1 for text in world.responses(row)] for row in rows])
    print("| method | win rate | toxicity | readability | KL | difference | KL from the derivation's |")
    print("|---|---|---|---|---|---|---|")
    entries = {name: create(name) for name in methods()} if every else SHOWN
    for label, method in entries.items():
        if reason := why_not(method):
            print(f"| {label} | none: {reason} | | | | | |")
            continue
        target = population_target(method, problem.mu, reward, designer, lengths)
        values = expectation(target.policy, problem.values)
        figures = [*problem.unscale(values), kl(target.policy, problem.mu)]
        derived = derivation_target(method, problem.mu, reward, designer)
        if derived is not None:
            figures += [np.abs(values - expectation(derived, problem.values)).max(), kl(target.policy, derived)]
        cells = [f"{figure:.3f}" for figure in figures] + ["–"] * (6 - len(figures))
        mark = "" if target.stationary.all() else f" ({target.stationary.mean():.0%} stationary)"
        print(f"| {label}{mark} | {' | '.join(cells)} |", flush=True)


def derivation_target(method: Method, mu: np.ndarray, reward: np.ndarray, designer: np.ndarray) -> np.ndarray | None:
    """The optimum that a method's derivation names; None where none is known."""
    match method:
        case DPO() | KTO():
            return dpo_target(mu, reward, method.beta)
        case MODPO():
            return modpo_target(mu, reward, method.beta, 1 - method.weight, method.weight * designer)
        case UPO():
            return upo_target(mu, reward, method.preference_beta, method.inverse_temperature, designer)
    return None


SHOWN: dict[str, Method] = {
    **{f"DPO β = {beta}": create("dpo", beta=beta) for beta in (0.1, 0.5)},
    "MODPO β = 0.5, w = 0.5": create("modpo", beta=0.5, weight=0.5),
    **{f"KTO β = {beta}": create("kto", beta=beta) for beta in (0.1, 0.5)},
    **{f"KTO + SFT γ = {gamma}": create("kto_sft", gamma=gamma) for gamma in (0.05, 0.5)},
    **{f"UPO γ = {gamma}": create("upo", gamma=gamma) for gamma in (0.05, 0.15, 0.5, 1.5)},
    **{
        f"UPO on DPO β = 0.5, γ = {gamma}": create("upo", gamma=gamma, base="dpo", base_parameters={"beta": 0.5})
        for gamma in (0.05, 0.5)
    },
}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m harness.inputs.population_target")
    parser.add_argument("seed", type=int, nargs="?", default=0, help="of the world")
    parser.add_argument("--prompts", type=int, default=8, help="how many of the test prompts")
    parser.add_argument("--every", action="store_true", help="every method at its defaults")
    arguments = parser.parse_args()
    report(arguments.seed, arguments.prompts, arguments.every)

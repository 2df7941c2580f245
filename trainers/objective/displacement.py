"""Displacement of a policy: figures that show whether a run is sound."""

from __future__ import annotations

import numpy as np

from trainers.data.encoded import Encoded


def displacement(
    encoded: Encoded, desirable: np.ndarray, start: np.ndarray, end: np.ndarray, rewards: np.ndarray | None = None
) -> dict[str, float]:
    """Compare a policy with where it started, on the same responses.

    Parameters
    ----------
    encoded : Encoded
        N examples with K responses.
    desirable : ndarray of bool, shape (N, K)
        Where K > 1 responses have no label, as in groups, all False; figures about labels are left out.
    start, end : ndarray, shape (N, K)
        SUM log-probabilities of the responses before and after training, nats.
    rewards : ndarray, shape (N, K), optional
        Designer rewards.

    Returns
    -------
    dict of float
        ``chosen_logp_change`` and ``rejected_logp_change``: mean change of log-probability of the
        desirable and the undesirable responses, nats; that the first falls is likelihood displacement.
        ``delta``: mean of Δ, the chosen's change minus the rejected's, nats, and ``reward_accuracy``: the
        share of pairs where it is positive (pairs only). With rewards also ``delta_contradicted`` and
        ``delta_supported``: the mean of Δ where the chosen response has the lower and the higher reward.
        ``kl_per_token``: mean of log π_start − log π per response token over chosen and rejected, nats.
        Where the data is drawn from the starting policy it estimates KL(π_start ‖ π).

    Examples
    --------
    >>> tokens, prompts = np.zeros(5, np.int32), np.array([[0, 1]])
    >>> responses, complete = np.array([[[1, 2], [3, 2]]]), np.ones((1, 2), bool)
    >>> pair = Encoded(["a"], ("chosen", "rejected"), tokens, prompts, responses, complete, np.arange(1))
    >>> figures = displacement(pair, np.array([[True, False]]), np.array([[-3.0, -3.0]]), np.array([[-4.0, -6.0]]))
    >>> figures["chosen_logp_change"], figures["rejected_logp_change"], figures["delta"], figures["kl_per_token"]
    (-1.0, -3.0, 2.0, 1.0)
    """
    change = (end - start).astype(float)
    figures = {"kl_per_token": float(-change.sum() / encoded.lengths.sum())}
    if change.shape[1] > 1 and not desirable.any():
        return figures
    for name, side in (("chosen", desirable), ("rejected", ~desirable)):
        if side.any():
            figures[f"{name}_logp_change"] = float(change[side].mean())
    if change.shape[1] > 1:
        delta = change[:, 0] - change[:, 1]
        figures |= {"delta": float(delta.mean()), "reward_accuracy": float((delta > 0).mean())}
        for name, side in _by_reward(rewards):
            if side.any():
                figures[f"delta_{name}"] = float(delta[side].mean())
    return dict(sorted(figures.items()))


def _by_reward(rewards: np.ndarray | None) -> list[tuple[str, np.ndarray]]:
    """Which pairs' labels the designer reward contradicts or supports; ties are neither."""
    if rewards is None:
        return []
    difference = rewards[:, 0] - rewards[:, 1]
    return [("contradicted", difference < 0), ("supported", difference > 0)]

"""Parameters of the stage that measures a policy for the unseen users of a population."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from harness.spec.experiment import Experiment
from harness.spec.users import Kind
from suites.decoding.registry import kinds

PLAIN = Kind(kind="plain")


def settings_of_kind(experiment: Experiment, decoding: Kind) -> dict[str, Any]:
    """A decoding kind's settings; temperature and nucleus are the experiment's where it has them and states none."""
    own = {field.name for field in fields(kinds()[decoding.kind])} & {"temperature", "top_p"}
    if hasattr(kinds()[decoding.kind], "mix"):
        return {**{name: getattr(experiment.decoding, name) for name in sorted(own)}, **decoding.model_dump()}
    return decoding.model_dump()


def users_parameters(
    experiment: Experiment, decoding: Kind = PLAIN, steer: Kind | None = None, context: int = 0, seed: int = 0
) -> tuple[Mapping[str, Any], tuple[str, ...]]:
    """Parameters of ``score_steer`` and the modules of its kinds; without a steer kind all users have one policy."""
    from harness.inputs.steering.registry import steer_kinds

    parameters = {
        "context": context,
        "beta": experiment.users.beta,
        "prompts": experiment.users.prompts,
        "decoding": settings_of_kind(experiment, decoding),
        "steer": steer.model_dump() if steer else None,
        "seed": seed,
    }
    modules = [kinds()[decoding.kind].__module__, *([steer_kinds()[steer.kind].__module__] if steer else [])]
    return parameters, tuple(modules)

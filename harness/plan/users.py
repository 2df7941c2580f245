"""Cells of policies that are decoded or steered for the unseen users of a population, and their checks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from harness.errors import UsageError, nearest
from harness.plan.entries import EntryCell
from harness.plan.judging import judge_inputs
from harness.plan.policies import PolicyStages, Trial
from harness.plan.stage import Source, Stage
from harness.plan.user_parameters import settings_of_kind, users_parameters
from harness.spec.data import OracleData
from harness.spec.experiment import BASE, Experiment
from harness.spec.methods import EACH
from harness.spec.users import Decoded, Kind
from suites.decoding.registry import kinds
from suites.judges.registry import judges
from suites.oracle.population import PopulationSpec


def check_users(experiment: Experiment) -> None:
    """Raise `UsageError` for the first entry that cannot be decoded or steered."""
    data = experiment.data
    has_population = isinstance(data, OracleData) and data.population is not None
    if "steer" in experiment.suites and not has_population:
        raise UsageError("suites: 'steer' needs users; add data.population, which the oracle world alone has")
    if isinstance(data, OracleData) and data.population is not None:
        _require_contexts(max(experiment.users.contexts), PopulationSpec(**data.population).context)
    for name, entry in experiment.decoded.items():
        section = f"methods.{name}"
        for key, fault in _faults(section, experiment, entry):
            raise UsageError(f"{section}{key}: {fault}")


def refuse_vllm(experiment: Experiment) -> None:
    """Raise `UsageError` for the first entry that needs several contexts or policies of its users, where vLLM decodes."""
    from harness.inputs.steering.registry import steer_kinds

    if experiment.decoding.backend != "vllm":
        return
    for name, entry in experiment.decoded.items():
        kind = kinds().get(entry.decoding.kind)
        if kind is not None and kind.contexts > 1:
            raise UsageError(
                f"methods.{name}.decoding: vLLM reads one context at each step, and {entry.decoding.kind} needs "
                f"{kind.contexts}; set decoding.backend: hf"
            )
        if entry.steer is not None and "policies" in getattr(steer_kinds().get(entry.steer.kind), "gives", ()):
            raise UsageError(
                f"methods.{name}.steer: vLLM decodes checkpoints as they are, and {entry.steer.kind} makes a policy of "
                "each user; set decoding.backend: hf"
            )


def _require_contexts(largest: int, pairs: int) -> None:
    if largest > pairs:
        raise UsageError(
            f"users.contexts: {largest} pairs are more than the {pairs} of each user; raise data.population.context"
        )


def _faults(section: str, experiment: Experiment, entry: Decoded) -> Iterator[tuple[str, str]]:
    from harness.inputs.steering.registry import steer_kinds

    yield from _kind_faults(section, ".decoding", "decoding kind", entry.decoding, kinds())
    gives: tuple[str, ...] = ()
    judge = experiment.judge
    if entry.steer is not None:
        yield from _kind_faults(section, ".steer", "steer kind", entry.steer, steer_kinds())
        gives = steer_kinds()[entry.steer.kind].gives
    kind = kinds()[entry.decoding.kind]
    stated = {"weights": "weights", "frame": "instruction"}
    if entry.steer is None and judge is not None and judges()[judge.kind].reward is not None:
        gives = ("reward",)
    for need in kind.needs:
        if need not in gives and stated.get(need) not in entry.decoding.settings:
            giving = sorted(name for name, steer in steer_kinds().items() if need in steer.gives)
            own = f", or decoding.{stated[need]}" if need in stated else ""
            yield (
                ".steer",
                f"{entry.decoding.kind} needs a user's {need}; add steer: {{kind: {' or '.join(giving)}}}{own}",
            )
    yield from _role_faults(experiment, entry, kind)
    if entry.steer is None and entry.decoding.kind == "prefix_score":
        yield ".steer", "is missing: the exact value of a prefix is known for the users of a population alone"
    if entry.steer is not None and "steer" not in experiment.suites:
        yield ".steer", "is measured by the suite 'steer'; add it to 'suites'"


def _kind_faults(
    section: str, key: str, what: str, stated: Kind, registered: Mapping[str, type]
) -> Iterator[tuple[str, str]]:
    from harness.plan.check import build

    if stated.kind not in registered:
        yield f"{key}.kind", f"unknown {what} {stated.kind!r}{nearest(stated.kind, registered)}"
    build(f"{section}{key}", registered[stated.kind], stated.settings)


def _role_faults(experiment: Experiment, entry: Decoded, kind: Any) -> Iterator[tuple[str, str]]:
    data = experiment.data
    roles = kind.roles
    if roles is None:
        population = data.population if isinstance(data, OracleData) else None
        roles = tuple(entry.decoding.settings.get("weights") or PopulationSpec(**(population or {})).tastes)
    for role in entry.policies:
        if role not in roles:
            yield ".policies", f"{entry.decoding.kind} has no policy {role!r}{nearest(role, roles)}"
    for role in roles:
        if role not in entry.policies and role != BASE:
            yield (
                ".policies",
                f"{entry.decoding.kind} needs a policy {role!r}; name an entry, as in policies: {{{role}: NAME}}",
            )
    known = (BASE, *experiment.methods, *experiment.sizes)
    for role, name in entry.policies.items():
        if name not in known:
            yield f".policies.{role}", f"unknown policy {name!r}{nearest(name, known)}"
        entry_named = experiment.methods.get(name)
        if entry_named is not None and len(entry_named.trials) > 1:
            yield f".policies.{role}", f"{name!r} has {len(entry_named.trials)} trials; name an entry that has one"
        if entry_named is not None and entry_named.person == EACH:
            yield f".policies.{role}", f"{name!r} has a policy for each user; name an entry that has one"


def decoded_cells(policies: PolicyStages, name: str, entry: Decoded) -> list[EntryCell]:
    """The cells of an entry that decodes policies in one way for everybody: responses, which all suites of responses score."""
    experiment = policies.experiment
    parameters: dict[str, Any] = {"kind": settings_of_kind(experiment, entry.decoding)}
    judging: Mapping[str, Source] = {}
    code = [kinds()[entry.decoding.kind].__module__]
    if "reward" in kinds()[entry.decoding.kind].needs:
        judge, judging, modules = judge_inputs(experiment.preference_judge, policies.judge)
        parameters |= judge
        code += modules
        judging = {**judging, "world": policies.shared.data}
    cells = []
    for seed in experiment.seeds:
        decoding = {**experiment.decoding.model_dump(exclude={"backend"}), "seed": seed}
        generate = Stage(
            "generate_decoded",
            f"generate {policies.label(name, {}, seed)}",
            {**parameters, "decoding": decoding},
            {**_policies(policies, entry, seed), "data": policies.shared.prompts, **judging},
            tuple(code),
            policies.running,
        )
        settings = entry.model_dump(exclude_defaults=True)
        cells.append(EntryCell(name, policies.size, seed, settings, generate=generate))
    return cells


def _policies(policies: PolicyStages, entry: Decoded, seed: int) -> dict[str, Source]:
    """The policies of an entry as inputs, by role."""
    roles = entry.policies if kinds()[entry.decoding.kind].roles is None else {BASE: BASE, **entry.policies}
    return {f"policy_{role}": policies.named(policy, seed) for role, policy in roles.items()}


def decoded_stage(policies: PolicyStages, name: str, entry: Decoded, context: int, seed: int) -> Stage:
    """The stage that measures an entry at a context size."""
    from harness.inputs.steering.registry import steer_kinds

    assert entry.steer is not None
    steer = steer_kinds()[entry.steer.kind]
    inputs: dict[str, Source] = {"data": policies.shared.data, **_policies(policies, entry, seed)}
    if steer.trained is not None:
        inputs["trained_on"] = policies.base
        inputs["trained"] = Stage(
            steer.trained,
            f"{entry.steer.kind}, {policies.size} seed {seed}",
            {"settings": entry.steer.settings, "seed": seed},
            {"base": policies.base, "data": policies.shared.data},
            (steer.__module__,),
            policies.running,
        )
    parameters, code = users_parameters(policies.experiment, entry.decoding, entry.steer, context, seed)
    label = f"steer {policies.label(name, {'context': context}, seed)}"
    return Stage("score_steer", label, parameters, inputs, code, policies.running)


def each_stage(policies: PolicyStages, trial: Trial, seed: int) -> Stage:
    """The stage that measures an entry with a policy for each unseen user."""
    data = policies.experiment.data
    assert isinstance(data, OracleData) and data.population is not None
    inputs: dict[str, Source] = {"data": policies.shared.data, "policy_base": policies.base}
    for user in PopulationSpec(**data.population).unseen_persons:
        own = replace(trial, entry=trial.entry.model_copy(update={"person": user}))
        inputs[f"user_{user}"] = policies.policy(own, seed)
    parameters, code = users_parameters(policies.experiment)
    label = f"steer {policies.label(trial.name, trial.values, seed)}"
    return Stage("score_steer", label, parameters, inputs, code, policies.running)

"""Stages of a policy, from the base to the finished checkpoint: data steps, references, rounds and soups."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache, cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.errors import UsageError
from harness.plan.check import Settings, is_conditioned, settings_of
from harness.plan.designer import columns_of, declared_rewards
from harness.plan.judging import judge_inputs
from harness.plan.shared_stages import SharedStages, person_data, scorer_inputs
from harness.plan.stage import Model, Source, Stage, device_settings
from harness.spec.data import OracleData
from harness.spec.experiment import BASE, Experiment
from harness.spec.methods import Choice, DataSpec, MethodEntry, SoupSpec, in_words

if TYPE_CHECKING:
    from trainers.methods.interface import Needs

SEEN_BY_REFERENCE = ("max_prompt_tokens", "max_tokens", "dtype")
"""Settings of training that decide log-probabilities."""


@dataclass(frozen=True)
class Trial:
    """One setting of an entry, with what is the same for every size and seed.

    Parameters
    ----------
    name : str
        The entry's key in the experiment.
    entry : MethodEntry
    values : mapping of str to bool, int, float or str
        The swept settings; empty for an entry without a sweep.
    settings : Settings
        All settings, with the swept one.
    """

    name: str
    entry: MethodEntry
    values: Mapping[str, Choice]
    settings: Settings

    @cached_property
    def needs(self) -> Needs:
        """What the method needs of its data."""
        from trainers.methods import create

        return create(self.entry.method, **self.settings["parameters"]).needs

    @cached_property
    def code(self) -> tuple[str, ...]:
        """The modules of the method's loss and of the losses that its hyperparameters name."""
        from trainers.methods import methods

        names = [
            self.entry.method,
            *(value for value in self.settings["parameters"].values() if isinstance(value, str)),
        ]
        return tuple(sorted({methods()[name].__module__ for name in names if name in methods()}))


def trials_of(experiment: Experiment) -> dict[str, list[Trial]]:
    """The trials of every entry that is trained."""
    return {
        name: [Trial(name, entry, values, settings_of(experiment, entry, values)) for values in entry.trials]
        for name, entry in experiment.methods.items()
    }


@dataclass(frozen=True)
class PolicyStages:
    """Makes the policies of one size.

    Parameters
    ----------
    bases : mapping of str to Stage
        The base of every size.
    trials : mapping of str to list of Trial
        Of every entry.
    judge : Stage, Model or None
        The checkpoint of the judge, where it has one: trained for this size, or the user's.
    """

    experiment: Experiment
    shared: SharedStages
    bases: Mapping[str, Stage]
    trials: Mapping[str, list[Trial]]
    judge: Stage | Model | None
    size: str

    @property
    def base(self) -> Stage:
        return self.bases[self.size]

    @cached_property
    def running(self) -> Mapping[str, Any]:
        """The settings of every stage that runs a model."""
        return device_settings(self.experiment)

    @cached_property
    def _world(self) -> list[str]:
        data = self.experiment.data
        return [f"world {data.world['seed']}"] if isinstance(data, OracleData) and "seed" in data.world else []

    def label(self, name: str, values: Mapping[str, Choice], seed: int) -> str:
        """Name of an entry's trial in progress and logs."""
        return " ".join([*f"{name} {in_words(values)}".split(), self.size, f"seed {seed}", *self._world])

    def policy(self, trial: Trial, seed: int) -> Stage:
        """The stage whose artifact is the policy of an entry's trial."""
        entry = trial.entry
        label = " ".join(filter(None, (self.label(trial.name, trial.values, seed), entry.person)))
        if entry.soup is not None:
            return self._soup(entry.soup, trial.settings, label, seed)
        if entry.rounds is not None:
            return self._rounds(trial, label, seed)
        data = self._prepared(trial, entry.data, self.base, 0) if entry.data else self._pairs(entry)
        references = [self.named(other, seed) for other in entry.references]
        start = self._start(entry)
        return self._align(trial, label, seed, start, data, references or [start])

    def _pairs(self, entry: MethodEntry) -> Stage:
        """The pairs that a method learns from: all of them, or one user's."""
        return self.shared.data if entry.person is None else person_data(self.experiment, self.shared, entry.person)

    def condition(self, trial: Trial) -> Stage | None:
        """The stage that makes the condition of an entry's policy; None for a policy without one."""
        entry = trial.entry
        if entry.data is None or not is_conditioned(entry):
            return None
        data = self._prepared(trial, entry.data, self.base, 0)
        parameters = {"step": entry.data.step, "parameters": trial.settings["data"]}
        return Stage("condition", f"condition {trial.name}", parameters, {"data": data}, code=_step_code(entry.data))

    def _start(self, entry: MethodEntry) -> Stage:
        """The policy that training starts from: the base, with the entry's tags if it has a vocabulary of words."""
        from trainers.data_steps import steps

        tags = steps()[entry.data.step].tags if entry.data else ()
        if (
            entry.data is None
            or not tags
            or "tokenizer" not in self.base.inputs
            or self.experiment.data.source != "oracle"
        ):
            return self.base
        label = f"base with tags of {entry.data.step}, {self.size}"
        return Stage("tagged", label, {"tags": sorted(tags)}, {"base": self.base})

    def named(self, name: str, seed: int) -> Stage:
        """A policy by the name that an experiment gives it: an entry, the base, or a size's base."""
        if name in self.trials:
            return self.policy(self.trials[name][0], seed)
        return self.base if name == BASE else self.bases[name]

    def _weights(self, entry: MethodEntry) -> Mapping[str, float]:
        return entry.rewards or self.experiment.rewards

    def _align(self, trial: Trial, label: str, seed: int, start: Stage, data: Stage, references: list[Stage]) -> Stage:
        inputs: dict[str, Source] = {"base": start, "data": data}
        needs, settings = trial.needs, trial.settings
        if needs.on_policy:
            return self._align_online(trial, label, seed, inputs)
        for number, policy in enumerate(references[: needs.references]):
            inputs["reference" if number == 0 else f"reference_{number}"] = self._reference(
                policy, data, needs.token_level
            )
        if needs.value_fit and needs.value_fit.before and not needs.token_level:
            inputs["prompt_states"] = self._prompt_states(start, data)
        if needs.encoder and Path(needs.encoder).is_dir():
            # The trainer reads it in its own folder; its bytes determine the result all the same.
            inputs["encoder"] = Model.folder(Path(needs.encoder))
        weights: Mapping[str, float] = {}
        if needs.rewards:
            inputs["rewards"] = self._rewards(data) if data is self.shared.data else data
            weights = self._weights(trial.entry) if data is self.shared.data else {"reward": 1.0}
        parameters = {
            "method": trial.entry.method,
            "parameters": settings["parameters"],
            "training": {**settings["training"], "seed": seed},
            "weights": weights,
        }
        return Stage("align", label, parameters, inputs, code=trial.code)

    def _align_online(self, trial: Trial, label: str, seed: int, inputs: dict[str, Source]) -> Stage:
        """A policy that learns from its own samples: its inputs are a judge and scorers instead of tables of rewards."""
        experiment, shared = self.experiment, self.shared
        weights = self._weights(trial.entry) if trial.needs.rewards else {}
        _require_scorers(experiment, weights, f"methods.{trial.entry.method}")
        rewards = declared_rewards(experiment, weights)
        names, scorers = scorer_inputs(toxicity=shared.toxicity if rewards.need_toxicity else None)
        judge, judging, judge_code = judge_inputs(experiment.preference_judge, self.judge)
        inputs |= {**judging, **scorers, **rewards.inputs}
        parameters = {
            "method": trial.entry.method,
            "parameters": trial.settings["parameters"],
            "training": {**trial.settings["training"], "seed": seed},
            "weights": weights,
            "objectives": rewards.declared,
            **judge,
            **names,
            "max_new_tokens": experiment.decoding.max_new_tokens,
        }
        code = (*trial.code, *rewards.code, *judge_code)
        return Stage("align_online", label, parameters, inputs, code=code, settings=rewards.settings)

    @cached_property
    def _reference(self) -> Callable[[Stage, Stage, bool], Stage]:
        """`_make_reference`, made once: policies of all seeds share it."""
        return cache(self._make_reference)

    def _make_reference(self, policy: Stage, data: Stage, token_level: bool) -> Stage:
        config = {name: value for name, value in self.experiment.training.items() if name in SEEN_BY_REFERENCE}
        # A table of its own, so that the key of the one with sums does not depend on it.
        parameters = {"training": config} | ({"token_level": True} if token_level else {})
        label = f"reference log-probs{' per token' if token_level else ''}, {self.size}"
        return Stage("reference", label, parameters, {"base": policy, "data": data}, settings=self.running)

    def _prompt_states(self, policy: Stage, data: Stage) -> Stage:
        """States of the policy that training begins at, whatever the reference is and whether there is one."""
        config = {name: value for name, value in self.experiment.training.items() if name in SEEN_BY_REFERENCE}
        inputs = {"base": policy, "data": data}
        return Stage(
            "prompt_states", f"prompt states, {self.size}", {"training": config}, inputs, settings=self.running
        )

    @cached_property
    def _rewards(self) -> Callable[[Stage], Stage]:
        """`_make_rewards`, made once."""
        return cache(self._make_rewards)

    def _make_rewards(self, responses: Stage) -> Stage:
        """The designer objectives of the responses in a folder."""
        shared = self.shared
        if responses is not shared.data:
            _require_scorers(self.experiment, self.experiment.rewards, responses.label)
        rewards = declared_rewards(self.experiment, self.experiment.rewards)
        names, scorers = scorer_inputs(toxicity=shared.toxicity if rewards.need_toxicity else None)
        inputs = {"data": responses, **scorers, **rewards.inputs}
        if responses is not shared.data:
            inputs["world"] = shared.data
        parameters = {"objectives": rewards.declared, **names}
        settings = {**self.running, **rewards.settings}
        what = "pairs" if responses is shared.data else responses.label
        return Stage("rewards", f"designer rewards of the {what}", parameters, inputs, rewards.code, settings)

    def _user_rewards(self, responses: Stage) -> Stage:
        """The users' reward of the responses in a folder."""
        parameters, judging, code = judge_inputs(self.experiment.preference_judge, self.judge)
        inputs = {"data": responses, "world": self.shared.data} | judging
        return Stage("user_rewards", f"user rewards, {self.size}", parameters, inputs, code, self.running)

    def _prepared(self, trial: Trial, spec: DataSpec, policy: Stage, number: int) -> Stage:
        """The data that an entry's step makes in round `number`, from samples of `policy` if it needs any.

        The data are the same for every seed, as long as the policy is.
        """
        from trainers.data_steps import create as create_step
        from trainers.data_steps.step import is_online

        settings = trial.settings["data"]
        step = create_step(spec.step, **settings)
        designer = step.needs.designer or trial.needs.rewards
        inputs = {"data": self.shared.data}
        sources = {"": self.shared.data}
        if is_online(step) and number:
            asked = self._prepared(trial, spec, self.base, 0)
            sources["sample_"] = inputs["samples"] = self._sample(policy, number, spec, asked)
        elif step.needs.samples:
            sources["sample_"] = inputs["samples"] = self._sample(policy, number)
        for prefix, responses in sources.items():
            if designer:
                inputs[f"{prefix}rewards"] = self._rewards(responses)
            if step.needs.user:
                inputs[f"{prefix}user_rewards"] = self._user_rewards(responses)
        parameters = {
            "step": spec.step,
            "parameters": {k: v for k, v in settings.items() if k not in getattr(step, "asks", ())},
            "weights": self._weights(trial.entry) if designer else {},
        }
        return Stage("prepare", f"{spec.step}, {self.size}", parameters, inputs, code=_step_code(spec))

    def _sample(self, policy: Stage, number: int, spec: DataSpec | None = None, asked: Stage | None = None) -> Stage:
        """Samples of a policy for round `number`; under the wishes of an online step, from the facts of its first round."""
        sampling = self.experiment.sampling.model_dump(exclude_none=True)
        decoding = {**self.experiment.decoding.model_dump(exclude={"backend"}), **sampling, "seed": number}
        label = f"samples for training, {self.size}" + (f", round {number + 1}" if number else "")
        inputs = {"policy": policy, "data": self.shared.data}
        if spec is None or asked is None:
            return Stage("sample", label, {"decoding": decoding}, inputs, settings=self.running)
        inputs["asked"] = asked
        return Stage(
            "sample_wishes", label, {"decoding": decoding, "step": spec.step}, inputs, _step_code(spec), self.running
        )

    def _rounds(self, trial: Trial, label: str, seed: int) -> Stage:
        """APO: every round starts beyond the last policy, on the line from the policy before it."""
        from trainers.edit.rounds import Rounds
        from trainers.methods import create

        entry, settings = trial.entry, trial.settings
        rounds = Rounds(**settings["rounds"])
        beta = getattr(create(entry.method, **settings["parameters"]), "beta", 0.0)
        start = before = trained = self._start(entry)
        for number in range(rounds.count):
            if number:
                start = trained if not rounds.extrapolation else _combined(label, [trained, before], rounds.weights)
            before = trained
            data = self._prepared(trial, entry.data, start, number) if entry.data else self.shared.data
            parameters = rounds.parameters(number, settings["parameters"], beta)
            turn = replace(trial, settings={**settings, "parameters": dict(parameters)})
            trained = self._align(turn, f"{label}, round {number + 1}", seed, start, data, [start])
        return trained

    def _soup(self, soup: SoupSpec, settings: Settings, label: str, seed: int) -> Stage:
        from trainers.edit.rounds import Soup

        policies = [self.named(name, seed) for name in soup.policies]
        return _combined(label, policies, Soup(**settings["soup"]).weights(len(policies)))


def _combined(label: str, policies: list[Stage], weights: Sequence[float]) -> Stage:
    inputs = {f"policy_{number}": policy for number, policy in enumerate(policies)}
    return Stage("soup", label, {"weights": list(weights)}, inputs)


def _step_code(spec: DataSpec) -> tuple[str, ...]:
    from trainers.data_steps import steps

    return (steps()[spec.step].__module__,)


def _require_scorers(experiment: Experiment, names: Iterable[str], what: str) -> None:
    """Raise `UsageError` for a reward that is a column of the data, where responses are not the data's."""
    for name, column in columns_of(experiment, names).items():
        raise UsageError(
            f"rewards.{name}: is the column {column!r} of the data, and {what} needs the reward of responses that are not in "
            "it; name a scorer instead of a column"
        )

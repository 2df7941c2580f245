"""How a policy is made: the stages from the base to a finished checkpoint, whatever goes around its loss."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.inputs.designer_rewards import DeclaredReward
from harness.plan.check import is_conditioned, settings_of
from harness.plan.designer import declared_rewards
from harness.plan.judging import asking
from harness.plan.shared_stages import SharedStages, given, running
from harness.plan.stage import Model, Stage
from harness.spec.experiment import BASE, Experiment
from harness.spec.methods import MethodEntry

SEEN_BY_REFERENCE = ("max_prompt_tokens", "max_tokens", "dtype")
"""Settings of training that decide log-probabilities."""


@dataclass(frozen=True)
class PolicyStages:
    """Makes the policies of one size and seed.

    Parameters
    ----------
    bases : mapping of str to Stage
        The base of every size.
    judge : Stage, Model or None
        The checkpoint of the judge, where it has one: trained for this size, or the user's.
    """

    experiment: Experiment
    sources: SharedStages
    bases: Mapping[str, Stage]
    judge: Stage | Model | None
    size: str
    seed: int

    @property
    def base(self) -> Stage:
        return self.bases[self.size]

    @property
    def running(self) -> Mapping[str, Any]:
        """The settings of every stage that runs a model."""
        return running(self.experiment)

    def label(self, name: str, trial: Mapping[str, float]) -> str:
        """How progress and logs call an entry's trial."""
        return " ".join([name, *(f"{k}={v:g}" for k, v in trial.items()), self.size, f"seed {self.seed}"])

    def policy(self, name: str, trial: Mapping[str, float]) -> Stage:
        """The stage whose artifact is the policy of an entry's trial."""
        entry = self.experiment.methods[name]
        settings = settings_of(self.experiment, entry, trial)
        label = self.label(name, trial)
        if entry.soup is not None:
            return self._soup(entry, settings, label)
        if entry.rounds is not None:
            return self._rounds(entry, settings, label)
        data = self._prepared(entry, settings, self.base, 0) if entry.data else self.sources.data
        references = [self._named(other) for other in entry.references]
        start = self._start(entry)
        return self._align(entry, settings, label, start, data, references or [start])

    def condition(self, name: str, trial: Mapping[str, float]) -> Stage | None:
        """The stage that says with which condition an entry's policy is asked; None where it is asked plainly."""
        entry = self.experiment.methods[name]
        if not is_conditioned(entry):
            return None
        settings = settings_of(self.experiment, entry, trial)
        data = self._prepared(entry, settings, self.base, 0)
        parameters = {"step": entry.data.step, "parameters": settings["data"]}
        return Stage("condition", f"condition {name}", parameters, {"data": data}, code=_step_code(entry))

    def _start(self, entry: MethodEntry) -> Stage:
        """Where an entry's policy begins: the base, which is taught the entry's tags if its words are counted."""
        from trainers.data_steps import steps

        tags = steps()[entry.data.step].tags if entry.data else ()
        if not tags or "tokenizer" not in self.base.inputs or self.experiment.data.source != "oracle":
            return self.base
        label = f"base with tags of {entry.data.step}, {self.size}"
        return Stage("tagged", label, {"tags": sorted(tags)}, {"base": self.base})

    def _named(self, name: str) -> Stage:
        """A policy by the name that an experiment gives it: an entry, the base, or a size's base."""
        if name in self.experiment.methods:
            return self.policy(name, self.experiment.methods[name].trials[0])
        return self.base if name == BASE else self.bases[name]

    def _weights(self, entry: MethodEntry) -> Mapping[str, float]:
        return entry.rewards or self.experiment.rewards

    def _align(
        self,
        entry: MethodEntry,
        settings: Mapping[str, dict],
        label: str,
        start: Stage,
        data: Stage,
        references: list[Stage],
    ) -> Stage:
        from trainers.methods import create

        inputs = {"base": start, "data": data}
        needs = create(entry.method, **settings["parameters"]).needs
        if needs.on_policy:
            return self._align_online(entry, settings, label, inputs, needs.rewards)
        for number, policy in enumerate(references[: needs.references]):
            inputs["reference" if number == 0 else f"reference_{number}"] = self._reference(
                policy, data, needs.token_level
            )
        if needs.value_fit and needs.value_fit.before and not needs.token_level:
            inputs["prompt_states"] = self._prompt_states(start, data)
        if needs.encoder and Path(needs.encoder).is_dir():
            # The trainer reads it where it lies; its bytes are the stage's business all the same.
            inputs["encoder"] = Model.folder(Path(needs.encoder))
        weights: Mapping[str, float] = {}
        if needs.rewards:
            inputs["rewards"] = self._rewards(data) if data is self.sources.data else data
            weights = self._weights(entry) if data is self.sources.data else {"reward": 1.0}
        parameters = {
            "method": entry.method,
            "parameters": settings["parameters"],
            "training": {**settings["training"], "seed": self.seed},
            "weights": weights,
        }
        return Stage("align", label, parameters, inputs, code=_method_code(entry.method, settings["parameters"]))

    def _align_online(
        self, entry: MethodEntry, settings: Mapping[str, dict], label: str, inputs: dict[str, Stage], designer: bool
    ) -> Stage:
        """A policy that learns from its own samples: instead of tables of rewards it takes what judges them."""
        experiment, sources = self.experiment, self.sources
        weights = self._weights(entry) if designer else {}
        objectives, modules = declared_rewards(weights)
        names, scorers = given(toxicity=sources.toxicity if _need_toxicity(objectives) else None)
        judge, judging, judge_code = asking(experiment.judge, self.judge)
        inputs |= judging | scorers
        parameters = {
            "method": entry.method,
            "parameters": settings["parameters"],
            "training": {**settings["training"], "seed": self.seed},
            "weights": weights,
            "objectives": objectives,
            **judge,
            **names,
            "max_new_tokens": experiment.decoding.max_new_tokens,
        }
        code = (*_method_code(entry.method, settings["parameters"]), *modules, *judge_code)
        return Stage("align_online", label, parameters, inputs, code=code)

    def _reference(self, policy: Stage, data: Stage, token_level: bool) -> Stage:
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

    def _rewards(self, responses: Stage) -> Stage:
        """The designer objectives of the responses in a folder."""
        sources = self.sources
        objectives, modules = declared_rewards(self.experiment.rewards)
        names, scorers = given(toxicity=sources.toxicity if _need_toxicity(objectives) else None)
        inputs = {"data": responses} | scorers
        if responses is not sources.data:
            inputs["world"] = sources.data
        parameters = {"objectives": objectives, **names}
        what = "pairs" if responses is sources.data else responses.label
        return Stage("rewards", f"designer rewards of the {what}", parameters, inputs, modules, self.running)

    def _user_rewards(self, responses: Stage) -> Stage:
        """The users' reward of the responses in a folder."""
        parameters, judging, code = asking(self.experiment.judge, self.judge)
        inputs = {"data": responses, "world": self.sources.data} | judging
        return Stage("user_rewards", f"user rewards, {self.size}", parameters, inputs, code, self.running)

    def _prepared(self, entry: MethodEntry, settings: Mapping[str, dict], policy: Stage, number: int) -> Stage:
        """The data that an entry's step makes, from samples of `policy` if it needs any, in round `number`.

        Like the pairs themselves it is the same for every seed, as long as the policy is.
        """
        from trainers.data_steps import create as create_step
        from trainers.methods import create

        step = create_step(entry.data.step, **settings["data"])
        designer = step.needs.designer or create(entry.method, **settings["parameters"]).needs.rewards
        inputs = {"data": self.sources.data}
        sources = {"": self.sources.data}
        if step.needs.samples:
            sources["sample_"] = inputs["samples"] = self._sample(policy, number)
        for prefix, responses in sources.items():
            if designer:
                inputs[f"{prefix}rewards"] = self._rewards(responses)
            if step.needs.user:
                inputs[f"{prefix}user_rewards"] = self._user_rewards(responses)
        parameters = {
            "step": entry.data.step,
            "parameters": {k: v for k, v in settings["data"].items() if k not in getattr(step, "asks", ())},
            "weights": self._weights(entry) if designer else {},
        }
        return Stage("prepare", f"{entry.data.step}, {self.size}", parameters, inputs, code=_step_code(entry))

    def _sample(self, policy: Stage, number: int) -> Stage:
        given = self.experiment.sampling.model_dump(exclude_none=True)
        decoding = {**self.experiment.decoding.model_dump(exclude={"backend"}), **given, "seed": number}
        label = f"samples for training, {self.size}" + (f", round {number + 1}" if number else "")
        inputs = {"policy": policy, "data": self.sources.data}
        return Stage("sample", label, {"decoding": decoding}, inputs, settings=self.running)

    def _rounds(self, entry: MethodEntry, settings: Mapping[str, dict], label: str) -> Stage:
        """APO: the next round begins beyond the policy of the last, on the line from the one before it."""
        from trainers.edit.rounds import Rounds
        from trainers.methods import create

        rounds = Rounds(**settings["rounds"])
        beta = getattr(create(entry.method, **settings["parameters"]), "beta", 0.0)
        start = before = trained = self._start(entry)
        for number in range(rounds.count):
            if number:
                start = trained if not rounds.extrapolation else _combined(label, [trained, before], rounds.weights)
            before = trained
            data = self._prepared(entry, settings, start, number) if entry.data else self.sources.data
            parameters = rounds.parameters(number, settings["parameters"], beta)
            turn = {**settings, "parameters": parameters}
            trained = self._align(entry, turn, f"{label}, round {number + 1}", start, data, [start])
        return trained

    def _soup(self, entry: MethodEntry, settings: Mapping[str, dict], label: str) -> Stage:
        from trainers.edit.rounds import Soup

        policies = [self._named(name) for name in entry.soup.policies]
        return _combined(label, policies, Soup(**settings["soup"]).weights(len(policies)))


def _need_toxicity(rewards: Mapping[str, DeclaredReward]) -> bool:
    return any("toxicity" in declared["needs"] for declared in rewards.values())


def _combined(label: str, policies: list[Stage], weights) -> Stage:
    inputs = {f"policy_{number}": policy for number, policy in enumerate(policies)}
    return Stage("soup", label, {"weights": list(weights)}, inputs)


def _step_code(entry: MethodEntry) -> tuple[str, ...]:
    from trainers.data_steps import steps

    return (steps()[entry.data.step].__module__,)


def _method_code(name: str, parameters: Mapping[str, Any]) -> tuple[str, ...]:
    """The modules a method's loss lives in, its base loss's included."""
    from trainers.methods import methods

    names = [name, *(value for value in parameters.values() if isinstance(value, str))]
    return tuple(sorted({methods()[name].__module__ for name in names if name in methods()}))

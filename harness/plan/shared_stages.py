"""Stages that all policies of an experiment share: data, prompts, scorers, bases and judges."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from harness.errors import UsageError, nearest
from harness.inputs.gguf import SUFFIX, read_header
from harness.inputs.models import ModelError, require_vocabulary
from harness.inputs.prompt_sets import (
    INCOMPLETE,
    KNOWN,
    SEVERAL_TURNS,
    file_rows,
    read_prompts,
    read_references,
    takes_several_turns,
    without_reference,
)
from harness.plan.benchmarks import benchmark_stage
from harness.plan.data.evaluation_prompts import require_separate
from harness.plan.data.pair_files import PairFile, require_pairs, require_scores
from harness.plan.designer import columns_of, declared_rewards
from harness.plan.judging import require_package
from harness.plan.stage import File, Model, Source, Stage, device_settings
from harness.spec.data import OracleData, PairData, PairSource, PromptData, PromptSet, Rows
from harness.spec.experiment import Experiment, Size
from harness.spec.scorers import Judge
from suites.judges.registry import judges
from trainers.data.forms import create
from trainers.data.forms import forms as all_forms
from trainers.tokens.loading import has_chat_template


@dataclass(frozen=True)
class SharedStages:
    """The stages that every cell builds on."""

    data: Stage
    prompts: Stage
    """The stage with the evaluation prompts: the data's held-out ones, or a set of prompts."""
    toxicity: Stage | Model | str | None
    held_out: Stage | Model | str | None
    """A toxicity scorer that is never the reward."""
    enumeration: Stage | None = None
    benchmarks: tuple[Mapping[str, Any], Mapping[str, File]] | None = None
    judge: Stage | Model | None = None
    """Checkpoint of the judge, if it is a folder or a file of the user's; `second` is the second judge's."""
    second: Stage | Model | None = None


def scorer_inputs(**scorers: Stage | Model | str | None) -> tuple[dict[str, str], dict[str, Source]]:
    """Parameters and inputs for scorers: ``ROLE_model`` for one by name, ``ROLE`` for a stage or a checkpoint."""
    names = {f"{role}_model": source for role, source in scorers.items() if isinstance(source, str)}
    return names, {role: source for role, source in scorers.items() if isinstance(source, Stage | Model)}


def _data(experiment: Experiment) -> Stage:
    """The stage with the data of an experiment; of a run that trains nothing, its evaluation prompts."""
    from harness.plan.entries.files import result_prompts

    match experiment.data:
        case OracleData() as data:
            return _with_instructions(data, _oracle_data(data))
        case PairData() as data:
            if columns := columns_of(experiment, experiment.rewards):
                require_scores(list(pair_files(data).values()), columns)
            return _pair_data(data)
        case PromptData() as data:
            return _prompt_set(experiment, data.prompts) if data.prompts else result_prompts(experiment)


def _oracle_data(data: OracleData) -> Stage:
    return Stage("world", "oracle world", data.model_dump(exclude={"source", "worlds", "population", "instructions"}))


def _with_instructions(data: OracleData, world: Stage) -> Stage:
    """The world's data with a corpus that teaches instructions, where the experiment asks for it."""
    if data.instructions is None:
        return world
    parameters = {"corpus": data.corpus, "strength": data.instructions}
    return Stage("instructed", "corpus with instructions", parameters, {"data": world})


def _pair_data(data: PairData) -> Stage:
    parameters = data.model_dump(
        exclude={
            "source",
            "path",
            "mixture",
            "prompts",
            "template",
            "evaluation_prompts",
            "test_turns",
            *Rows.model_fields,
        }
    )
    parameters |= {"test_turns": data.test_turns} if data.test_turns is not None else {}
    parameters |= {"template": "none"} if data.template == "none" else {}
    files = pair_files(data)
    require_pairs(list(files.values()), data.judge_share, data.on_invalid, len(files) == len(data.parts))
    require_separate(data, list(files.values()))
    how = [_how(part, files.get(number)) for number, part in enumerate(data.parts)]
    forms = [part["form"] for part in how if "form" in part]
    code = {type(create(form)).__module__ for form in (forms if len(forms) == len(how) else all_forms())} | {PAIRS}
    if data.path is not None:
        label = f"pairs from {files[0].file.path.name if files else data.path}"
        only = {"file": files[0].file} if files else {}
        return Stage("pairs", label, {**parameters, **how[0]}, only, tuple(sorted(code)))
    label = "pairs from " + " + ".join(Path(part.path).name for part in data.mixture)
    inputs = {f"file {number}": file.file for number, file in files.items()}
    return Stage("pairs", label, {**parameters, "mixture": how}, inputs, tuple(sorted(code)))


PAIRS = "trainers.data.forms.pairs"
"""The form that reads rows which are not of a data set's form."""


def _how(part: PairSource, file: PairFile | None) -> dict[str, Any]:
    """How the rows of a data set become pairs, as parameters of the stage."""
    settings = {"columns": part.columns, "subset": part.subset, "revision": part.revision}
    form = file.form.name if file is not None else part.form
    named = {"form": form, **settings} if form else settings
    hub = {} if file is not None else {"hub": part.path}
    return {"split": part.split, **{name: value for name, value in named.items() if value}, **hub}


def pair_files(data: PairData) -> dict[int, PairFile]:
    """The data sets of an experiment that are local files, by their position.

    Raises
    ------
    UsageError
        For a path that is neither a file nor the id of a data set on the hub.
    """
    files = {}
    for number, part in enumerate(data.parts):
        key = "data.path" if data.path is not None else f"data.mixture.{number}.path"
        source = _source(key, part.path)
        if isinstance(source, File):
            files[number] = PairFile(key, source, part)
    return files


def _source(key: str, path: str) -> File | str:
    """A local file, or the id of a data set on the hub."""
    if Path(path).exists():
        return File(Path(path))
    if Path(path).suffix or path.count("/") != 1:
        raise UsageError(f"{key}: {path}: no such file (a hub id is written OWNER/NAME)")
    return path


def model_source(key: str, model: str) -> Stage | Model | str:
    """A local checkpoint folder, by its bytes, the stage that dequantises a GGUF file, or the id of a model on the hub."""
    if is_gguf(model):
        return gguf_stage(key, Path(model))
    if not Path(model).exists():
        if model.startswith(("/", ".", "~")) or model.count("/") > 1:
            raise UsageError(f"{key}: {model}: no such folder (a hub id is written OWNER/NAME)")
        return model
    if not (Path(model) / "config.json").is_file():
        raise UsageError(f"{key}: {model} is no model folder: it has no config.json")
    require_vocabulary(key, Path(model))
    return Model.folder(Path(model))


def is_gguf(model: str) -> bool:
    """Whether a model's name is that of a GGUF file."""
    return Path(model).suffix == SUFFIX or Path(model).is_file()


def gguf_stage(key: str, file: Path, requires_template: bool = False, template: str | None = None) -> Stage:
    """The stage that makes a checkpoint of a GGUF file.

    Parameters
    ----------
    key : str
        Of the experiment, for errors.
    file : Path
    requires_template : bool
        Whether a file without a chat template is an error. One that was converted without it would be trained and asked in
        another format than it was tuned for.
    template : str, optional
        ``none`` takes the chat template away.

    Raises
    ------
    UsageError
        In one line, for a file that cannot be read or an extra that is missing.
    """
    if not file.is_file():
        raise UsageError(f"{key}: {file}: no such file")
    require_package(key, "gguf", "gguf")
    try:
        header = read_header(file)
    except ModelError as fault:
        raise UsageError(f"{key}: {fault}") from None
    if requires_template and not header.has_template:
        raise UsageError(
            f"{key}: {file} has no chat template (tokenizer.chat_template); data.template: none gives it the plain format"
        )
    parameters = {"file": file.name} | ({"template": template} if template else {})
    return Stage("dequantised", f"base {file.name}", parameters, {"file": File(file)})


def make_shared_stages(experiment: Experiment) -> SharedStages:
    """The data and the scorers of an experiment; anything that they lack is a `UsageError`."""
    data = _data(experiment)
    spec = experiment.toxicity
    toxicity = None
    if spec.model or spec.labelled or isinstance(experiment.data, OracleData):
        toxicity = _toxicity_scorer("toxicity", spec.model, spec.labelled, spec.training, data)
    held_out = None
    if toxicity and spec.held_out:
        own = spec.held_out
        held_out = _toxicity_scorer("toxicity.held_out", own.model, own.labelled, own.training, data)
        if held_out == toxicity or getattr(held_out, "key", 0) == getattr(toxicity, "key", 1):
            raise UsageError(
                "toxicity.held_out: is the scorer that it is held out from; name another model or other labels"
            )
    enumeration = None
    if "exact" in experiment.suites:
        if toxicity is None:
            raise UsageError("suites: 'exact' needs the oracle world and a toxicity classifier trained on it")
        rewards = declared_rewards(experiment, experiment.rewards)
        _, scorer = scorer_inputs(toxicity=toxicity)
        enumeration = Stage(
            "enumeration",
            "designer objectives of every response",
            {"objectives": rewards.declared},
            {"data": data, **scorer, **rewards.inputs},
            rewards.code,
            settings=device_settings(experiment),
        )
    benchmarks = benchmark_stage(experiment.benchmarks) if experiment.benchmarks else None
    second = experiment.judge and experiment.judge.second
    folders = _judge_folder("judge", experiment.judge), _judge_folder("judge.second", second)
    return SharedStages(data, _prompts(experiment, data), toxicity, held_out, enumeration, benchmarks, *folders)


def _judge_folder(key: str, judge: Judge | None) -> Stage | Model | None:
    if judge is None or judge.model is None or "weights" not in judges()[judge.kind].needs:
        return None
    source = model_source(f"{key}.model", judge.model)
    return None if isinstance(source, str) else source


def _toxicity_scorer(
    key: str, model: str | None, labelled: str | None, training: Mapping[str, Any], data: Stage
) -> Stage | Model | str:
    """A Detoxify model by name, a checkpoint by its bytes, or the stage that trains one."""
    from suites.toxicity.scorer import checkpoint_file

    if model is not None:
        try:
            file = checkpoint_file(model)
        except ValueError as error:
            raise UsageError(f"{key}.model: {error}") from None
        return model if file is None else Model.file(file)
    inputs: dict[str, Stage | File] = {"data": data}
    if labelled:
        if not Path(labelled).is_file():
            raise UsageError(f"{key}.labelled: {labelled}: no such file")
        inputs = {"labelled": File(Path(labelled))}
    return Stage("train_toxicity", key.replace(".", " ") + " classifier", {"training": training}, inputs)


def _prompts(experiment: Experiment, data: Stage) -> Stage:
    """The stage that makes ``prompts.jsonl``; files are read here already, so that faults show before the run."""
    spec = experiment.data.prompts if isinstance(experiment.data, PairData) else None
    return data if spec is None else _prompt_set(experiment, spec)


def _prompt_set(experiment: Experiment, spec: PromptSet) -> Stage:
    path, parameters = Path(spec.set), {"template": spec.template, "limit": spec.limit}
    inputs, references = {}, None
    if spec.references is not None:
        if not Path(spec.references).is_file():
            raise UsageError(f"data.prompts.references: {spec.references}: no such file")
        inputs["references"] = File(Path(spec.references))
        references = read_references(file_rows(Path(spec.references)))
    if path.is_file():
        inputs["file"] = File(path)
        prompts = read_prompts(file_rows(path), references)[: spec.limit]
        lacking, several = without_reference(prompts), any(prompt.later for prompt in prompts)
    elif spec.set in KNOWN:
        parameters["set"] = spec.set
        incomplete = spec.set in INCOMPLETE and references is None
        lacking, several = "some prompts have no reference response" if incomplete else None, spec.set in SEVERAL_TURNS
    else:
        raise UsageError(f"data.prompts.set: {spec.set}: no such file or set{nearest(spec.set, KNOWN)}")
    if several and not takes_several_turns(spec.template):
        raise UsageError(
            f"data.prompts.template: {spec.set} has prompts of several turns, whose template is '{{prompt}}', 'chat' or the "
            f"dialogue form '\\n\\nHuman: {{prompt}}\\n\\nAssistant: {{response}}', not {spec.template!r}"
        )
    if "win_rate" in experiment.suites and lacking:
        raise UsageError(
            f"data.prompts.set: {spec.set}: {lacking}, which the suite 'win_rate' needs; name a file with a model's "
            "responses (--set data.prompts.references=FILE) or leave 'win_rate' out of 'suites'"
        )
    return Stage("prompts", f"prompts from {path.name}", parameters, inputs)


def make_base(experiment: Experiment, name: str, size: Size, data: Stage) -> Stage:
    if size.model is not None:
        key, plain = f"sizes.{name}.model", {"template": "none"} if is_plain(experiment) else {}
        if is_gguf(size.model):
            return gguf_stage(key, Path(size.model), sees_conversations(experiment), plain.get("template"))
        source = model_source(key, size.model)
        if isinstance(source, Model):
            return Stage("pretrained", f"base {size.model}", {"model": source.path.name, **plain}, {"model": source})
        return Stage("pretrained", f"base {size.model}", {"model": source, **plain})
    tokenizer = Stage("tokenizer", "tokenizer", {"vocabulary": experiment.base.vocabulary}, {"data": data})
    parameters = {"model": size.model_dump(exclude_none=True), "training": experiment.base.training}
    return Stage("base", f"pretrain base, {name}", parameters, {"data": data, "tokenizer": tokenizer})


def is_plain(experiment: Experiment) -> bool:
    """Whether the experiment takes a base's chat template away."""
    return isinstance(experiment.data, PairData) and experiment.data.template == "none"


def sees_conversations(experiment: Experiment) -> bool:
    """Whether a base with a chat template sees the data through it."""
    return isinstance(experiment.data, PairData) and experiment.data.template == "auto"


def as_conversations(experiment: Experiment, shared: SharedStages, base: Stage) -> SharedStages:
    """The shared stages with data and prompts as messages, where the base may have a chat template.

    A base from the hub may have one; the stage reads its tokenizer.
    """
    if (
        isinstance(experiment.data, OracleData)
        or base.kind not in ("pretrained", "dequantised", "brought_checkpoint")
        or is_plain(experiment)
    ):
        return shared
    folders = [source.path for source in base.inputs.values() if isinstance(source, Model)]
    if folders and not any(map(has_chat_template, folders)) and "base_revision" not in base.parameters:
        return shared
    parameters = {"on_invalid": experiment.data.on_invalid if isinstance(experiment.data, PairData) else "drop"}

    def conversations(source: Stage) -> Stage:
        inputs = {"data": source, "base": base}
        return Stage("conversations", f"conversations for {base.label}", parameters, inputs)

    data = conversations(shared.data)
    prompts = data if shared.prompts is shared.data else conversations(shared.prompts)
    return replace(shared, data=data, prompts=prompts)


def with_population(experiment: Experiment, shared: SharedStages) -> SharedStages:
    """The shared stages with the pairs of a population of users in place of the world's, where there is one."""
    if not isinstance(experiment.data, OracleData) or experiment.data.population is None:
        return shared
    parameters = {"population": experiment.data.population, "pairs": experiment.data.pairs}
    return replace(shared, data=Stage("population", "population of users", parameters, {"data": shared.data}))


def person_data(experiment: Experiment, shared: SharedStages, person: str) -> Stage:
    """The pairs of one user of the population, as many as all seen users have together."""
    assert isinstance(experiment.data, OracleData)
    parameters = {"person": person, "pairs": experiment.data.pairs}
    return Stage("person", f"pairs of {person}", parameters, {"data": shared.data})


def make_judge(experiment: Experiment, shared: SharedStages, size: str, base: Stage) -> Stage | Model | None:
    """The judge's checkpoint: trained for this size, or the user's folder; None for a judge without one."""
    judge = experiment.judge
    if judge is None or "training" not in judges()[judge.kind].needs or judge.model is not None:
        return shared.judge
    parameters, label = {"training": judge.training}, f"reward model, {size}"
    if not judge.frozen:
        return Stage("train_judge", label, parameters, {"data": shared.data, "base": base})
    states = Stage(
        "judge_states", f"states of the judge's pairs, {size}", parameters, {"data": shared.data, "base": base}
    )
    return Stage("train_judge_head", label, parameters, {"states": states, "base": base})

"""Benchmarks through lm-eval on a folder of task files, one row per question."""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import yaml

from harness.records import ItemScore, Status
from suites.benchmarks.code_execution import CodeEval, unenforced
from suites.benchmarks.tasks import tasks_of
from suites.checkpoints import load_causal_lm, load_tokenizer
from suites.isolation import contained_logging, contained_seeds, replaced
from trainers.tokens.text import TODAY

if TYPE_CHECKING:
    from lm_eval.api.instance import Instance
    from lm_eval.models.huggingface import HFLM

logger = logging.getLogger(__name__)

METRICS = ("acc", "exact_match")
"""The per-question metrics taken as the accuracy of a task of one's own, the first that it reports."""


def benchmark(
    checkpoint: Path | str,
    tasks_dir: Path,
    tasks: Sequence[str],
    limit: int | None = None,
    batch_size: int = 64,
    asking: Callable[[str], str] | None = None,
    allow_code_execution: bool = False,
    device: str = "cpu",
) -> list[ItemScore]:
    """Answer the questions of lm-eval tasks that a folder defines.

    The library's `simple_evaluate` runs on its own `HFLM` with per-question records kept; no bootstrap
    (reports do that from the items). Questions and their examples are turns of the model's chat template, if it has one.
    Whether a prompt starts with BOS is the tokenizer's own choice, as in training.

    Parameters
    ----------
    checkpoint : path or str
        A causal LM that ``transformers`` loads.
    tasks_dir : Path
        Folder of task YAMLs. Relative `data_files` are taken from this folder, wherever it lies.
    tasks : sequence of str
        Names of tasks defined there.
    limit : int, optional
        Questions per task.
    batch_size : int
    asking : callable, optional
        Changes the text of a question, for policies whose prompts end with a condition.
    allow_code_execution : bool
        Run the programs that the model writes (`suites.benchmarks.code_execution`); a task that needs it is refused without.
    device : str

    Returns
    -------
    list of ItemScore
        Item ``task/question number``. The objective is the benchmark's (`suites.benchmarks.tasks`) and the value the
        figure of it that counts; for a task of one's own it is ``accuracy``, 1 or 0.

    Raises
    ------
    ValueError
        For a task that the folder does not define, that runs code without leave, or that reports no known figure.
    """
    if allow_code_execution:
        for gap in unenforced():
            logger.warning("programs of the model run without a limit: %s", gap)
    with contained_logging("lm_eval"), contained_seeds():
        from lm_eval import evaluator
        from lm_eval.models.huggingface import HFLM
        from lm_eval.tasks import TaskManager

        model, tokenizer = load_causal_lm(checkpoint, device), load_tokenizer(checkpoint)
        with _located(Path(tasks_dir)) as folder, _without_machine_report(evaluator), _own_code_eval():
            manager = TaskManager(include_path=str(folder), include_defaults=False)
            if unknown := sorted(set(tasks) - set(manager.all_tasks)):
                defined = ", ".join(manager.all_tasks)
                raise ValueError(f"{tasks_dir} defines no task {', '.join(unknown)}; it has {defined}")
            results = evaluator.simple_evaluate(
                model=_asked(
                    HFLM(
                        pretrained=model,
                        tokenizer=tokenizer,
                        batch_size=batch_size,
                        device=str(model.device),
                        max_length=model.config.max_position_embeddings,
                        chat_template_args={"strftime_now": TODAY.strftime},
                    ),
                    asking,
                ),
                apply_chat_template=bool(tokenizer.chat_template),
                tasks=list(tasks),
                task_manager=manager,
                limit=limit,
                bootstrap_iters=0,
                log_samples=True,
                confirm_run_unsafe_code=allow_code_execution,
            )
    return [item for task in tasks for item in _items(task, results["samples"][task])]


def _asked(lm: HFLM, asking: Callable[[str], str] | None) -> HFLM:
    """The library's model, with `asking` applied to the text of every request."""
    if asking is None:
        return lm
    change = asking

    def changed(method: Callable[..., list[Any]]) -> Callable[..., list[Any]]:
        def answer(requests: Sequence[Instance], *args: Any, **options: Any) -> list[Any]:
            texts = [dataclasses.replace(r, arguments=(change(r.args[0]), *r.args[1:])) for r in requests]
            return method(texts, *args, **options)

        return answer

    lm.loglikelihood, lm.generate_until = changed(lm.loglikelihood), changed(lm.generate_until)
    return lm


def _items(task: str, samples: Sequence[Mapping[str, Any]]) -> list[ItemScore]:
    """One row per question; of several answer filters the task's first counts."""
    first_filter = samples[0]["filter"]
    questions = sorted((s for s in samples if s["filter"] == first_filter), key=lambda sample: sample["doc_id"])
    published = _published(task)
    return [_item(task, sample, *published) for sample in questions]


def _published(task: str) -> tuple[str, Sequence[str]]:
    """The objective of a task, and the figures that may count for it, the first that it reports."""
    try:
        published = tasks_of([task])[task]
    except KeyError:
        return "accuracy", METRICS
    return published.name, (published.metric,)


def _item(task: str, sample: Mapping[str, Any], objective: str, metrics: Sequence[str]) -> ItemScore:
    metric = next((name for name in metrics if name in sample), None)
    if metric is None:
        raise ValueError(f"task {task} reports none of {', '.join(metrics)} for its questions")
    item = f"{task}/{sample['doc_id']}"
    others = {
        name: sample[name] for name in sample["metrics"] if name != metric and isinstance(sample[name], int | float)
    }
    detail = {"metric": metric} | {name: float(value) for name, value in others.items()}
    return ItemScore(objective, item, item, float(sample[metric]), Status.OK, detail=detail)


@contextlib.contextmanager
def _without_machine_report(evaluator: ModuleType) -> Iterator[None]:
    """Leave out lm-eval's `pip list`, driver and git queries, which take half a second and are not used."""
    with replaced(evaluator, "add_env_info", lambda _: None), replaced(evaluator, "get_git_commit_hash", lambda: None):
        yield


@contextlib.contextmanager
def _own_code_eval() -> Iterator[None]:
    """Replace Hugging Face's metric script ``code_eval``, which HumanEval's definition loads, by `CodeEval`.

    The script is downloaded at use and isolates the programs less.
    """
    import evaluate

    load = evaluate.load

    def load_other(path: str, *args: Any, **kwargs: Any) -> Any:
        return CodeEval() if path == "code_eval" else load(path, *args, **kwargs)

    with replaced(evaluate, "load", load_other):
        yield


@contextlib.contextmanager
def _located(folder: Path) -> Iterator[Path]:
    """A copy of the task folder whose relative data files point to where they are now.

    lm-eval resolves them against the working directory, so a task folder could not be moved.
    """
    if not folder.is_dir():
        raise ValueError(f"task folder {folder} does not exist")
    with tempfile.TemporaryDirectory() as temporary:
        copy = Path(temporary) / "tasks"
        shutil.copytree(folder, copy)
        for file in copy.rglob("*.yaml"):
            _locate(file, folder.resolve() / file.parent.relative_to(copy))
        yield copy


def _locate(file: Path, origin: Path) -> None:
    task = yaml.load(file.read_text(encoding="utf-8"), Loader=_Loader)
    data_files = (task.get("dataset_kwargs") or {}).get("data_files")
    if data_files is None:
        return
    task["dataset_kwargs"]["data_files"] = _absolute(data_files, origin)
    file.write_text(yaml.dump(task, Dumper=_Dumper, sort_keys=False, allow_unicode=True), encoding="utf-8")


def _absolute(value: Any, origin: Path) -> Any:
    if isinstance(value, dict):
        return {split: _absolute(files, origin) for split, files in value.items()}
    if isinstance(value, list):
        return [_absolute(file, origin) for file in value]
    return value if "://" in value else str(origin / value)


class _Function(str):
    """lm-eval's ``!function module.name`` tag, carried through as it is."""


class _Loader(yaml.SafeLoader):  # type: ignore[misc]  # PyYAML is published without type information
    pass


class _Dumper(yaml.SafeDumper):  # type: ignore[misc]  # PyYAML is published without type information
    pass


_Loader.add_constructor("!function", lambda loader, node: _Function(loader.construct_scalar(node)))
_Dumper.add_representer(_Function, lambda dumper, value: dumper.represent_scalar("!function", str(value)))

"""Command line: ``prefrontier VERB EXPERIMENT``.

Exit codes: 0 every cell measured; 1 a regression was found; 2 interrupted; 3 a stage failed or an internal
error; 4 the command or the experiment is wrong; 5 nothing was measured.

Heavy libraries are imported inside the verbs, so that ``--help`` answers at once.
"""

from __future__ import annotations

import os
import shlex
import sys
import traceback
from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from harness.cli.answer import Answer, verb
from harness.errors import Exit, UsageError, nearest, one_line
from harness.run.interruption import terminable

if TYPE_CHECKING:
    from harness.plan.cells import Plan
    from harness.store.store import Store

CTRL_C = 130
"""Return value of typer after Ctrl-C."""


class Style(StrEnum):
    """Venue whose column widths a figure has."""

    NEURIPS = "neurips"
    ICML = "icml"
    ACL = "acl"
    TMLR = "tmlr"


class Column(StrEnum):
    """Width of a figure."""

    SINGLE = "single"
    DOUBLE = "double"


app = typer.Typer(
    help="Train, evaluate and compare preference-optimization methods on Pareto frontiers, with uncertainty.",
    epilog="Exit codes: 0 every cell measured; 1 a regression; 2 interrupted; 3 a stage failed; 4 the command or the "
    "experiment is wrong; 5 nothing was measured.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


def _experiments(incomplete: str) -> list[str]:
    """Shipped experiments, files and runs whose name begins so, for a shell's completion."""
    from harness.spec.loading import shipped

    named = [*shipped(), *map(str, Path().glob("*.yaml")), *_runs(incomplete)]
    return [name for name in named if name.startswith(incomplete)]


def _runs(incomplete: str) -> list[str]:
    from harness.run.earlier import RUNS

    return [str(path) for path in sorted(RUNS.glob("*")) if path.is_dir() and str(path).startswith(incomplete)]


Name = Annotated[
    str,
    typer.Argument(
        metavar="EXPERIMENT",
        help="A shipped experiment (see `ls`), a .yaml file or the folder of a run.",
        autocompletion=_experiments,
    ),
]
Overrides = Annotated[
    list[str] | None, typer.Option("--set", metavar="A.B=C", help="Override a key of the experiment; repeatable.")
]
Out = Annotated[Path | None, typer.Option(help="Folder of the results; runs/NAME if not given.")]
StoreRoot = Annotated[
    Path | None,
    typer.Option(
        "--store", help="Folder of cached artifacts; $PREFRONTIER_STORE or the user's cache folder if not given."
    ),
]
Cells = Annotated[
    list[str] | None, typer.Option("--cell", metavar="ID", help="Only this cell and what it needs; repeatable.")
]


def _run_folder(argument: str) -> Path:
    from harness.run.earlier import run_folder

    return run_folder(argument)


RunDir = Annotated[
    Path,
    typer.Argument(
        metavar="RUN",
        help="The folder of a run, or its experiment: a name or a .yaml file.",
        parser=_run_folder,
        autocompletion=_experiments,
    ),
]
Baseline = Annotated[
    Path, typer.Option(metavar="DIR", help="Folder of blessed baselines (the newest counts), or another run's folder.")
]
Offline = Annotated[
    bool, typer.Option("--offline", help="Never touch the network; what is missing locally is an error.")
]


def _show_version(shown: bool) -> None:
    if shown:
        from harness.run.provenance import installed

        print(f"prefrontier {installed('prefrontier') or '(not installed)'}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """Options of the command itself."""


@verb(app)
def plan(
    experiment: Name, set_: Overrides = None, store: StoreRoot = None, cell: Cells = None, offline: Offline = False
) -> Answer:
    """Show what a run would do: stages, tokens, time, memory, cost. What the store already has is not done again."""
    from harness.cli.show import show_plan
    from harness.run.earlier import out_folder

    prepared, artifacts = _prepare(experiment, set_, store, cell, offline)
    return Answer(facts=show_plan(prepared, artifacts, out_folder(experiment, prepared.experiment.name, None)))


@verb(app)
def run(
    experiment: Name,
    set_: Overrides = None,
    out: Out = None,
    store: StoreRoot = None,
    cell: Cells = None,
    offline: Offline = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show the plan and stop.")] = False,
    workers: Annotated[int | None, typer.Option(min=1, help="Stages at a time; one per core if not given.")] = None,
    executor: Annotated[
        str, typer.Option(help="Where stages run: local, ray, or one that a plugin registers.")
    ] = "local",
    address: Annotated[
        str | None, typer.Option(help="Address of a Ray cluster; one is started here if not given.")
    ] = None,
    tracker: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME",
            help="Log curves, scores, tables and figures at the end: tensorboard, mlflow, wandb; repeatable.",
        ),
    ] = None,
) -> Answer:
    """Run an experiment: train, evaluate, report. Finished stages are never run again."""
    from harness.run.earlier import out_folder

    prepared, artifacts = _prepare(experiment, set_, store, cell, offline)
    folder = out_folder(experiment, prepared.experiment.name, out)
    if dry_run:
        from harness.cli.show import show_plan

        return Answer(facts=show_plan(prepared, artifacts, folder))
    from harness.cli.status import run_facts
    from harness.run.session import run_experiment
    from harness.run.trackers import find_trackers

    workers = workers or os.cpu_count() or 1
    code = run_experiment(prepared, artifacts, folder, workers, executor, address, find_trackers(tracker or []))
    return Answer(code, run_facts(folder))


@verb(app)
def frontier(
    files: Annotated[
        list[str],
        typer.Argument(metavar="FILE...", help="Responses, item scores or logs of models, or folders of checkpoints."),
    ],
    out: Annotated[Path, typer.Option(metavar="DIR", help="Folder of the results.")],
    prompts: Annotated[
        str | None,
        typer.Option(metavar="SET", help="Evaluation prompts: a file or a known set; those of the files if not given."),
    ] = None,
    objective: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME={...}", help="An objective of your own, in YAML; repeatable."),
    ] = None,
    suite: Annotated[list[str] | None, typer.Option(help="Only this suite; repeatable. style if not given.")] = None,
    set_: Overrides = None,
    store: StoreRoot = None,
    offline: Offline = False,
    workers: Annotated[int | None, typer.Option(min=1, help="Stages at a time; one per core if not given.")] = None,
) -> Answer:
    """Put models that were run elsewhere on one frontier: files in, report out, nothing is trained."""
    from harness.cli.frontier import write_experiment
    from harness.cli.status import run_facts
    from harness.run.session import run_experiment

    written = write_experiment(files, out, prompts, objective or [], suite)
    prepared, artifacts = _prepare(str(written), set_, store, None, offline)
    code = run_experiment(prepared, artifacts, out, workers or os.cpu_count() or 1, "local", None)
    return Answer(code, {"experiment": written, **run_facts(out)})


@verb(app)
def init(
    model: Annotated[
        str | None,
        typer.Option(metavar="MODEL", help="A folder or a model of the hub; a small base is made if not given."),
    ] = None,
    data_: Annotated[
        str | None, typer.Option("--data", metavar="FILE", help="A file of preference data, or a data set of the hub.")
    ] = None,
    objective: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME|NAME={...}",
            help="A shipped objective, or one of your own in YAML; repeatable. readability if not given.",
        ),
    ] = None,
    out: Annotated[Path | None, typer.Option(metavar="FILE", help="The file to write; mine.yaml if not given.")] = None,
) -> Answer:
    """Write a short commented experiment for your model, data and objectives; asks for them on a terminal."""
    from harness.cli.init import write_init

    if data_ is None:
        if not sys.stdin.isatty():
            raise UsageError("--data: is missing; name a file of preference data, or a data set of the hub")
        data_ = typer.prompt("Preference data (a file, or OWNER/NAME of the hub)", err=True)
        model = model or typer.prompt(
            "Model (a folder, or OWNER/NAME; empty for a small one made here)", default="", err=True
        )
        objective = objective or [typer.prompt("Objective beside the win rate", default="readability", err=True)]
        out = out or Path(typer.prompt("File to write", default="mine.yaml", err=True))
    written = out or Path("mine.yaml")
    planned = write_init(model or None, str(data_), objective or [], written)
    print(
        f"{written}: {len(planned.cells)} policies; `prefrontier plan {written}` shows what a run does, `prefrontier run {written}` runs it"
    )
    return Answer(facts={"experiment": written, "cells": len(planned.cells)})


@verb(app)
def data(
    source: Annotated[
        str,
        typer.Argument(
            metavar="FILE|EXPERIMENT", help="A file of preference data, a data set of the hub, or an experiment."
        ),
    ],
    set_: Overrides = None,
    tokenizer: Annotated[
        str | None,
        typer.Option(metavar="MODEL", help="Whose tokenizer counts and renders; an experiment's bases if not given."),
    ] = None,
    offline: Offline = False,
) -> Answer:
    """Show what would be read: form, licence, counts, what is left out, lengths, duplicates, leaks, the first example."""
    if offline:
        _offline()
    from harness.cli.data import show_data

    return Answer(facts=show_data(source, set_ or (), tokenizer))


@verb(app)
def prefetch(
    experiment: Name,
    set_: Overrides = None,
    store: StoreRoot = None,
    cell: Cells = None,
    list_: Annotated[bool, typer.Option("--list", help="Only say what there is and what is missing.")] = False,
) -> Answer:
    """Download the data and models that a run will need. The run itself then needs no network."""
    from harness.cli.prefetch import prefetch as get

    prepared, artifacts = _prepare(experiment, set_, store, cell, offline=False)
    return get(prepared, artifacts, list_)


@verb(app)
def status(
    experiment: Name,
    set_: Overrides = None,
    out: Out = None,
    store: StoreRoot = None,
    cell: Cells = None,
    offline: Offline = False,
) -> Answer:
    """Show how far a run is: done, failed and pending stages by kind."""
    from harness.cli.status import show_status
    from harness.run.earlier import noted_stages, out_folder, stage_names
    from harness.spec.loading import load
    from harness.store.store import Store, default_root

    folder = out_folder(experiment, load(experiment, set_ or ()).name, out)
    # A plan of many cells takes seconds, and a run has noted its own.
    names = {} if set_ or cell else noted_stages(folder)
    if not names:
        names = stage_names(_prepare(experiment, set_, store, cell, offline)[0])
    return Answer(facts=show_status(names, Store(store or default_root()), folder))


@verb(app)
def report(
    run_dir: RunDir,
    labels: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Labels of people for some outputs (prompt, output, label); they correct the judge's win rates.",
        ),
    ] = None,
) -> Answer:
    """Write a run's report again from its stored records. Needs no model and no GPU."""
    from harness.cli.runs.report import write_report

    return write_report(run_dir, labels)


@verb(app)
def gate(
    run_dir: RunDir,
    baseline: Baseline,
    history: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Folder of the table of nights; BASELINE/history if not given."),
    ] = None,
    warn: Annotated[float, typer.Option(metavar="K", help="Warn from a loss of K noise floors.")] = 1.0,
    fail: Annotated[float, typer.Option(metavar="K", help="Fail from a loss of K noise floors.")] = 2.0,
    nights: Annotated[
        list[str] | None,
        typer.Option(metavar="[OBJECTIVE=]K", help="Fail only after K nights in a row; repeatable."),
    ] = None,
) -> Answer:
    """Compare a run with a baseline: is anything worse than noise?"""
    from harness.cli.runs.gate import judge

    return judge(run_dir, baseline, history, warn, fail, nights or [])


@verb(app)
def compare(
    run_dirs: Annotated[
        list[Path],
        typer.Argument(metavar="RUN RUN...", help="Two runs or more, as for the other verbs.", parser=_run_folder),
    ],
    out: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Folder of the page; runs/A-vs-B if not given.")
    ] = None,
) -> Answer:
    """Put finished runs beside each other: what differs, paired differences on common items, all frontiers in one figure."""
    from harness.cli.runs.compare import put_beside

    return put_beside(run_dirs, out)


@verb(app)
def verify(
    run_dir: RunDir,
    stored: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Stored figures; docs/figures/EXPERIMENT.csv if not given.")
    ] = None,
    write: Annotated[bool, typer.Option("--write", help="Store this run's figures instead.")] = False,
) -> Answer:
    """Compare a run with the stored figures of the same experiment, made on any machine."""
    from harness.cli.runs.verify import verify_run

    return verify_run(run_dir, stored, write)


@verb(app)
def bless(
    run_dir: RunDir,
    baseline: Baseline,
    reason: Annotated[str, typer.Option(help="Why this run is what others should be compared with.")],
) -> Answer:
    """Make a complete run the new baseline; the older ones are kept."""
    from harness.cli.runs.bless import make_baseline

    return make_baseline(run_dir, baseline, reason)


@verb(app)
def figures(
    run_dir: RunDir,
    out: Annotated[Path, typer.Option(metavar="DIR", help="Where to write.")],
    style: Annotated[Style, typer.Option(help="Whose column widths and font sizes.")] = Style.NEURIPS,
    column: Annotated[Column, typer.Option(help="Width of one column or of the page.")] = Column.SINGLE,
) -> Answer:
    """Write a finished run's figures and tables for a paper. Needs no model, no GPU and no LaTeX."""
    from harness.cli.runs.figures import make_figures

    return make_figures(run_dir, style.value, column.value, out)


@verb(app)
def export(
    run_dir: RunDir,
    to: Annotated[str, typer.Option(metavar="FORM", help="every-eval-ever, or eval-results of the hub.")],
    organization: Annotated[str, typer.Option(metavar="NAME", help="Who evaluated, and trained the policies.")],
    out: Annotated[Path, typer.Option(metavar="DIR", help="Where to write.")],
    dataset: Annotated[
        str | None, typer.Option(metavar="OWNER/NAME", help="For eval-results: the data set that was evaluated on.")
    ] = None,
) -> Answer:
    """Write a finished run's results in the form of others, one file for each configuration. Nothing is sent."""
    from harness.cli.export import Target, write_export

    if to not in list(Target):
        raise UsageError(f"--to {to}: no such form{nearest(to, Target)}")
    files = write_export(run_dir, Target(to), organization, dataset, out)
    print(f"{len(files)} files in {out}")
    return Answer(facts={"files": files})


@verb(app)
def ls(experiment: Annotated[str | None, typer.Argument(metavar="EXPERIMENT", help="Its cells; without it the shipped experiments, methods and data steps.")] = None,
       set_: Overrides = None, store: StoreRoot = None) -> Answer:  # fmt: skip
    """List what ships, or the cells of an experiment. A cell that is trained shows its checkpoint."""
    from harness.cli.show import show_cells, show_library

    if experiment is None:
        return Answer(facts=show_library())
    return Answer(facts=show_cells(*_prepare(experiment, set_, store, None, False)))


@verb(app, "store")
def store_(
    run_dirs: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="[RUN]...", help="Runs, as for the other verbs; those in runs/ if not given.", parser=_run_folder
        ),
    ] = None,
    store: StoreRoot = None,
    prune: Annotated[bool, typer.Option("--prune", help="List what no run folder names, to remove it.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="With --prune: remove it.")] = False,
) -> Answer:
    """Show the size of the cached artifacts by kind of stage and by run, and prune those that no run names."""
    from harness.cli.store import show_store
    from harness.store.store import Store, default_root

    return show_store(Store(store or default_root()), run_dirs or [], prune, yes)


@verb(app)
def doctor(store: StoreRoot = None) -> Answer:
    """Check this machine: packages, disk, cores, GPU, optional parts."""
    from harness.cli.doctor import check
    from harness.store.store import Store, default_root

    return check(Store(store or default_root()))


def main() -> None:
    """Entry point; mistakes of the user end in one line and exit code 4, never in a traceback."""
    try:
        with terminable():
            code = app(standalone_mode=False)
        if code in (CTRL_C, Exit.INTERRUPTED):
            code = _interrupted()
    except UsageError as error:
        print(f"prefrontier: {one_line(error)}", file=sys.stderr)
        code = Exit.USAGE
    except (typer.Abort, KeyboardInterrupt):
        code = _interrupted()
    except typer.TyperException as error:
        print(f"prefrontier: {one_line(error.format_message().replace('Value error, ', ''))}", file=sys.stderr)
        code = Exit.USAGE
    except Exception:  # the interpreter's own exit code for a traceback is 1, which means a regression here
        traceback.print_exc()
        code = Exit.FAILED
    sys.exit(int(code or 0))


def _interrupted() -> Exit:
    print("prefrontier: interrupted; the same command goes on from here", file=sys.stderr)
    return Exit.INTERRUPTED


def _prepare(
    experiment: str, overrides: Sequence[str] | None, store: Path | None, cells: list[str] | None, offline: bool
) -> tuple[Plan, Store]:
    """The planned experiment, or the cells of it that were named, and the store."""
    if offline:
        _offline()
    from harness.plan.cells import make_plan
    from harness.spec.loading import load
    from harness.store.store import Store, default_root

    overrides = overrides or ()
    origin = shlex.join([experiment, *(word for override in overrides for word in ("--set", override))])
    planned = make_plan(load(experiment, overrides), origin)
    return planned.only(cells) if cells else planned, Store(store or default_root())


def _offline() -> None:
    os.environ.update(HF_HUB_OFFLINE="1", HF_DATASETS_OFFLINE="1", HF_EVALUATE_OFFLINE="1")

"""The verb ``store``: sizes of the cached artifacts, and removal of those that no run names."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

from harness.cli.answer import Answer
from harness.errors import UsageError
from harness.store.store import Store
from harness.store.usage import STAGES, Artifact, artifacts, folder_size, named_keys, prune
from harness.terminal import plain, say

RUNS = Path("runs")


def run_folders(named: Sequence[Path]) -> list[Path]:
    """The run folders that the command names, or those in ``runs``."""
    if named:
        return list(named)
    marks = (STAGES, "manifest.json")
    return sorted({path.parent for mark in marks for path in RUNS.glob(f"*/{mark}")})


def show_store(store: Store, runs: Sequence[Path], remove: bool, confirmed: bool) -> Answer:
    """Print sizes by kind of stage and by run; with `remove`, list or (`confirmed`) remove what no run names."""
    console = Console(highlight=False, soft_wrap=True)
    stored = artifacts(store)
    folders = run_folders(runs)
    try:
        named = {folder: named_keys(folder, stored) for folder in folders}
    except ValueError as error:
        raise UsageError(str(error)) from None
    unnamed = [stored[key] for key in stored.keys() - set().union(*named.values())]
    say(console, f"store {store.root}: {_amount(stored.values())}")
    console.print(_by_kind(stored.values(), unnamed))
    if named:
        console.print(_by_run(stored, named))
    for part, meaning in (("partial", "unfinished writes, which a stage resumes"), ("caches", "answers of judges")):
        say(console, f"{part}: {_size(folder_size(store.root / part))} ({meaning}; never pruned)")
    say(console, f"named by no run: {_amount(unnamed)}")
    facts = {
        "store": store.root,
        "bytes": _total(stored.values()),
        "kinds": Counter(artifact.kind for artifact in stored.values()),
        "runs": {folder: len(keys) for folder, keys in named.items()},
        "named_by_no_run": {"artifacts": len(unnamed), "bytes": _total(unnamed)},
        "removed": 0,
    }
    if not remove:
        return Answer(facts=facts)
    if not folders:
        raise UsageError("store --prune: no run folder in runs/; name the folders of the runs to keep")
    if not confirmed:
        say(console, "nothing was removed; --prune --yes removes what no run names")
        return Answer(facts=facts)
    say(console, f"removed {len(unnamed)} artifacts, {_size(prune(store, unnamed))}")
    return Answer(facts={**facts, "removed": len(unnamed)})


def _by_kind(stored: Iterable[Artifact], unnamed: Iterable[Artifact]) -> Table:
    table = Table("stage", "count", "size", "named by no run", box=None, pad_edge=False)
    kinds: dict[str, list[Artifact]] = defaultdict(list)
    loose: dict[str, list[Artifact]] = defaultdict(list)
    for artifact in stored:
        kinds[artifact.kind].append(artifact)
    for artifact in unnamed:
        loose[artifact.kind].append(artifact)
    for kind in sorted(kinds, key=lambda kind: -_total(kinds[kind])):
        table.add_row(plain(kind), str(len(kinds[kind])), _size(_total(kinds[kind])), _size(_total(loose[kind])))
    return table


def _by_run(stored: dict[str, Artifact], named: dict[Path, set[str]]) -> Table:
    """Sizes of the runs; an artifact that several runs share counts in each, and in no run's own."""
    table = Table("run", "artifacts", "size", "its own", box=None, pad_edge=False)
    for folder, keys in named.items():
        others = set().union(*(other for path, other in named.items() if path != folder))
        own = [stored[key] for key in keys - others]
        table.add_row(plain(folder), str(len(keys)), _size(_total(stored[key] for key in keys)), _size(_total(own)))
    return table


def _total(listed: Iterable[Artifact]) -> int:
    return sum(artifact.size for artifact in listed)


def _amount(listed: Iterable[Artifact]) -> str:
    listed = list(listed)
    return f"{len(listed)} artifacts, {_size(_total(listed))}"


def _size(count: int) -> str:
    """Bytes in the unit that suits them.

    Examples
    --------
    >>> _size(0), _size(1536), _size(3 * 2**20), _size(5 * 2**30)
    ('0 KiB', '2 KiB', '3.0 MiB', '5.0 GiB')
    """
    if count >= 2**30:
        return f"{count / 2**30:.1f} GiB"
    return f"{count / 2**20:.1f} MiB" if count >= 2**20 else f"{count / 2**10:.0f} KiB"

"""The verb ``prefetch``: downloads of a plan before its run, which then needs no network."""

from __future__ import annotations

from rich.console import Console

from harness.cli.answer import Answer
from harness.errors import UsageError
from harness.plan.cells import Plan
from harness.run.downloads import fetch, held, named
from harness.store.store import Store
from harness.terminal import say


def prefetch(plan: Plan, store: Store, list_only: bool) -> Answer:
    """Download what is missing, one line each; with `list_only` only list it."""
    console = Console(highlight=False, soft_wrap=True)
    wanted = named(plan, store)
    if not wanted:
        say(console, "nothing to download: the plan names nothing on the network")
    missing, states = [], {}
    for one in wanted:
        if held(one):
            say(console, f"have {one}")
            states[str(one)] = "present"
        elif list_only:
            say(console, f"need {one}")
            states[str(one)] = "missing"
        else:
            say(console, f"get  {one}")
            try:
                fetch(one)
                states[str(one)] = "downloaded"
            except UsageError as error:
                say(console, f"FAIL {error}")
                missing.append(one)
    if missing:
        raise UsageError(
            f"{len(missing)} of {len(wanted)} could not be had; what is on this machine already can be named by its path"
        )
    return Answer(facts={"downloads": states})

"""Seeded kills of a miniature run at its numbered points and judge calls, each followed by the checks of `Lane.kill`.

``python -m tests.faults.kill_sweep [--seed S] [--kills N] [--ray N] [--real N] OUT``. Kills that ``OUT/kills.jsonl`` holds
are not repeated, so that the same command continues. Exit code 1 where a promise was broken.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import asdict
from pathlib import Path

from tests.faults.lane import Kill, Lane
from tests.faults.launch import environment, forking, real
from tests.faults.miniature import paid_judge
from tests.faults.points import KINDS

LANES = 2
"""Ways of starting runs that are tried at a time, each in a folder of its own."""
COUNTS = ("lost_rows", "redone_stages", "paid_twice", "differing_tables", "survivors")


def drawn(rng: random.Random, executor: str, kills: int, n_points: int, n_questions: int) -> list[Kill]:
    """Kills that come to every place once before they come to one twice, in random order."""
    places = [("point", n + 1) for n in range(n_points)] + [("question", n + 1) for n in range(n_questions)]
    order: list[tuple[str, int]] = []
    while len(order) < kills:
        order += rng.sample(places, len(places))
    return [Kill(executor, *place, rng.choice(KINDS)) for place in order[:kills]]


@contextmanager
def ray_cluster(control: Path, folder: Path) -> Iterator[str]:
    """A Ray node whose workers number their points; gives its address."""
    port = 26379 + os.getpid() % 1000
    command = [
        str(Path(sys.executable).with_name("ray")),
        "start",
        "--head",
        "--block",
        f"--port={port}",
        "--num-cpus=2",
    ]
    command += ["--include-dashboard=false", f"--temp-dir={folder}", "--disable-usage-stats"]
    # Ray starts its workers at niceness 15, so that a busy machine would leave them no time.
    variables = environment(control) | {"RAY_worker_niceness": "0"}
    with (control / "cluster").open("wb") as output:
        node = subprocess.Popen(command, stdout=output, stderr=output, env=variables, start_new_session=True)
    try:
        yield f"127.0.0.1:{port}"
    finally:
        os.killpg(node.pid, signal.SIGTERM)
        node.wait(60)


def plan_of(out: Path, seed: int, counts: dict[str, int], n_points: int, n_questions: int) -> list[tuple[str, Kill]]:
    """The kills of a sweep; those that `out` was begun with, where it was."""
    file = out / "plan.json"
    if not file.exists():
        rng = random.Random(seed)
        kills = {
            way: drawn(rng, "ray" if way == "ray" else "local", count, n_points, n_questions)
            for way, count in counts.items()
        }
        rows = [{"way": way, **asdict(kill)} for way, listed in kills.items() for kill in listed]
        file.write_text(json.dumps({"seed": seed, "kills": rows}), encoding="utf-8")
    planned = json.loads(file.read_text(encoding="utf-8"))
    if planned["seed"] != seed:
        raise SystemExit(
            f"{out} holds a sweep of seed {planned['seed']}; give --seed {planned['seed']} or another folder"
        )
    return [(row.pop("way"), Kill(**row)) for row in planned["kills"]]


@contextmanager
def lane(way: str, folder: Path) -> Iterator[Lane]:
    """Where and how the runs of a way are started: the real command, or forks on this machine or a Ray cluster."""
    with ExitStack() as stack:
        server = stack.enter_context(paid_judge())
        launch = real if way == "command" else stack.enter_context(forking())
        control = folder / way / "control"
        control.mkdir(parents=True, exist_ok=True)
        options: tuple[str, ...] = ()
        if way == "ray":
            options = ("--executor", "ray", "--address", stack.enter_context(ray_cluster(control, folder / "node")))
        yield Lane(folder / way, server, launch, options)


def sweep(out: Path, seed: int, counts: dict[str, int]) -> list[dict]:
    """Carry out the kills that `out` does not hold yet; returns what became of all."""
    out.mkdir(parents=True, exist_ok=True)
    with lane("forked", out) as here:
        _, n_points, n_questions = here.whole()
    print(f"seed {seed}; {n_points} numbered points and {n_questions} questions", flush=True)
    planned = plan_of(out, seed, counts, n_points, n_questions)
    file = out / "kills.jsonl"
    rows = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()] if file.exists() else []
    todo = {
        way: [kill for where, kill in planned if where == way][sum(row["way"] == way for row in rows) :]
        for way in counts
    }

    def carry_out(way: str) -> None:
        if not todo[way]:
            return
        with lane(way, out) as place:
            whole, _, questions = place.whole()
            for kill in todo[way]:
                row = {"way": way, **place.kill(kill, whole, questions)}
                rows.append(row)
                with file.open("a", encoding="utf-8") as log:
                    log.write(json.dumps(row) + "\n")
                if row["wrong"]:
                    print(json.dumps(row), flush=True)

    with ThreadPoolExecutor(LANES) as lanes:
        for ended in [lanes.submit(carry_out, way) for way in counts]:
            ended.result()
    return rows


def told(rows: Sequence[dict]) -> str:
    """The figures of a sweep as lines."""
    struck = [row for row in rows if row["struck"]]
    lines = [f"kills: {len(struck)} struck of {len(rows)} planned, {sum(row['wrong'] for row in rows)} broke a promise"]
    for name in ("way", "place", "kind"):
        counts = Counter(row[name] for row in struck)
        lines.append(f"by {name}: " + ", ".join(f"{key} {count}" for key, count in sorted(counts.items())))
    points = {(row["place"], row["number"]) for row in struck}
    lines.append(f"different points and questions: {len(points)}")
    lines.append(", ".join(f"{name.replace('_', ' ')} {sum(row[name] for row in rows)}" for name in COUNTS))
    lines.append(f"questions whose reply a kill took away, asked again: {sum(row['questions_lost'] for row in rows)}")
    ends = sorted(row["seconds_to_end"] for row in struck if row["kind"].startswith("SIG"))
    if ends:
        lines.append(f"seconds from a signal to the end: median {ends[len(ends) // 2]:.1f}, longest {ends[-1]:.1f}")
    return "\n".join(lines)


def main() -> int:
    """Run the sweep and print what was found."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path, metavar="OUT")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--kills", type=int, default=360, help="kills on the local executor, with --real those included"
    )
    parser.add_argument("--ray", type=int, default=36, help="kills on a Ray cluster of this machine")
    parser.add_argument(
        "--real", type=int, default=12, help="local kills of the real command, in place of a forked run"
    )
    given = parser.parse_args()
    # Background jobs of a shell ignore Ctrl-C, and so would their children.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    began = time.monotonic()
    counts = {"forked": given.kills - given.real, "ray": given.ray, "command": given.real}
    rows = sweep(given.out.resolve(), given.seed, counts)
    print(f"{told(rows)}\nseed {given.seed}; {(time.monotonic() - began) / 60:.1f} minutes")
    return int(any(row["wrong"] for row in rows))


if __name__ == "__main__":
    sys.exit(main())

"""``python -m tests.mutation [--seed N] [--mutants 200] [PATHS]``: killed share and surviving mutants of a seeded sample."""

from __future__ import annotations

import argparse
import random
import sys
from pathlib import Path

from tqdm import tqdm

from tests.mutation.mutants import Mutant, mutants
from tests.mutation.runner import Result, append, load, runner
from tests.mutation.selection import DEFAULT, sources

ROOT = Path(__file__).parents[2]
GOAL = 0.95
EQUIVALENT: dict[tuple[str, str, str], str] = {}
"""Mutants that compute the same, by file, text before and after, with the reason."""


def main(arguments: list[str] | None = None) -> int:
    """Exit status 0 where at least `GOAL` of the sample is killed."""
    parser = argparse.ArgumentParser(prog="python -m tests.mutation", description=__doc__)
    parser.add_argument("paths", nargs="*", default=list(DEFAULT), help="files or folders to mutate")
    parser.add_argument("--seed", type=int, default=0, help="of the sample")
    parser.add_argument("--mutants", type=int, default=200, help="size of the sample")
    parser.add_argument("--log", type=Path, default=ROOT / "runs" / "mutation.jsonl", help="results, to resume from")
    options = parser.parse_args(arguments)
    chosen = sample(tuple(options.paths), options.mutants, options.seed)
    results = execute(chosen, sources(ROOT, options.paths), options.log)
    survivors = [mutant for mutant in chosen if results[mutant.id].outcome == "survived"]
    killed = len(chosen) - len(survivors)
    print(f"\n{killed} of {len(chosen)} mutants killed ({100 * killed / len(chosen):.1f} %), seed {options.seed}")
    for mutant in survivors:
        reason = EQUIVALENT.get((mutant.path, mutant.before, mutant.after), "")
        print(f"  {mutant.path}:{mutant.line}  {mutant.before}  ->  {mutant.after}{f'  ({reason})' if reason else ''}")
    return 0 if killed >= GOAL * len(chosen) else 1


def sample(paths: tuple[str, ...], count: int, seed: int) -> list[Mutant]:
    """A seeded sample of all mutants of some files, in the order of the files."""
    everything = [mutant for path in sources(ROOT, paths) for mutant in mutants(path, ROOT)]
    chosen = random.Random(seed).sample(everything, min(count, len(everything)))
    return sorted(chosen, key=lambda mutant: (mutant.path, mutant.start, mutant.after))


def execute(chosen: list[Mutant], paths: list[str], log: Path) -> dict[str, Result]:
    """Run what has no result yet for the present source and tests."""
    results = load(log)
    with runner(ROOT) as running:
        running.record(paths, log.with_suffix(""))
        done = {m.id: results[m.id] for m in chosen if m.id in results and _valid(results[m.id], running.digest(m))}
        with tqdm(total=len(chosen), initial=len(done), unit="mutant", dynamic_ncols=True) as bar:
            for mutant in chosen:
                if mutant.id not in done:
                    done[mutant.id] = running.run(mutant)
                    append(log, done[mutant.id])
                    bar.update()
                bar.set_postfix(survived=sum(result.outcome == "survived" for result in done.values()))
    return done


def _valid(result: Result, digest: str) -> bool:
    """A mutant that was killed stays killed as long as it is the same; a survivor is run again where tests changed."""
    return result.outcome != "survived" or result.digest == digest


if __name__ == "__main__":
    sys.exit(main())

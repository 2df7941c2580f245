"""``python -m tests.mutation [--seed N] [--mutants 200] [PATHS]``: killed share and surviving mutants of a seeded sample."""

from __future__ import annotations

import argparse
import random
import sys
from dataclasses import dataclass
from pathlib import Path

from tqdm import tqdm

from tests.mutation.mutants import Mutant, mutants
from tests.mutation.runner import Result, append, load, runner
from tests.mutation.selection import DEFAULT, sources

ROOT = Path(__file__).parents[2]
GOAL = 0.95


@dataclass(frozen=True)
class Equivalent:
    """Changes of one line that compute the same: texts before and after each, and the reason."""

    path: str
    line: str
    changes: frozenset[tuple[str, str]]
    reason: str

    def has(self, mutant: Mutant) -> bool:
        """Whether a mutant is one of these changes."""
        line = (ROOT / mutant.path).read_text(encoding="utf-8").splitlines()[mutant.line - 1].strip()
        return (mutant.path, line) == (self.path, self.line) and (mutant.before, mutant.after) in self.changes


def _equivalent(path: str, line: str, reason: str, *changes: tuple[str, str]) -> Equivalent:
    return Equivalent(path, line, frozenset(changes), reason)


BLOCK = "MOST_CELLS * 100 // n**dimensions"
EQUIVALENT = (
    _equivalent(
        "reports/frontiers/frontier.py", f"size = max(1, {BLOCK})", "size of a block of draws",
        ("1", "(2)"), ("1", "(0)"), ("100", "(101)"), ("100", "(99)"),
        (f"max(1, {BLOCK})", "(min(1, MOST_CELLS * 100 // n ** dimensions))"),
    ),
    _equivalent(
        "reports/frontiers/judges.py", "TAU_DRAWS = 400", "number of draws of an interval", ("400", "(401)"), ("400", "(399)")
    ),
    _equivalent(
        "reports/nightly/drift.py", "PERMUTATIONS = 1999", "number of permutations", ("1999", "(2000)"), ("1999", "(1998)")
    ),
    _equivalent(
        "reports/nightly/pairing.py", "return digest.hexdigest()[:16]", "length of an identifier",
        ("16", "(17)"), ("16", "(15)"),
    ),
    _equivalent(
        "reports/frontiers/planes.py", 'sign = 1.0 if objectives[1].direction == "maximize" else -1.0',
        "only the sign counts", ("1.0", "(2.0)"),
    ),
    _equivalent(
        "reports/statistics/length_control.py", "tolerance: float = 1e-8,", "more steps to the same point",
        ("1e-8", "(-0.99999999)"),
    ),
    _equivalent(
        "reports/statistics/length_control.py", "coefficients += np.clip(step, -2.0, 2.0)",
        "bound of a step towards the same point", ("2.0", "(3.0)"), ("2.0", "(1.0)"),
    ),
    _equivalent(
        "reports/statistics/simultaneous.py", "r = np.linspace(0.0, 12.0, GRID)", "grid of an interpolation",
        ("0.0", "(-1.0)"),
    ),
)  # fmt: skip
"""Known mutants that compute the same. They do not count as killed."""


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
    by_outcome = {
        outcome: [mutant for mutant in chosen if results[mutant.id].outcome == outcome]
        for outcome in ("survived", "timeout")
    }
    killed = len(chosen) - len(by_outcome["survived"])
    print(f"\n{killed} of {len(chosen)} mutants killed ({100 * killed / len(chosen):.1f} %), seed {options.seed}")
    for outcome, listed in by_outcome.items():
        for mutant in listed:
            reasons = (each.reason for each in EQUIVALENT if each.has(mutant))
            reason = next(reasons, "") if outcome == "survived" else "killed by time"
            print(
                f"  {mutant.path}:{mutant.line}  {mutant.before}  ->  {mutant.after}{f'  ({reason})' if reason else ''}"
            )
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

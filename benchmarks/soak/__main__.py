"""Random small builds with random faults, for a stated time; each has to end in the bytes of a build without one.

    python -m benchmarks.soak --minutes 30 --seed 1
    python -m benchmarks.soak --trials 20 --faults kill-worker kill-driver --steps prepare

`benchmarks/soak/faults.py` says what the faults are and what is allowed. Prints the seed, each trial, and how often
each fault had which outcome; a trial whose command had ended before the fault is counted apart. The exit status is 1 if
any was wrong: other bytes, a traceback or anything else that is not one line, a process left over, damage that nothing
tells of, or no end within three minutes. A trial follows from the seed and its number: `--first 12 --trials 1` of the
same faults repeats trial 12.
"""

import argparse
import random
import shutil
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from benchmarks.soak.commands import WrongError
from benchmarks.soak.disks import can_mount
from benchmarks.soak.faults import FAULTS, TooLateError
from benchmarks.soak.recipes import Tools, make_tools
from benchmarks.soak.site import STEPS, Site

# Trials on one corpus and recipe.
_TRIALS_OF_A_SITE = 4


class Soak:
    """The trials, and counts of their outcomes.

    Attributes:
        outcomes: how often each fault had each.
        refused: lines of recipes that came to nothing.
        wrong: how many outcomes are not allowed.
        sites: corpora and recipes so far.
    """

    def __init__(self, seed: int, steps: list[str]) -> None:
        self.outcomes, self.refused, self.wrong, self.sites = Counter[str](), Counter[str](), 0, 0
        self._seed, self._steps = seed, steps
        self._folder = Path(tempfile.mkdtemp(prefix="byline-soak-"))
        self._tools: Tools = make_tools(self._folder / "tools", seed)
        self._site: Site | None = None
        self._site_number = -1

    def try_one(self, number: int, fault: str) -> bool:
        """Makes a trial and prints its outcome; returns whether the fault was brought about."""
        chance = random.Random(f"{self._seed}/{number}/{fault}")
        try:
            site = self._at(number // _TRIALS_OF_A_SITE)
            outcome = FAULTS[fault](site, chance, chance.choice(self._steps))
        except TooLateError:
            outcome = "the command had ended before; not counted"
        except WrongError as error:
            self.wrong, outcome = self.wrong + 1, "WRONG"
            print(f"{self._site and self._site.folder}: {error}", flush=True)
            # Its folder stays, for whoever asks why.
            self._site, self._site_number = None, -1
        self.outcomes[f"{fault}: {outcome.partition(' |')[0]}"] += 1
        print(f"{number:>5} {fault}: {outcome}", flush=True)
        return "not counted" not in outcome

    def _at(self, number: int) -> Site:
        if self._site is None or self._site_number != number:
            self._clean()
            chance = random.Random(f"{self._seed}/{number}")
            folder = Path(tempfile.mkdtemp(prefix=f"{number}-", dir=self._folder))
            self._site, self._site_number = Site(folder, self._tools, chance), number
            self.sites += 1
            self.refused.update(self._site.refused)
        return self._site

    def _clean(self) -> None:
        if self._site is not None:
            shutil.rmtree(self._site.folder)

    def end(self) -> None:
        """Deletes the folders, if nothing was wrong."""
        self._clean()
        if not self.wrong:
            shutil.rmtree(self._folder)


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--trials", type=int, default=10**9, help="so many of each fault, and no more")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--first", type=int, default=0, help="number of the first trial")
    possible = [fault for fault in FAULTS if fault != "full-disk" or can_mount()]
    parser.add_argument("--faults", nargs="+", choices=FAULTS, default=possible, help="full-disk needs root")
    parser.add_argument("--steps", nargs="+", choices=STEPS, default=list(STEPS), help="to kill in")
    arguments = parser.parse_args()
    print(f"seed {arguments.seed}, {', '.join(arguments.faults)}", flush=True)
    soak, counts, number = Soak(arguments.seed, arguments.steps), Counter[str](), arguments.first
    ends = time.monotonic() + 60 * arguments.minutes
    while time.monotonic() < ends and sum(counts.values()) < arguments.trials * len(arguments.faults):
        fault = arguments.faults[number % len(arguments.faults)]
        counts[fault] += soak.try_one(number, fault)
        number += 1
    soak.end()
    print(f"\n{counts.total()} trials on {soak.sites} recipes, seed {arguments.seed}, {soak.wrong} wrong")
    for outcome, count in sorted(soak.outcomes.items()):
        print(f"{count:>5} {outcome}")
    if soak.refused:
        print(f"\n{soak.refused.total()} recipes that came to nothing:")
        for line, count in soak.refused.most_common():
            print(f"{count:>5} {line}")
    sys.exit(1 if soak.wrong else 0)


if __name__ == "__main__":
    main()

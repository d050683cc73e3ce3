"""A random small build that faults are tried on, and a copy of its files to put back.

```
FOLDER/in/    FOLDER/c.yaml    FOLDER/store/    FOLDER/out/       the build
FOLDER/kept/store   kept/out                                      as they are without a fault
FOLDER/commands/0, 1, ...                                         output and scratch files of each command
```
"""

import hashlib
import random
import shutil
from pathlib import Path

from benchmarks.soak.commands import Command, Disk, Ended, WrongError
from benchmarks.soak.recipes import Tools, random_recipe
from tests.support.builds import digests
from tests.support.corpora import write_recipe

STEPS = ("prepare", "plan", "assemble", "verify", "compact", "build")
_MOST_REFUSED = 30
_COMPACT_SIZE = "20KiB"


class Site:
    """A corpus and a recipe, what it is built to, and commands on it.

    Attributes:
        folder: of all of it.
        refused: recipes that came to nothing before one did not, each with its line.
        is_compacted: whether the token store that is put back is.
        kept: folder of what is put back.
        runs, shards: how many a build without a fault writes.
    """

    def __init__(self, folder: Path, tools: Tools, chance: random.Random) -> None:
        self.folder, self.refused, self._commands = folder, list[str](), 0
        self.store, self.out, self.kept = folder / "store", folder / "out", folder / "kept"
        self._compared = tools.compared
        self._build(tools, chance)
        self.expected, self._expected_runs = digests(self.out), self._runs()
        self.runs, self.shards = len(self._expected_runs), sum("/" in name for name in self.expected)
        self.run("verify")
        if (self.store / "tokenizers").exists():
            shutil.copytree(self.store / "tokenizers", self._compared, dirs_exist_ok=True)
        self.is_compacted = chance.random() < 0.3
        if self.is_compacted:
            self.run("compact")
        for name in ("store", "out"):
            shutil.copytree(folder / name, self.kept / name)
        self._texts: dict[str, str] = {}

    def _build(self, tools: Tools, chance: random.Random) -> None:
        while True:
            write_recipe(self.folder / "c.yaml", random_recipe(self.folder, tools, chance))
            self.reset("build")
            ended = self.start("build", 1).end()
            if ended.status == 0:
                return
            self.refused.append(ended.error)
            if len(self.refused) == _MOST_REFUSED:
                raise WrongError("every recipe is refused: " + "\n".join(self.refused))
            shutil.rmtree(self.folder / "in")

    def reset(self, step: str, *, forgets_tokenizer: bool = False) -> None:
        """Puts all back to where a step begins.

        Args:
            step: one of `STEPS`.
            forgets_tokenizer: whether it is found out again about which texts the tokenizer libraries differ, which
                takes seconds.
        """
        for name in ("store", "out"):
            shutil.rmtree(self.folder / name, ignore_errors=True)
        if step not in ("prepare", "build"):
            shutil.copytree(self.kept / "store", self.store)
        elif not forgets_tokenizer:
            shutil.copytree(self._compared, self.store / "tokenizers")
        if step == "verify":
            shutil.copytree(self.kept / "out", self.out)

    def start(
        self,
        step: str,
        workers: int = 2,
        *,
        scans_are_jobs: bool = False,
        disk: Disk | None = None,
        is_slow: bool = False,
    ) -> Command:
        """Starts a step."""
        words = [step, str(self.out if step == "verify" else self.folder / "c.yaml")]
        if step == "compact":
            words += ["--size", _COMPACT_SIZE]
        words += ["--workers", str(workers)]
        self._commands += 1
        folder = self.folder / "commands" / str(self._commands)
        return Command(folder, words, scans_are_jobs=scans_are_jobs, disk=disk, is_slow=is_slow)

    def run(self, step: str) -> Ended:
        """Runs a step that has to end well."""
        ended = self.start(step, 1).end()
        if ended.status != 0:
            raise WrongError(f"{step}: failed\n{ended}")
        return ended

    def text(self, step: str) -> str:
        """What a step that writes nothing says without a fault, in the state that the site is in."""
        if step not in self._texts:
            self._texts[step] = self.run(step).out
        return self._texts[step]

    def _runs(self) -> dict[str, str]:
        """Path -> sha256 of every run; unfinished files stay for a day."""
        return {path: digest for path, digest in digests(self.store).items() if not Path(path).name.startswith(".")}

    def compare(self, *, with_store: bool = False) -> None:
        """Compares shards, plan and list of inputs; the runs too if the token store was not merged.

        Raises:
            WrongError: other bytes, or something is left over.
        """
        if digests(self.out) != self.expected:
            raise WrongError("other bytes than without a fault")
        if with_store and self._runs() != self._expected_runs:
            raise WrongError("other runs than without a fault")
        left = list(self.out.rglob(".*")) + list(self.store.rglob(".byline-lock"))
        if left:
            raise WrongError(f"left over: {left}")


def contents(folder: Path) -> dict[str, tuple[int, str]]:
    """Path -> time of change and sha256, of every file."""
    return {
        str(path.relative_to(folder)): (path.stat().st_mtime_ns, hashlib.sha256(path.read_bytes()).hexdigest())
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }

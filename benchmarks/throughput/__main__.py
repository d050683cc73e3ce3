"""The command line of the benchmark.

    make bench SIZE=200MB                                 a corpus made here, all ways, other tools too
    python -m benchmarks.throughput --smoke               does it run? a megabyte, one round, no other tools
    python -m benchmarks.throughput --corpus FOLDER       a corpus in the layouts of DCLM, C4 and RefinedWeb
    python -m benchmarks.throughput --tokenizer tokenizer.json --rounds 3 --peer-rounds 1

The ways take turns, so that a busy machine slows all of them; each builds in empty folders, with the raw files in the
file cache and the quality model folded before. Prints the tables of `results.py`, and writes them to OUT as results.md,
with results.json and, where matplotlib is installed, results.svg.
"""

import argparse
import sys
from pathlib import Path

from benchmarks.throughput.corpus import EOS, QUALITY_LABEL
from benchmarks.throughput.measuring import CommandError
from benchmarks.throughput.peers import PEERS
from benchmarks.throughput.picture import draw
from benchmarks.throughput.turns import Bench
from byline.errors import BylineError

SMOKE_SIZE = "1MB"


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    """The options."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.throughput",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--size", default="200MB", help="of the corpus that is made  [200MB]")
    parser.add_argument("--corpus", type=Path, help="a folder with dclm/, c4/, refinedweb/ or some of them")
    parser.add_argument("--out", type=Path, default=Path("out/bench"), help="of everything that is made  [out/bench]")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2], help="of `byline build`  [1 2]")
    parser.add_argument("--tokenizer", type=Path, help="a tokenizer.json  [one of 8,192 tokens, trained here]")
    parser.add_argument("--eos", default=EOS, help=f"the name of its end of text  [{EOS}]")
    parser.add_argument("--model", type=Path, help="a fastText model  [one like DCLM's, trained here]")
    parser.add_argument("--dimensions", type=int, default=100, help="of that one  [100]")
    parser.add_argument("--buckets", type=int, default=2_000_000, help="of that one  [2000000]")
    parser.add_argument("--label", default=QUALITY_LABEL, help="the label of it that is good")
    parser.add_argument("--peers", nargs="*", choices=list(PEERS), default=list(PEERS), help="other tools  [all]")
    parser.add_argument("--peer-rounds", type=int, help="in how many rounds they are run  [all]")
    parser.add_argument("--peer-python", default=sys.executable, help="of their environments; 3.11 or 3.12  [this one]")
    parser.add_argument("--smoke", action="store_true", help="says only whether it runs")
    options = parser.parse_args(arguments)
    if options.smoke:
        options.size, options.rounds, options.peers = SMOKE_SIZE, 1, []
        options.dimensions, options.buckets = 8, 10_000
    return options


def main() -> None:
    """Runs the benchmark, and prints and writes what it comes to."""
    options = parse()
    try:
        results = Bench(options).run()
    except (BylineError, CommandError) as error:
        raise SystemExit(f"benchmarks.throughput: {error}") from None
    results.write(options.out)
    print(results.markdown())
    missing = draw(results, options.out / "results.svg")
    print(f"{options.out}: results.json, results.md, " + ("results.svg" if missing is None else missing))


if __name__ == "__main__":
    main()

"""Tables of a swarm: what is read, what is written, and every mistake in one line."""

import numpy as np
import pytest

from byline.errors import BylineError
from byline.schemas.swarm_tables import priors_text, read_swarm, read_token_counts, runs_text, token_count

# As in Olmix's README.
RATIOS = """run,name,index,dclm,wikipedia,arxiv
hz0dfydj,my-swarm-0000,0,0.45,0.30,0.25
pj0hxxl7,my-swarm-0001,1,0.60,0.20,0.20
sqleanmq,my-swarm-0002,2,0.33,0.33,0.34
"""
METRICS = """run,name,index,arc_challenge_bpb,hellaswag_bpb,mmlu_stem_bpb
pj0hxxl7,my-swarm-0001,1,1.15,0.91,1.38
hz0dfydj,my-swarm-0000,0,1.23,0.87,1.45
sqleanmq,my-swarm-0002,2,1.20,0.89,1.42
"""


@pytest.fixture
def read(tmp_path):
    def read(ratios=RATIOS, metrics=METRICS, targets=()):
        for name, text in (("ratios.csv", ratios), ("metrics.csv", metrics)):
            if text is not None:
                (tmp_path / name).write_bytes(text if isinstance(text, bytes) else text.encode())
        return read_swarm(tmp_path / "ratios.csv", tmp_path / "metrics.csv", targets)

    return read


def test_the_tables_of_olmix_are_joined_by_run(read):
    swarm = read()
    assert swarm.runs == ("hz0dfydj", "pj0hxxl7", "sqleanmq")
    assert swarm.domains == ("arxiv", "dclm", "wikipedia")
    assert swarm.metrics == ("arc_challenge_bpb", "hellaswag_bpb", "mmlu_stem_bpb")
    np.testing.assert_allclose(swarm.ratios[0], [0.25, 0.45, 0.3], rtol=1e-12)
    assert swarm.losses.tolist() == [[1.23, 0.87, 1.45], [1.15, 0.91, 1.38], [1.20, 0.89, 1.42]]


def test_run_id_pandas_row_numbers_and_targets(read):
    swarm = read(
        "Unnamed: 0,run_id,a,b\n0,x,1,0\n1,y,0.5,0.495\n",
        ",run_id,loss,note\n0,y,2.5,bad\n1,x,3.5,\n",
        ["loss"],
    )
    assert (swarm.domains, swarm.metrics) == (("a", "b"), ("loss",))
    # Within Olmix's tolerance, and divided by the sum.
    np.testing.assert_allclose(swarm.ratios[1], [0.5 / 0.995, 0.495 / 0.995])
    assert swarm.losses.tolist() == [[3.5], [2.5]]


@pytest.mark.parametrize(
    ("ratios", "metrics", "targets", "message"),
    [
        (None, METRICS, (), r"ratios\.csv: cannot be read \(No such file or directory\)"),
        (b"run,a,b\nx,\xff,1\n", METRICS, (), r"ratios\.csv: byte 10: not UTF-8 text"),
        ("", METRICS, (), r"ratios\.csv: the table has no rows"),
        ("run,a,b\n", METRICS, (), r"ratios\.csv: the table has no rows"),
        ("a,b\n1,0\n", METRICS, (), r"ratios\.csv: expected a column `run` or `run_id`; found a, b"),
        ("run,a\nx,1\n", METRICS, (), r"ratios\.csv: found 1 domains; a mixture needs at least two"),
        ("run,a,a\nx,1,0\n", METRICS, (), r"ratios\.csv: two columns are called 'a'; rename one"),
        ("run,a,b\nx,1\n", METRICS, (), r"ratios\.csv: row 1 has 2 values; expected 3"),
        ('run,a,b\nx,"1,0\n', METRICS, (), r"ratios\.csv: not CSV "),
        ("run,a,b\nx,1,0\nx,0,1\n", METRICS, (), r"ratios\.csv: the run 'x' has two rows; remove one"),
        (
            "run,a,b\nx,1,0\n",
            "run,m\nx,1\ny,1\n",
            (),
            r"metrics\.csv: 'y': not in .*ratios\.csv; expected the same runs",
        ),
        ("run,a,b\nx,1,0\ny,1,0\n", "run,m\nx,1\n", (), r"ratios\.csv: 'y': not in .*metrics\.csv"),
        ("run,a,b\nx,-1,2\n", "run,m\nx,1\n", (), r"row 1, column 'a': expected a finite number, .* found '-1'"),
        ("run,a,b\nx,1,0\n", "run,m\nx,nan\n", (), r"metrics\.csv: row 1, column 'm': .* found 'nan'"),
        ("run,a,b\nx,1,0\n", "run,m\nx,\n", (), r"metrics\.csv: row 1, column 'm': .* found nothing"),
        ("run,a,b\nx,1,0\n", "run,m\nx,-0.5\n", (), r"row 1, column 'm': .* zero or more, found '-0\.5'"),
        ("run,a,b\nx,0.5,0.4\n", "run,m\nx,1\n", (), r"ratios\.csv: row 1: the shares sum to 0\.9; expected 1"),
        ("run,a,b\nx,1,0\n", "run,m\nx,1\n", (), r"'b' has no share in any run, so nothing is known of it"),
        (RATIOS, METRICS, ("perplexity",), r"there is no metric 'perplexity'; found arc_challenge_bpb, "),
        (RATIOS, METRICS, ("hellaswag_bpb",) * 2, r"the metric 'hellaswag_bpb' was asked for twice"),
        (RATIOS, "run,name\nx,y\n", (), r"metrics\.csv: there is no metric beside run, name"),
    ],
)
def test_mistakes_are_one_line(read, ratios, metrics, targets, message):
    with pytest.raises(BylineError, match=message) as raised:
        read(ratios, metrics, targets)
    assert "\n" not in str(raised.value)


def test_what_is_written_is_what_is_read(tmp_path, read):
    text = runs_text(["a, b", "c"], ["r0", "r1"], [["0.25", "0.75"], ["0.5", "0.5"]])
    assert text == 'run,name,index,"a, b",c\nr0,r0,0,0.25,0.75\nr1,r1,1,0.5,0.5\n'
    assert read(text, "run,m\nr0,1\nr1,2\n").ratios.tolist() == [[0.25, 0.75], [0.5, 0.5]]
    (tmp_path / "priors.yaml").write_text(priors_text(["made\nby"], {"c": 3000, "a, b": 1000}))
    assert (tmp_path / "priors.yaml").read_text().startswith("# made\\nby\npriors:\n  relative_sizes:\n    c: 0.75\n")
    assert read_token_counts(tmp_path / "priors.yaml", ["a, b", "c"]).tolist() == [1000, 3000]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("priors: {relative_sizes: {a: 1}}", r"expected `priors: \{token_counts: "),
        ("priors: {token_counts: {a: 1}}", "token_counts has no 'b'; expected one for each of a, b"),
        ("token_counts: {a: 1, b: 0}", r"token_counts\.b: expected a number of tokens above 0, found 0"),
        ("token_counts: {a: 1, b: x}", r"token_counts\.b: expected a number of tokens above 0, found 'x'"),
        ("[]", "expected `priors"),
    ],
)
def test_counts_that_cannot_be_used(tmp_path, text, message):
    (tmp_path / "priors.yaml").write_text(text)
    with pytest.raises(BylineError, match=message):
        read_token_counts(tmp_path / "priors.yaml", ["a", "b"])


def test_counts_of_tokens_as_a_recipe_writes_them():
    assert (token_count("20M"), token_count("1_000")) == (20_000_000, 1000)
    for text in ("all", "0", "-3", "lots"):
        with pytest.raises(BylineError, match="tokens: expected a number of tokens such as "):
            token_count(text)

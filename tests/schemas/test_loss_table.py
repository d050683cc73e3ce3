"""Tables of losses and skills graphs: literal files in, literal arrays or one line of error out."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from byline.errors import BylineError
from byline.schemas.loss_table import identity_graph, read_graph, read_losses
from tests.support.thorough import examples

DOREMI = [("excess_loss",), ("loss", "reference_loss")]
CSV = """step,domain,loss,reference_loss
100,c4,3.5,3.25
100,dclm,2.75,2.5
200,dclm,2.5,2.5
200,c4,3.25,3.25
"""
ROWS = [line.split(",") for line in CSV.splitlines()[1:]]
JSON = "".join(
    json.dumps({"step": int(step), "domain": domain, "loss": float(loss), "reference_loss": float(of_reference)}) + "\n"
    for step, domain, loss, of_reference in ROWS
)


@pytest.fixture
def write(tmp_path):
    def to_file(text, name="losses.csv"):
        path = tmp_path / name
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return path

    return to_file


def fault(error, path):
    """The message without the folder, which is one line."""
    message = str(error.value).replace(str(path), path.name)
    assert "\n" not in message
    return message


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("losses.csv", CSV),
        ("losses.jsonl", JSON),
        ("losses.json", JSON),
        ("losses.NDJSON", JSON),
        ("losses.csv", "\ufeff" + CSV.replace("\n", "\r\n")),
        ("losses.csv", CSV.replace("100,", "100.0,").replace("c4", '"c4"')),
        ("losses.jsonl", JSON.replace("\n", "\n\n")),
        ("losses.jsonl", " " * 100_000 + JSON),
    ],
)
def test_rows_in_any_order_become_arrays(write, name, text):
    table = read_losses(write(text, name), DOREMI)
    assert table.domains == ("c4", "dclm")
    assert table.steps.tolist() == [100, 200]
    assert table.steps.dtype == np.int64
    assert list(table.losses) == ["loss", "reference_loss"]
    assert table.losses["loss"].tolist() == [[3.5, 2.75], [3.25, 2.5]]
    assert table.losses["reference_loss"].tolist() == [[3.25, 2.5], [3.25, 2.5]]
    assert table.losses["loss"].dtype == np.float64


def test_the_first_wanted_columns_that_are_there_are_read(write):
    path = write("step,domain,loss,excess_loss,note\n1,a,2,0.5,x\n1,NA,3,0,\n")
    table = read_losses(path, DOREMI)
    assert table.domains == ("NA", "a")
    assert {name: of.tolist() for name, of in table.losses.items()} == {"excess_loss": [[0.0, 0.5]]}
    assert list(read_losses(path, [("loss", "reference_loss"), ("loss",)]).losses) == ["loss"]
    # A column without any value is not there.
    empty = write("step,domain,loss,reference_loss,excess_loss\n1,a,2,1,\n", "empty.csv")
    assert list(read_losses(empty, DOREMI).losses) == ["loss", "reference_loss"]


def test_a_round_is_a_step_where_it_may_be(write):
    path = write("round,step,domain,loss\n1,100,a,2\n2,300,a,1\n")
    assert read_losses(path, [("loss",)], ("round", "step")).steps.tolist() == [1, 2]
    assert read_losses(path, [("loss",)]).steps.tolist() == [100, 300]


def test_other_columns_of_json_may_be_anything(write):
    path = write(
        '{"step": 1, "domain": "a", "loss": 1, "x": [1]}\n{"step": 2, "domain": "a", "loss": 2, "x": {}}\n', "l.json"
    )
    assert read_losses(path, [("loss",)]).losses["loss"].tolist() == [[1.0], [2.0]]


@examples(30)
@given(
    st.sets(st.integers(-(2**53), 2**53), min_size=1, max_size=5),
    st.sets(st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=4), min_size=1, max_size=4),
    st.data(),
)
def test_any_order_gives_the_same_table(tmp_path_factory, steps, domains, data):
    cells = {(step, domain): float(n) / 8 for n, (step, domain) in enumerate((s, d) for s in steps for d in domains)}
    rows = [{"step": step, "domain": domain, "loss": loss} for (step, domain), loss in cells.items()]
    path = tmp_path_factory.mktemp("any") / "losses.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in data.draw(st.permutations(rows))), encoding="utf-8")
    table = read_losses(path, [("loss",)])
    assert table.domains == tuple(sorted(domains))
    assert table.steps.tolist() == sorted(steps)
    expected = [[cells[step, domain] for domain in sorted(domains)] for step in sorted(steps)]
    assert table.losses["loss"].tolist() == expected


HEAD = "step,domain,loss,reference_loss\n"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "losses.csv: the table is empty; expected one row for each step and domain"),
        (HEAD, "losses.csv: the table has no rows; expected one for each step and domain"),
        (
            "step,domain,Loss\n1,a,2\n",
            "losses.csv: expected the columns step, domain, excess_loss or loss and reference_loss; "
            "found 'step', 'domain', 'Loss'; write what is missing in every row",
        ),
        ("domain,excess_loss\na,2\n", "losses.csv: expected the columns step, domain, excess_loss or loss and"),
        ("step,excess_loss\n1,2\n", "losses.csv: expected the columns step, domain, excess_loss or loss and"),
        ("step,domain,loss,loss\n1,a,2,2\n", "losses.csv: two columns are called 'loss'; rename one"),
        (
            HEAD + "1,a,2,2\n1,b,2,2\n2,a,2,2\n",
            "losses.csv: step 2 has no row for domain 'b'; expected one for each of a, b "
            "(repeat a domain's last losses where a batch had none of its tokens)",
        ),
        (HEAD + "1,b,2,2\n2,a,2,2\n2,b,2,2\n", "losses.csv: step 1 has no row for domain 'a'; expected one for"),
        (
            HEAD + "1,a,2,2\n1,b,2,2\n2,b,2,2\n2,a,2,2\n1,b,3,3\n2,b,9,9\n",
            "losses.csv: row 5 has the same step and domain as row 2; expected one row, so remove one",
        ),
        (HEAD + "1,a,2,2\n1,b,nan,2\n", "losses.csv: row 2, column 'loss': expected a finite number, found nan"),
        (HEAD + "1,a,2,-inf\n", "losses.csv: row 1, column 'reference_loss': expected a finite number, found -inf"),
        (
            HEAD + "1,a,2,2\n1,b,-2,2\n",
            "losses.csv: row 2, column 'loss': expected a mean of -log p, which is zero or more, found -2.0",
        ),
        (
            "step,domain,excess_loss\n1,a,-0.5\n",
            "losses.csv: row 1, column 'excess_loss': expected zero or more, because it is clipped at zero, found -0.5",
        ),
        (HEAD + "1,a,2,2\n1,b,,2\n", "losses.csv: row 2, column 'loss': expected a number, found nothing"),
        (HEAD + "1,a,2,2\n1,,2,2\n", "losses.csv: row 2, column 'domain': expected a name, found "),
        (HEAD + "1,a,2,2\n1.5,a,2,2\n", "losses.csv: row 2, column 'step': expected a whole number, found 1.5"),
        (HEAD + "nan,a,2,2\n", "losses.csv: row 1, column 'step': expected a whole number, found nan"),
        (HEAD + "1e300,a,2,2\n", "losses.csv: row 1, column 'step': expected a whole number, found 1e+300"),
        (
            HEAD + "1,a,2,2\n1,b,x,2\n",
            "losses.csv: In column 3: row 2: CSV conversion error to double: invalid value 'x'; expected CSV with",
        ),
        (
            HEAD + "1,a,2,2\n1,b,2\n",
            "losses.csv: CSV parse error: row 2: Expected 4 columns, got 3: 1,b,2; expected CSV",
        ),
        (HEAD.encode() + b"1,a\xff,2,2\n", "losses.csv: byte 35: not UTF-8 text; write the table as UTF-8"),
    ],
)
def test_faults_of_csv(write, text, message):
    path = write(text)
    with pytest.raises(BylineError) as error:
        read_losses(path, DOREMI)
    assert fault(error, path).startswith(message)


ROW = '{"step": 1, "domain": "a", "excess_loss": 1}\n'


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("\n \n", "losses.jsonl: the table is empty"),
        (
            f"[{ROW}]",
            "losses.jsonl: row 1 is no object; expected one JSON",
        ),
        (ROW + "x", "losses.jsonl: row 2 is no object; expected one JSON object a line"),
        (
            ROW + ROW.replace('"a"', "5"),
            "losses.jsonl: JSON parse error: Column(/domain) changed from string to number in row 2",
        ),
        (
            ROW.replace('"a"', '"a\\u0000"') + ROW,
            "losses.jsonl: row 1, column 'domain': expected a name of at most 500",
        ),
        (
            ROW + ROW.replace('"a"', f'"{"b" * 501}"'),
            "losses.jsonl: row 2, column 'domain': expected a name of at most 500",
        ),
        (ROW.replace('"a"', "null") + ROW, "losses.jsonl: row 1, column 'domain': expected a name, found nothing"),
        (ROW.replace("1}", "NaN}"), "losses.jsonl: row 1, column 'excess_loss': expected a finite number, found nan"),
        (
            ROW.replace("1}", "Infinity}"),
            "losses.jsonl: row 1, column 'excess_loss': expected a finite number, found inf",
        ),
        ('{"step": 1, "domain": "a"}\n', "losses.jsonl: expected the columns step, domain, excess_loss or loss and"),
        (
            "{}\n{}\n",
            "losses.jsonl: expected the columns step, domain, excess_loss or loss and reference_loss; found none",
        ),
        (ROW + ROW, "losses.jsonl: row 2 has the same step and domain as row 1"),
        # The first of these crashed the process.
        ("null\n", "losses.jsonl: row 1 is no object; expected one JSON object a line"),
        ("\n \tnull\n", "losses.jsonl: row 2 is no object; expected one JSON object a line"),
        ("null\n" + ROW, "losses.jsonl: row 1 is no object; expected one JSON object a line"),
        (ROW + "null\n", "losses.jsonl: row 2 is no object; expected one JSON object a line"),
        (ROW.strip() + " null\n", "losses.jsonl: row 1 is no object; expected one JSON object a line"),
        ("1\n", "losses.jsonl: row 1 is no object; expected one JSON object a line"),
        ("[]\n", "losses.jsonl: row 1 is no object; expected one JSON object a line"),
        ("nulll", "losses.jsonl: row 1 is no object; expected one JSON object a line"),
    ],
)
def test_faults_of_json(write, text, message):
    path = write(text, "losses.jsonl")
    with pytest.raises(BylineError) as error:
        read_losses(path, DOREMI)
    assert fault(error, path).startswith(message)


def test_rows_are_numbered_beyond_the_first_megabytes(write):
    rows = [f"{step},a,{'x' * 90},1" for step in range(30_000)]
    rows[25_000] = rows[25_000].replace(",1", ",y")
    with pytest.raises(BylineError, match="row 25001: CSV conversion error"):
        read_losses(write("step,domain,note,excess_loss\n" + "\n".join(rows)), DOREMI)
    rows = [json.dumps({"step": step, "domain": "a", "note": "x" * 90, "excess_loss": 1}) for step in range(30_000)]
    rows[25_000] = rows[25_000].replace(": 1}", ': "1"}')
    with pytest.raises(BylineError, match="in row 25001;"):
        read_losses(write("\n".join(rows), "losses.jsonl"), DOREMI)


def test_a_file_that_is_not_there_or_of_another_kind(tmp_path):
    with pytest.raises(BylineError, match=r"none\.csv: cannot be read \(No such file or directory\); give the path"):
        read_losses(tmp_path / "none.csv", DOREMI)
    with pytest.raises(BylineError, match=r"a name that ends in \.csv, \.json, \.jsonl, \.ndjson; rename"):
        read_losses(tmp_path / "losses.parquet", DOREMI)


def test_many_domains_are_not_all_listed(write):
    rows = [f"1,d{number:02},1" for number in range(12)]
    path = write("step,domain,excess_loss\n" + "\n".join([*rows, "2,d00,1"]))
    with pytest.raises(
        BylineError, match=r"step 2 has no row for domain 'd01'; .* of d00, .*, d07 and 4 more \(repeat"
    ):
        read_losses(path, DOREMI)


# ---------------------------------------------------------------------------------------------------- graphs

GRAPH = "from,to,weight\nc4,c4,1\ndclm,dclm,1\nc4,dclm,0.5\n"


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("graph.csv", GRAPH),
        (
            "graph.jsonl",
            '{"from": "dclm", "to": "dclm", "weight": 1}\n{"from": "c4", "to": "dclm", "weight": 0.5}\n'
            '{"from": "c4", "to": "c4", "weight": 1}\n',
        ),
    ],
)
def test_absent_pairs_weigh_nothing(write, name, text):
    graph = read_graph(write(text, name), ("c4", "dclm"))
    assert (graph.trained, graph.evaluated) == (("c4", "dclm"), ("c4", "dclm"))
    assert graph.weights.tolist() == [[1.0, 0.5], [0.0, 1.0]]


def test_trained_skills_may_be_more_than_the_evaluated_ones_or_others(write):
    fine_tuning = read_graph(write(GRAPH.replace("c4,c4,1\n", "")), ("dclm",))
    assert (fine_tuning.trained, fine_tuning.weights.tolist()) == (("c4", "dclm"), [[0.5], [1.0]])
    out_of_domain = read_graph(write("from,to,weight\nc4,arc,1\ndclm,arc,0\n"), ("arc", "boolq"))
    assert (out_of_domain.trained, out_of_domain.weights.tolist()) == (("c4", "dclm"), [[1.0, 0.0], [0.0, 0.0]])


def test_without_a_graph_each_skill_helps_itself():
    graph = identity_graph(("a", "b"))
    assert (graph.trained, graph.evaluated, graph.weights.tolist()) == (("a", "b"), ("a", "b"), [[1, 0], [0, 1]])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "from,to\na,b\n",
            "graph.csv: expected the columns from, to, weight; found 'from', 'to'; write what is missing",
        ),
        (
            GRAPH + "c4,dlcm,1\n",
            "graph.csv: row 4: an edge to 'dlcm', which has no losses; expected one of c4, dclm",
        ),
        (GRAPH + "c4,c4,2\n", "graph.csv: row 4 has the same `from` and `to` as row 1; expected one row"),
        (GRAPH + "dclm,c4,-1\n", "graph.csv: row 4, column 'weight': expected zero for no edge, or more, found -1.0"),
        (GRAPH + "dclm,c4,inf\n", "graph.csv: row 4, column 'weight': expected a finite number, found inf"),
        (
            "from,to,weight\nc4,c4,1\nc4,dclm,0.5\n",
            "graph.csv: 'dclm' has losses but no row with it under `from`, while other domains have one; "
            "add the row dclm,dclm,1 (weight 0 if it does not help itself)",
        ),
        ("from,to,weight\n", "graph.csv: the table has no rows"),
    ],
)
def test_faults_of_graphs(write, text, message):
    path = write(text, "graph.csv")
    with pytest.raises(BylineError) as error:
        read_graph(path, ("dclm", "c4"))
    assert fault(error, path).startswith(message)


def test_a_byte_order_mark_is_no_content(write):
    path = write("\ufeff" + ROW, "losses.jsonl")
    assert read_losses(path, DOREMI).domains == ("a",)

"""Every edge of every pipeline has a concrete type and a coder that pickles nothing; no graph grows with its input.

The pipelines are those of a real build and a real plan, taken as they are run.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import apache_beam as beam
import pyarrow as pa
import pytest
from apache_beam.coders import registry
from apache_beam.pipeline import PipelineVisitor
from apache_beam.runners.portability.fn_api_runner import FnApiRunner
from apache_beam.typehints.typehints import TypeConstraint
from apache_beam.utils.timestamp import Timestamp
from apache_beam.utils.windowed_value import PaneInfo

import byline.pipelines.runners.settings
import byline.pipelines.wiring.assemble
import byline.pipelines.wiring.lines
import byline.pipelines.wiring.prepare
from byline.pipelines.wiring.prepare import wire_preparing
from byline.schemas.config_file import parse_config
from byline.schemas.documents import InputFile
from byline.transforms.documents.coder import InputFileCoder, RecordBatchCoder
from byline.transforms.store.state import StoreState
from tests.support.builds import build
from tests.support.corpora import Corpus, make_records, recipe, write_jsonl

CODERS = {pa.RecordBatch: RecordBatchCoder, InputFile: InputFileCoder, str: beam.coders.StrUtf8Coder}
# Beam's own edges, inside `Create`, `Reshuffle` and `CombineGlobally`, hold these beside our elements.
PICKLED = {type(None), Timestamp}
BEAMS_OWN = {*PICKLED, bytes, int, PaneInfo}
PICKLES = (
    beam.coders.FastPrimitivesCoder,
    beam.coders.coders.DeterministicFastPrimitivesCoderV2,
    beam.coders.PickleCoder,
    beam.coders.DillCoder,
    beam.coders.CloudpickleCoder,
)
Wire = Callable[[beam.Pipeline], object]


@dataclass(frozen=True)
class Edge:
    """What one transform gives to the next."""

    producer: str
    element_type: Any
    value: Any = field(default=None, compare=False, repr=False)


class _Edges(PipelineVisitor):
    def __init__(self) -> None:
        self.found: list[Edge] = []

    def visit_value(self, value: Any, producer: Any) -> None:
        self.found.append(Edge(producer.full_label, value.element_type, value))


def wired(wire: Wire) -> beam.Pipeline:
    """The pipeline, not run."""
    pipeline = beam.Pipeline(runner=FnApiRunner())
    wire(pipeline)
    return pipeline


def edges_of(wire: Wire) -> list[Edge]:
    visitor = _Edges()
    wired(wire).visit(visitor)
    return visitor.found


def leaves(hint: Any) -> Iterator[Any]:
    """The types that a type hint is made of: `Tuple[int, Iterable[str]]` -> int, str."""
    if isinstance(hint, TypeConstraint):
        inner = list(hint._inner_types()) or list(getattr(hint, "union_types", ()))
        if not inner:
            yield hint
        for part in inner:
            yield from leaves(part)
    else:
        yield type(None) if hint is None else hint


def record(monkeypatch: pytest.MonkeyPatch) -> list[Wire]:
    """Every pipeline that is run from now on; scans of a plan are such, however small."""
    wires: list[Wire] = []
    monkeypatch.setattr(byline.pipelines.runners.settings, "SMALL_SCAN_BYTES", 0)
    for module in (
        byline.pipelines.wiring.prepare,
        byline.pipelines.wiring.lines,
        byline.pipelines.wiring.assemble,
    ):
        real = module.run_pipeline

        def run(wire: Wire, *others: Any, real: Callable[..., Any] = real) -> Any:
            wires.append(wire)
            return real(wire, *others)

        monkeypatch.setattr(module, "run_pipeline", run)
    return wires


@pytest.fixture(scope="module")
def wires(corpus: Corpus, tmp_path_factory: pytest.TempPathFactory) -> list[Wire]:
    with pytest.MonkeyPatch.context() as patch:
        found = record(patch)
        build(recipe(corpus, tmp_path_factory.mktemp("edges")))
    return found


def test_a_build_is_one_pipeline_that_reads_some_that_count_and_one_that_writes(wires: list[Wire]) -> None:
    last = [edges_of(wire)[-1] for wire in wires]
    counting = Edge("CountRuns/WriteCounts", str)
    assert last[0] == Edge("WriteRuns/SortAndWrite", str)
    # Two digits of the score's boundary, a sample, and what is drawn.
    assert last[1:-1] == [counting] * (len(wires) - 2)
    assert len(wires) == 6
    assert last[-1] == Edge("AssembleShards/AssembleShard", str)


def test_every_edge_has_a_concrete_type(wires: list[Wire]) -> None:
    ours = 0
    for wire in wires:
        for edge in edges_of(wire):
            assert set(leaves(edge.element_type)) <= {*CODERS, *BEAMS_OWN}, edge
            ours += edge.element_type in CODERS
            inside = any(name in edge.producer for name in ("ListPath/", "Spread/", "MergeCounts/"))
            assert edge.element_type in CODERS or inside, edge
    assert ours > 30


def test_the_coder_of_each_element_is_registered() -> None:
    assert {kind: type(registry.get_coder(kind)) for kind in CODERS} == CODERS


def test_every_edge_of_the_graph_has_the_coder_of_its_elements(wires: list[Wire]) -> None:
    """The graph itself, as a worker gets it. Beam pickles its own timestamps and empty keys, and nothing else."""
    for wire in wires:
        pipeline = wired(wire)
        graph, context = pipeline.to_runner_api(return_context=True)
        visitor = _Edges()
        pipeline.visit(visitor)
        for edge in visitor.found:
            coder = context.coders.get_by_id(
                graph.components.pcollections[context.pcollections.get_id(edge.value)].coder_id
            )
            kinds = [kind for kind in leaves(edge.element_type) if kind in CODERS]
            parts = list(leaf_coders(coder))
            assert [type(part) for part in parts if type(part) in CODERS.values()] == [CODERS[k] for k in kinds], edge
            pickled = sum(isinstance(part, PICKLES) for part in parts)
            assert pickled == bool(PICKLED & set(leaves(edge.element_type))), (edge, parts)


def leaf_coders(coder: beam.coders.Coder) -> Iterator[beam.coders.Coder]:
    """The coders that a coder is made of."""
    parts = coder._get_component_coders()
    if not parts:
        yield coder
    for part in parts:
        yield from leaf_coders(part)


SLACK_BYTES = 200


def graph_size(wire: Wire) -> int:
    """Bytes of the serialized graph."""
    return len(wired(wire).to_runner_api().SerializeToString())


def graph_sizes(monkeypatch: pytest.MonkeyPatch, values: dict[str, Any]) -> list[int]:
    """Bytes of the serialized graph of each pipeline of a build."""
    with monkeypatch.context() as patch:
        found = record(patch)
        build(values)
    return [graph_size(wire) for wire in found]


def test_no_graph_grows_with_the_number_of_inputs(
    corpus: Corpus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same documents' number in 2 files and in 60."""
    sizes = []
    for name, files in (("few", 2), ("lot", 60)):
        root = tmp_path / name / "mine"
        for number in range(files):
            write_jsonl(root / f"{number:04d}.jsonl", make_records(number, 120 // files))
        values = recipe(corpus, tmp_path / name, tokens="all", mixture="natural", shard={"sequences": 1000})
        values["sources"] = {"mine": {**values["sources"]["mine"], "path": f"{root}/*.jsonl"}}
        values["phases"] = [{**phase, "select": None} for phase in values["phases"]]
        sizes.append(graph_sizes(monkeypatch, values))
    assert len(sizes[0]) == len(sizes[1]) > 3
    # Where the phases end are other numbers, and pickles vary by some bytes; a path would take 60 for each file.
    assert all(abs(few - lot) < SLACK_BYTES for few, lot in zip(*sizes, strict=True)), sizes


def test_the_preparing_graph_is_the_same_for_one_file_and_a_thousand(corpus: Corpus, tmp_path: Path) -> None:
    config = parse_config(recipe(corpus, tmp_path), "test")
    sizes = []
    for files in (1, 1000):
        inputs = [InputFile("mine", f"{number}.jsonl", f"/data/{number}.jsonl", 1) for number in range(files)]
        state = StoreState(dict.fromkeys(config.sources, "f"), dict.fromkeys(config.sources, "00"), inputs)
        sizes.append(graph_size(wire_preparing(config, state, "list")))
    assert abs(sizes[0] - sizes[1]) < SLACK_BYTES

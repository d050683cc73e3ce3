"""What is kept for later pipelines is what Beam would work out again."""

import gc
import inspect
import pickle
import weakref
from collections.abc import Iterator
from typing import Any

import apache_beam as beam
import pytest
from apache_beam.coders import VarIntCoder
from apache_beam.options.pipeline_options import PipelineOptions, StandardOptions, WorkerOptions
from apache_beam.transforms import userstate
from apache_beam.transforms.userstate import BagStateSpec

from byline.pipelines.runners.quick_pipelines import quicken
from byline.transforms.documents import work_lists

quicken()
COUNTS = BagStateSpec("counts", VarIntCoder())
COUNTS_PARAMETER = beam.DoFn.StateParam(COUNTS)


def test_views_share_their_values() -> None:
    options = PipelineOptions(["--streaming"])
    view = options.view_as(StandardOptions)
    assert view is options.view_as(StandardOptions)
    view.streaming = False
    assert not options.view_as(WorkerOptions).view_as(StandardOptions).streaming
    assert pickle.loads(pickle.dumps(options)).view_as(StandardOptions).streaming is False


def test_other_options_have_other_views() -> None:
    first, second = PipelineOptions(["--streaming"]), PipelineOptions([])
    assert (first.view_as(StandardOptions).streaming, second.view_as(StandardOptions).streaming) == (True, False)


def test_views_go_with_their_options() -> None:
    options = PipelineOptions([])
    view = weakref.ref(options.view_as(StandardOptions))
    del options
    gc.collect()
    assert view() is None


class Counting(beam.DoFn):
    """A step with state, which has to be known of any class; as one of Byline's, whose answers are kept."""

    __module__ = "byline.tests"

    def process(self, pair: tuple[str, int], counts: Any = COUNTS_PARAMETER) -> Iterator[int]:
        counts.add(pair[1])
        yield sum(counts.read())


@pytest.mark.parametrize(
    "dofn", [beam.Map(str).dofn, work_lists._ReadTextsFn(), Counting()], ids=lambda dofn: type(dofn).__name__
)
def test_specs_are_those_that_beam_finds(dofn: beam.DoFn) -> None:
    found = userstate.get_dofn_specs(dofn)
    assert found == userstate.get_dofn_specs(dofn) == inspect.unwrap(userstate.get_dofn_specs)(dofn)
    assert found == ({COUNTS} if isinstance(dofn, Counting) else set(), set())

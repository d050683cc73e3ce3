"""Adds to Beam's counters, in a step of a pipeline (`byline.transforms.documents.counters` says which there are)."""

from collections.abc import Mapping

from apache_beam.metrics import Metrics

from byline.transforms.documents.counters import NAMESPACE
from byline.transforms.files import object_store


def count(values: Mapping[str, int]) -> None:
    """Adds to counters, by name, in a step of a pipeline; does nothing outside one."""
    for name, value in values.items():
        if value:
            Metrics.counter(NAMESPACE, name).inc(value)


def count_retries() -> None:
    """Counts the object store calls that this process has retried since this was last called."""
    count({"store_retries": object_store.take_retries()})

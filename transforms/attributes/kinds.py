"""Every kind of attribute by its name in a configuration; its settings are in `schemas.attribute_kinds`."""

from byline.transforms.attributes.classifier import CLASSIFIER
from byline.transforms.attributes.clusters.kind import CLUSTERS
from byline.transforms.attributes.contamination.kind import CONTAMINATION
from byline.transforms.attributes.duplicates.kind import DUPLICATES
from byline.transforms.attributes.function import FUNCTION
from byline.transforms.attributes.rounds import AttributeKind
from byline.transforms.attributes.spans.kind import SPANS
from byline.transforms.attributes.tables.kind import TABLE

KINDS: dict[str, AttributeKind] = {
    "classifier": CLASSIFIER,
    "clusters": CLUSTERS,
    "contamination": CONTAMINATION,
    "duplicates": DUPLICATES,
    "function": FUNCTION,
    "spans": SPANS,
    "table": TABLE,
}

"""Every kind of attribute by its name in a configuration; its settings are in `schemas.attribute_kinds`."""

from byline.transforms.attributes.classifier import CLASSIFIER
from byline.transforms.attributes.clusters.kind import CLUSTERS
from byline.transforms.attributes.contamination.kind import CONTAMINATION
from byline.transforms.attributes.function import FUNCTION
from byline.transforms.attributes.rounds import AttributeKind

KINDS: dict[str, AttributeKind] = {
    "classifier": CLASSIFIER,
    "clusters": CLUSTERS,
    "contamination": CONTAMINATION,
    "function": FUNCTION,
}

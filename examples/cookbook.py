"""A filter, a formatter and a template field of your own; `own_kinds.py` names them in a recipe.

```
record   {"title": "Dish 7", "url": "https://kitchen.example/soups/7", "text": "Simmer gently."}
text     # Dish 7\\nSimmer gently.            is_finished: it ends with a full stop
                   --------------            with_title trains the text alone
prefix   Section: soups\\n                    SECTION, from the URL
```
"""

import pyarrow as pa
import pyarrow.compute as pc

from byline.schemas.fields import FieldQuestion, TemplateField


def is_finished(batch: pa.RecordBatch, end: str = ".") -> pa.Array:
    """A filter: true for each document that is kept."""
    return pc.ends_with(batch["text"], end)


def with_title(batch: pa.RecordBatch, *, mark: str = "# ") -> dict[str, pa.Array]:
    """A formatter: puts the title before the text, and trains the text alone."""
    head = pc.binary_join_element_wise(mark, batch["title"], "\n", "")
    text = pc.binary_join_element_wise(head, batch["text"].cast(pa.string()), "")
    # Nothing but a title is no document; without a text the document is dropped.
    text = pc.if_else(pc.equal(batch["text"], ""), pa.scalar(None, pa.string()), text)
    starts, ends = pc.utf8_length(head).to_pylist(), pc.utf8_length(text).to_pylist()
    spans = [None if end is None else [start, end] for start, end in zip(starts, ends, strict=True)]
    return {"text": text, "loss_spans": pa.array(spans, pa.list_(pa.int32()))}


def section_of(batch: pa.RecordBatch, question: FieldQuestion) -> pa.Array:
    """The first folder of the URL's path; null, so `unknown`, where there is none."""
    return pc.struct_field(pc.extract_regex(batch["url"], r"^https?://[^/]+/(?P<section>[^/]+)/"), "section")


SECTION = TemplateField("section", "the first folder of the URL's path", ("url",), section_of)

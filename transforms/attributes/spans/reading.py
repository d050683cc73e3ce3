"""The spans of a file, in either layout, as rows of a table: start and stop are its first two values.

```
{"path": "a.json.gz", "row": 7, "start": 3, "stop": 9, "label": "email"}      path, document 7, 3, 9, email
```
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from byline.errors import BylineError
from byline.schemas.attribute_kinds.spans import SpansAttribute, SpansLayout
from byline.schemas.documents import InputFile
from byline.transforms.attributes.spans.dolma import read_dolma
from byline.transforms.attributes.tables.layouts import TableShape, read_rows, value_names

START, STOP, LABEL = value_names(3)


@dataclass(frozen=True)
class ReadSpans:
    """Reads the spans of a file.

    Attributes:
        settings: of the attribute.
    """

    settings: SpansAttribute

    def __call__(self, file: InputFile, shape: TableShape) -> Iterator[pa.RecordBatch]:
        """The spans, of a shape made of `settings.table`. Raises: BylineError: one without a start or stop."""
        if self.settings.layout is SpansLayout.DOLMA:
            path, kind = shape.keys["key"]
            yield from read_dolma(file, path, kind, self.settings.attributes, self.settings.least_score)
            return
        for rows in read_rows(file, shape):
            for name, path in ((START, self.settings.start), (STOP, self.settings.stop)):
                missing = rows[name].is_null().to_numpy(zero_copy_only=False)
                if missing.any():
                    row = rows["row"][int(np.argmax(missing))]
                    raise BylineError(
                        f"{file.uri}: row {row}: expected a whole number of characters at {path!r}; mend the span, or "
                        "remove it"
                    )
            yield rows

"""The kind `function`: a user's own function over document batches.

```python
def shouting(batch, least=10):                    # batch: row, text, url, host, kept fields, ... of n documents
    return {"shouting": [share(text) for text in batch["text"].to_pylist()]}
```

It gives a mapping, or a record batch, with one value for each document and each of the attribute's `columns`.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

import pyarrow as pa

from byline.errors import BylineError
from byline.schemas.attribute_kinds.attribute import Attribute, ColumnType
from byline.schemas.attribute_kinds.function import FunctionAttribute
from byline.schemas.config import Config
from byline.schemas.documents import info_of
from byline.transforms.attributes.by_chunk import Columns, round_by_chunk
from byline.transforms.attributes.rounds import AttributeKind, Context, Rounds
from byline.transforms.attributes.values import TYPES
from byline.transforms.documents.own_functions import import_function, module_sha256


@dataclass(frozen=True)
class _Opened:
    """Imports the function where the work is done; `columns` and `options` as JSON, so that it can be hashed."""

    name: str
    function: str
    columns: str
    options: str

    def __call__(self) -> Columns:
        where = f"attributes.{self.name}.function"
        options = json.loads(self.options)
        function = import_function(where, self.function, options)
        types: dict[str, ColumnType] = json.loads(self.columns)

        def columns(batch: pa.RecordBatch) -> Mapping[str, pa.Array]:
            return _checked(
                f"{where}: {self.function}, {info_of(batch).path}", function(batch, **options), types, batch
            )

        return columns


def _checked(where: str, given: Any, types: Mapping[str, ColumnType], batch: pa.RecordBatch) -> dict[str, pa.Array]:
    if isinstance(given, pa.RecordBatch | pa.Table):
        given = {name: given.column(number) for number, name in enumerate(given.schema.names)}
    if not isinstance(given, Mapping) or not types.keys() <= given.keys():
        found = ", ".join(map(str, given)) if isinstance(given, Mapping) else type(given).__name__
        raise BylineError(f"{where}: expected a mapping with {', '.join(types)}, found {found}")
    return {name: _column(f"{where}: {name}", given[name], kind, batch.num_rows) for name, kind in types.items()}


def _column(where: str, values: Any, kind: ColumnType, rows: int) -> pa.Array:
    try:
        array = values.combine_chunks() if isinstance(values, pa.ChunkedArray) else values
        array = array if isinstance(array, pa.Array) else pa.array(array, from_pandas=True)
        array = array.cast(TYPES[kind])
    except (pa.ArrowException, TypeError, ValueError, OverflowError) as error:
        raise BylineError(f"{where}: expected {kind} ({' '.join(str(error).split())})") from None
    if len(array) != rows:
        raise BylineError(f"{where}: {len(array)} values for {rows} documents; give one for each, in order")
    return array


def _rounds(context: Context) -> Rounds:
    settings = context.settings
    assert isinstance(settings, FunctionAttribute), settings
    columns, options = (json.dumps(values, sort_keys=True) for values in (settings.columns, settings.options))
    # Now, so that a function that cannot be imported is an error before any text is read.
    import_function(f"attributes.{context.name}.function", settings.function, settings.options)
    yield round_by_chunk(context, "CallFunction", _Opened(context.name, settings.function, columns, options))
    return {}


def _identity(config: Config, name: str, settings: Attribute) -> Mapping[str, Any]:
    digest = module_sha256(f"attributes.{name}.function", cast(FunctionAttribute, settings).function)
    return {"module": f"sha256 {digest}"}


FUNCTION = AttributeKind(rounds=_rounds, identity=_identity)

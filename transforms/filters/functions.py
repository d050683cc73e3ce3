"""The rule that calls a function of the user's own.

```python
def short_titles(batch: pa.RecordBatch, most: int = 40) -> pa.Array:     # in mine.py
    return pc.less_equal(pc.utf8_length(batch["title"]), most)
```

```yaml
filter:
  - function: {call: "mine:short_titles", options: {most: 60}, name: short_titles}
```

It receives slices of document batches, which end anywhere, and returns for each row whether it is kept (a boolean; null
drops it) or why it is dropped (a string of letters, digits, `_`, `.` and `-`; null keeps it). With strings, documents
count as `filter_<name>_<why>`.
"""

import re
from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import Field, field_validator

from byline.errors import BylineError
from byline.schemas.own_objects import is_own_name
from byline.transforms.documents.own_functions import import_function, module_sha256
from byline.transforms.filters.document_view import DocumentView
from byline.transforms.filters.rules import Rule, Test, Verdict

_REASON = re.compile(r"[A-Za-z0-9_.-]+")


class Function(Rule):
    """A function of the user's own.

    Attributes:
        call: `package.module:function`.
        options: its keyword arguments, plain values.
    """

    kind: ClassVar[str] = "function"
    keeps: ClassVar[str] = "documents that your own function keeps"
    is_costly: ClassVar[bool] = True
    gives_reasons: ClassVar[bool] = True

    call: str
    options: dict[str, Any] = Field(default_factory=dict)

    @field_validator("call")
    @classmethod
    def _is_name(cls, call: str) -> str:
        if not is_own_name(call):
            raise ValueError(f"expected package.module:function, found {call!r}")
        return call

    def versions(self) -> dict[str, Any]:
        return {"module": f"sha256 {module_sha256(self._where, self.call)}"}

    @property
    def _where(self) -> str:
        return f"filter.{self.name or self.kind}"

    def look(self) -> str | None:
        import_function(self._where, self.call, self.options)
        return self.call

    def open(self, cache_folder: str) -> Test:
        function = import_function(self._where, self.call, self.options)
        return lambda documents: self._ask(function, documents)

    def _ask(self, function: Callable[..., Any], documents: DocumentView) -> Verdict:
        try:
            given = function(documents.batch, **self.options)
        except BylineError as error:
            raise BylineError(f"{self._where}: {error}") from None
        verdict = _as_array(given)
        if verdict is None or len(verdict) != len(documents):
            what = type(given).__name__ if verdict is None else f"{len(verdict)} values for {len(documents)} rows"
            raise BylineError(
                f"{self._where}: {self.call} gave {what}; expected a boolean for each row (kept), or a string (why not)"
            )
        if pa.types.is_boolean(verdict.type):
            return pc.fill_null(verdict, False).to_numpy(zero_copy_only=False)
        for reason in verdict.unique().drop_null().to_pylist():
            if not _REASON.fullmatch(reason):
                raise BylineError(
                    f"{self._where}: {self.call} gave the reason {reason!r}; expected letters, digits, '_', '.' and '-'"
                )
        return verdict


def _as_array(given: Any) -> pa.Array | None:
    """A function's answer as booleans or strings; None for anything else."""
    if isinstance(given, pa.ChunkedArray):
        given = given.combine_chunks()
    if isinstance(given, np.ndarray | list):
        try:
            given = pa.array(given)
        except pa.ArrowException:
            return None
    if not isinstance(given, pa.Array):
        return None
    if pa.types.is_null(given.type):
        return given.cast(pa.string())
    if pa.types.is_boolean(given.type):
        return given
    return given.cast(pa.string()) if pa.types.is_string(given.type) or pa.types.is_large_string(given.type) else None

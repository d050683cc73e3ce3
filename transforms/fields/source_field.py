"""The field `source`: the name of the source, which is no column of its token store."""

import numpy as np
import pyarrow as pa

from byline.schemas.fields import FieldQuestion, TemplateField


def _names(batch: pa.RecordBatch, question: FieldQuestion) -> pa.DictionaryArray:
    return pa.DictionaryArray.from_arrays(np.zeros(batch.num_rows, np.int32), pa.array([question.source], pa.string()))


SOURCE = TemplateField("source", "the source's name", (), _names)

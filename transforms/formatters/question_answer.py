"""The formatter `qa`: a question and an answer -> one text, of which the answer is trained.

```
question "Why?"   answer "So."       with the options as they are:
text         "Question: Why?\\nAnswer: So.\\n"
loss_spans                           =====         the answer, and what follows it
```

```
with `weights: {question: 0.2}`:
loss_spans             =====              =====         the question, and what follows it in its template, too
loss_weights             0.2                  1
```

A record whose question or answer is null is malformed.
"""

from collections.abc import Mapping

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from byline.errors import BylineError
from byline.schemas.formatters import Formatter
from byline.transforms.documents.text_parts import characters, joined, span_lists, weight_lists
from byline.transforms.formatters.part_weights import check_weights

_PARTS = ("question", "answer")


def qa(
    batch: pa.RecordBatch,
    *,
    question: str = "Question: {question}\n",
    answer: str = "Answer: {answer}\n",
    weights: Mapping[str, float] | None = None,
) -> dict[str, pa.Array]:
    """Writes questions and answers as texts.

    Args:
        batch: with columns `question` and `answer`.
        question, answer: how each is written, `{question}` and `{answer}` standing for them.
        weights: `question` and `answer` -> how much its loss counts; a question with a weight is trained, too.

    Returns:
        `text`, `loss_spans` and `malformed`; with weights `loss_weights`, too.

    Raises:
        BylineError: an option without its placeholder, or a weight that is none.
    """
    advice = f"expected {' and '.join(_PARTS)}"
    own = None if weights is None else check_weights("qa: weights", weights, _PARTS, advice)
    question_before, question_after = _around("question", question)
    answer_before, answer_after = _around("answer", answer)
    asked = joined(question_before, batch["question"], question_after)
    problem = joined(asked, answer_before)
    text = joined(problem, batch["answer"], answer_after)
    missing = text.is_null().to_numpy(zero_copy_only=False)
    rows = np.flatnonzero(~missing)
    # Where each part begins and ends, in the order of the text.
    parts = {"answer": (characters(problem)[rows], characters(text)[rows])}
    if own is not None and "question" in own:
        parts = {"question": (np.full(len(rows), len(question_before)), characters(asked)[rows]), **parts}
    starts, ends = (np.stack(borders, axis=1).reshape(-1) for borders in zip(*parts.values(), strict=True))
    span_rows = np.repeat(rows, len(parts))
    spans = {"loss_spans": span_lists(span_rows, starts, ends, len(text), missing)}
    if own is not None:
        span_weights = np.tile([own.get(part, 1.0) for part in parts], len(rows))
        spans["loss_weights"] = weight_lists(span_rows, span_weights, len(text), missing)
    reasons = pc.if_else(batch["question"].is_null(), "there is no question", "there is no answer")
    return {
        "text": text,
        **spans,
        "malformed": pc.if_else(text.is_null(), reasons, pa.scalar(None, pa.string())),
    }


def _around(name: str, template: str) -> tuple[str, str]:
    """What stands before and behind the placeholder."""
    parts = template.split(f"{{{name}}}") if isinstance(template, str) else []
    if len(parts) != 2:
        raise BylineError(f"qa: {name}: expected a text with {{{name}}} in it once, found {template!r}")
    return parts[0], parts[1]


QA = Formatter("qa", "a question and its answer, which is trained", _PARTS, qa, weighs=("weights",))

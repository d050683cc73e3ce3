"""The formatter `qa`: a question and an answer -> one text, of which the answer is trained.

```
question "Why?"   answer "So."       with the options as they are:
text         "Question: Why?\\nAnswer: So.\\n"
loss_spans                           =====         the answer, and what follows it
```

A record whose question or answer is null is malformed.
"""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from byline.errors import BylineError
from byline.schemas.formatters import Formatter
from byline.transforms.documents.text_parts import characters, joined, span_lists


def qa(
    batch: pa.RecordBatch, *, question: str = "Question: {question}\n", answer: str = "Answer: {answer}\n"
) -> dict[str, pa.Array]:
    """Writes questions and answers as texts.

    Args:
        batch: with columns `question` and `answer`.
        question, answer: how each is written, `{question}` and `{answer}` standing for them.

    Returns:
        `text`, `loss_spans` and `malformed`.

    Raises:
        BylineError: an option without its placeholder.
    """
    question_before, question_after = _around("question", question)
    answer_before, answer_after = _around("answer", answer)
    problem = joined(question_before, batch["question"], question_after, answer_before)
    text = joined(problem, batch["answer"], answer_after)
    missing = text.is_null().to_numpy(zero_copy_only=False)
    rows = np.flatnonzero(~missing)
    spans = span_lists(rows, characters(problem)[rows], characters(text)[rows], len(text), missing)
    reasons = pc.if_else(batch["question"].is_null(), "there is no question", "there is no answer")
    return {
        "text": text,
        "loss_spans": spans,
        "malformed": pc.if_else(text.is_null(), reasons, pa.scalar(None, pa.string())),
    }


def _around(name: str, template: str) -> tuple[str, str]:
    """What stands before and behind the placeholder."""
    parts = template.split(f"{{{name}}}") if isinstance(template, str) else []
    if len(parts) != 2:
        raise BylineError(f"qa: {name}: expected a text with {{{name}}} in it once, found {template!r}")
    return parts[0], parts[1]


QA = Formatter("qa", "a question and its answer, which is trained", ("question", "answer"), qa)

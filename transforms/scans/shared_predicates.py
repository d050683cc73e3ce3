"""Predicates in the file of a counter: each stands there once, and is one object again when the file is read.

```
counter   stages[0].predicates  {"c4": [0, 1], "dclm": [0]}          predicates  [{"field": "host", ...}, ...]
```

A list of a million hosts is mostly shared by all stages and sources, and to look values up in it takes a set of it.
"""

from typing import Annotated

from pydantic import PlainSerializer, PlainValidator, SerializationInfo, ValidationInfo

from byline.schemas.predicates import Predicate, PredicateNumbers


def _number(predicate: Predicate, info: SerializationInfo) -> int:
    """The context is a `PredicateNumbers`."""
    numbers = info.context
    assert isinstance(numbers, PredicateNumbers), numbers
    return numbers.number(predicate)


def _predicate(number: int, info: ValidationInfo) -> Predicate:
    """The context is the list of predicates."""
    predicates = info.context
    assert isinstance(predicates, list), predicates
    predicate: Predicate = predicates[number]
    return predicate


SharedPredicate = Annotated[Predicate, PlainSerializer(_number), PlainValidator(_predicate)]

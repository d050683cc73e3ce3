"""The tokens that a recipe puts in place of ranges: which of a tokenizer may be one, and their ids.

```
replace: {secrets: "<|hidden|>"}    tokenizer.add: ["<|hidden|>"]                    50277
                                    an added token that its file calls special       its id
                                    a piece of texts; an added token of texts        refused: texts have it, too
                                    padding, BOS or EOS, by whatever name            refused
```
"""

from typing import NoReturn

from byline.errors import BylineError
from byline.schemas.config import Config
from byline.transforms.tokens.text_tokenizer import TextTokenizer, tokenizer_info

_SHOWN = 10


def placeholder_ids(config: Config, tokenizer: TextTokenizer) -> dict[str, int]:
    """Name -> id of the tokens that `replace` names.

    Raises:
        BylineError: the tokenizer has no such added token, or it is one that stands for something else.
    """
    if not config.replace:
        return {}
    info = tokenizer_info(tokenizer, config.tokenizer)
    used = {info.bos_id: "BOS", info.eos_id: "EOS", info.pad_id: "padding"}
    known = [*tokenizer.added, *tokenizer.special_names]
    usable = sorted({name for name in known if tokenizer.vocabulary[name] not in used})
    ids = {}
    for attribute, name in config.replace.items():
        where = f"replace.{attribute}"
        if name not in known:
            _refuse(where, name, usable, tokenizer)
        if name not in usable:
            kind = used[tokenizer.vocabulary[name]]
            raise BylineError(f"{where}: {name!r} is {kind}, so a placeholder could not be told from it; {_of(usable)}")
        ids[name] = tokenizer.vocabulary[name]
    return ids


def replaced_ids(config: Config, tokenizer: TextTokenizer) -> dict[str, dict[str, int]]:
    """Source -> column of ranges, sorted -> id of its placeholder; without sources of which nothing is replaced.

    Raises:
        BylineError: as above.
    """
    ids = placeholder_ids(config, tokenizer)
    replaced = {source: config.replaced_columns(source) for source in config.sources}
    return {source: {column: ids[name] for column, name in own.items()} for source, own in replaced.items() if own}


def _refuse(where: str, name: str, usable: list[str], tokenizer: TextTokenizer) -> NoReturn:
    """Says why a name is no placeholder, and what to do."""
    if name in tokenizer.plain_names:
        raise BylineError(
            f"{where}: {name!r} is an added token that texts become, too, so a placeholder could not be told from it; "
            f"list it under tokenizer.sentinels, with which no text does, or take another: {_of(usable)}"
        )
    raise BylineError(
        f"{where}: {tokenizer.file} has no added token {name!r}, and a placeholder is one token; {_of(usable)}. "
        f"To add it, list it under tokenizer.add: its id is then {tokenizer.vocab_size}, for which the model's "
        "embedding needs a row"
    )


def _of(usable: list[str]) -> str:
    shown = ", ".join(map(repr, usable[:_SHOWN])) or "none"
    more = f" and {len(usable) - _SHOWN} more" if len(usable) > _SHOWN else ""
    return f"its added tokens that may be one are {shown}{more}"

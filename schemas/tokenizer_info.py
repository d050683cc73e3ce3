"""What plans, shards and manifests say about a tokenizer.

```
{"name": "gpt-neox-20b", "sha256": "2e76...", "vocab_size": 50280, "bos_id": 0, "eos_id": 0, "pad_id": 1,
 "added": {"<|url|>": 50277}}
```
"""

from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass(frozen=True)
class TokenizerInfo:
    """A tokenizer, without its vocabulary.

    Attributes:
        name: the file's name without its extension.
        sha256: of the file.
        vocab_size: one more than the largest id, added tokens included.
        bos_id, eos_id: None if the configuration names none.
        pad_id: fills the rest of a row.
        added: name -> id of the tokens that the configuration adds to those of the file.
    """

    name: str
    sha256: str
    vocab_size: int
    bos_id: int | None
    eos_id: int | None
    pad_id: int
    added: dict[str, int] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @property
    def specials(self) -> int:
        """How many BOS and EOS tokens a document gets."""
        return (self.bos_id is not None) + (self.eos_id is not None)

    @property
    def id_bytes(self) -> int:
        """Bytes of an id in the token store."""
        return 2 if self.vocab_size <= 1 << 16 else 4

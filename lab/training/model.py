"""A small decoder-only transformer.

```
ids [n, L] -> embedding -> blocks: x + attention(norm(x)), x + swiglu(norm(x)) -> norm -> logits by the embedding's rows

document   0 0 0 1 1        attention of position 4: to 3 and 4, its own document up to itself
position   0 1 2 0 1        rotary angles start again in each document
```

Parameters, without and with the embedding of 257 (bytes) or 4,096 ids:

```
name   layers  width  heads        blocks       257 ids      4,096 ids
0.1M        2     64      2       106,816       123,264        368,960
0.2M        2     96      3       221,664       246,336        614,880
0.5M        3    128      2       603,008       635,904      1,127,296
1M          3    192      3     1,328,448     1,377,792      2,114,880
2M          5    192      3     2,213,952     2,263,296      3,000,384
4M          6    256      4     4,820,224     4,886,016      5,868,800
8M          8    320      5     9,917,760    10,000,000     11,228,480
15M        10    384      6    17,702,784    17,801,472     19,275,648
30M        12    448      7    29,256,640    29,371,776     31,091,648
```
"""

import math
from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional

from byline.errors import BylineError

_ROTARY_BASE = 10_000.0
_EPSILON = 1e-6


@dataclass(frozen=True)
class ModelSize:
    """How many layers, how wide, how many heads."""

    layers: int
    width: int
    heads: int

    @property
    def inner(self) -> int:
        """The width inside of the SwiGLU: 8/3 of the model's, in 32s."""
        return math.ceil(self.width * 8 / 3 / 32) * 32


MODELS = {
    "0.1M": ModelSize(2, 64, 2),
    "0.2M": ModelSize(2, 96, 3),
    "0.5M": ModelSize(3, 128, 2),
    "1M": ModelSize(3, 192, 3),
    "2M": ModelSize(5, 192, 3),
    "4M": ModelSize(6, 256, 4),
    "8M": ModelSize(8, 320, 5),
    "15M": ModelSize(10, 384, 6),
    "30M": ModelSize(12, 448, 7),
}


def size_named(name: str) -> ModelSize:
    """The size of that name. Raises: BylineError: there is none."""
    if name not in MODELS:
        raise BylineError(f"model: expected one of {', '.join(MODELS)}, found {name!r}")
    return MODELS[name]


@dataclass(frozen=True)
class Layout:
    """What all blocks need to know of a batch.

    Attributes:
        cos, sin: float32 [n, 1, L, head width], of the rotary angles.
        mask: bool [n, 1, L, L], True where a position may attend; None where each row is one document.
    """

    cos: torch.Tensor
    sin: torch.Tensor
    mask: torch.Tensor | None


class Transformer(nn.Module):
    """The model.

    Args:
        size: of `MODELS`.
        vocab_size: how many ids it knows.
        seed: decides the weights it begins with.
    """

    frequencies: torch.Tensor

    def __init__(self, size: ModelSize, vocab_size: int, seed: int = 0) -> None:
        super().__init__()
        self.size, self.vocab_size = size, vocab_size
        self.embedding = nn.Embedding(vocab_size, size.width)
        self.blocks = nn.ModuleList(Block(size) for _ in range(size.layers))
        self.norm = nn.RMSNorm(size.width, eps=_EPSILON)
        half = size.width // size.heads // 2
        self.register_buffer(
            "frequencies", _ROTARY_BASE ** (-torch.arange(half, dtype=torch.float32) / half), persistent=False
        )
        self._begin(seed)

    def hidden(self, input_ids: torch.Tensor, position_ids: torch.Tensor, document_ids: torch.Tensor) -> torch.Tensor:
        """What the logits are made of: [n, L, width].

        Args:
            input_ids, position_ids, document_ids: integers [n, L]; a position attends to those before it in its row
                that have its document id.
        """
        layout = self._layout(position_ids, document_ids)
        values = self.embedding(input_ids)
        for block in self.blocks:
            values = block(values, layout)
        return self.norm(values)

    def logits(self, hidden: torch.Tensor) -> torch.Tensor:
        """[..., vocab_size] of [..., width]."""
        return functional.linear(hidden, self.embedding.weight)

    def _layout(self, position_ids: torch.Tensor, document_ids: torch.Tensor) -> Layout:
        angles = position_ids[..., None].float() * self.frequencies
        angles = torch.cat([angles, angles], dim=-1)[:, None]
        return Layout(angles.cos(), angles.sin(), _mask(document_ids))

    def _begin(self, seed: int) -> None:
        """Normal weights of 0.02, those that add to the residual smaller by the root of twice the layers (GPT-2)."""
        generator = torch.Generator().manual_seed(seed)
        for name, weight in self.named_parameters():
            if weight.dim() == 2:
                adds = name.endswith(("out.weight", "down.weight"))
                scale = 0.02 / math.sqrt(2 * self.size.layers) if adds else 0.02
                with torch.no_grad():
                    weight.normal_(0.0, scale, generator=generator)


class Block(nn.Module):
    """Attention and SwiGLU, each of what the norm before it gives, added to the residual."""

    def __init__(self, size: ModelSize) -> None:
        super().__init__()
        width, self.heads, self.inner = size.width, size.heads, size.inner
        self.attention_norm = nn.RMSNorm(width, eps=_EPSILON)
        self.query_key_value = nn.Linear(width, 3 * width, bias=False)
        self.out = nn.Linear(width, width, bias=False)
        self.inner_norm = nn.RMSNorm(width, eps=_EPSILON)
        self.gate_and_up = nn.Linear(width, 2 * size.inner, bias=False)
        self.down = nn.Linear(size.inner, width, bias=False)

    def forward(self, values: torch.Tensor, layout: Layout) -> torch.Tensor:
        values = values + self._attend(self.attention_norm(values), layout)
        gate, up = self.gate_and_up(self.inner_norm(values)).split(self.inner, dim=-1)
        return values + self.down(functional.silu(gate) * up)

    def _attend(self, values: torch.Tensor, layout: Layout) -> torch.Tensor:
        n, length, width = values.shape
        parts = self.query_key_value(values).view(n, length, 3, self.heads, width // self.heads)
        query, key, value = parts.permute(2, 0, 3, 1, 4)
        query, key = _rotate(query, layout), _rotate(key, layout)
        mixed = functional.scaled_dot_product_attention(
            query, key, value, attn_mask=layout.mask, is_causal=layout.mask is None
        )
        return self.out(mixed.transpose(1, 2).reshape(n, length, width))


def _mask(document_ids: torch.Tensor) -> torch.Tensor | None:
    """bool [n, 1, L, L]; None if every row is of one document."""
    if (document_ids == document_ids[:, :1]).all():
        return None
    length = document_ids.shape[1]
    same = document_ids[:, None, :, None] == document_ids[:, None, None, :]
    return same & torch.ones(length, length, dtype=torch.bool, device=document_ids.device).tril()


def _rotate(values: torch.Tensor, layout: Layout) -> torch.Tensor:
    """Rotary position embedding (2104.09864): pairs (i, i + half) turn by their angle."""
    first, second = values.chunk(2, dim=-1)
    turned = torch.cat([-second, first], dim=-1)
    return values * layout.cos.to(values.dtype) + turned * layout.sin.to(values.dtype)


def parameter_count(model: nn.Module) -> int:
    """How many numbers are trained."""
    return sum(weight.numel() for weight in model.parameters())

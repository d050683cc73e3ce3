"""A small decoder-only transformer, of segments and not of rows: what is computed is what is needed.

```
rows           a a a b b b b b b | c c c . . | d d         segments of documents, some of padding
groups         2 x 3   a a a        1 x 6   b b b b b b        segments of like length side by side, in one
                       c c c        1 x 2   d d                list of tokens: input_ids [N] = a c b d
```

A segment attends to itself alone, each position to those before it, and its rotary angles begin at 0. Nothing else
needs to know of segments: the rest is computed for each token by itself. Attention in rows of 512 with a mask costs
half as much as all else (on one core, 0.5 M parameters), and most of that is masked.

```
ids [N] -> embedding -> blocks: x + attention(norm(x)), x + swiglu(norm(x)) -> norm -> logits by the embedding's rows
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
from collections.abc import Sequence
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


# How many segments stand side by side, and the length of each.
Group = tuple[int, int]


@dataclass(frozen=True)
class Layout:
    """What all blocks need to know of a batch.

    Attributes:
        groups: of its tokens, one after another.
        turns: complex64 [N, 1, head width / 2], what rotary embedding multiplies with.
    """

    groups: Sequence[Group]
    turns: torch.Tensor

    @property
    def sizes(self) -> list[int]:
        """Tokens of each group."""
        return [count * length for count, length in self.groups]


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

    def hidden(self, input_ids: torch.Tensor, groups: Sequence[Group]) -> torch.Tensor:
        """What the logits are made of: [N, width].

        Args:
            input_ids: int64 [N], segments one after another; to have several of unlike length in a group, the shorter
                ones are filled at their ends with any ids.
            groups: what the segments are.
        """
        layout = self._layout(groups)
        values = self.embedding(input_ids)
        for block in self.blocks:
            values = block(values, layout)
        return self.norm(values)

    def logits(self, hidden: torch.Tensor) -> torch.Tensor:
        """[..., vocab_size] of [..., width]."""
        return functional.linear(hidden, self.embedding.weight)

    def _layout(self, groups: Sequence[Group]) -> Layout:
        counted = torch.arange(max(length for _, length in groups), device=self.frequencies.device)
        angles = torch.cat([counted[:length].repeat(count) for count, length in groups])[:, None] * self.frequencies
        return Layout(groups, torch.polar(torch.ones_like(angles), angles)[:, None])

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
        width, self.heads = size.width, size.heads
        self.attention_norm = nn.RMSNorm(width, eps=_EPSILON)
        self.query_key = nn.Linear(width, 2 * width, bias=False)
        self.value = nn.Linear(width, width, bias=False)
        self.out = nn.Linear(width, width, bias=False)
        self.inner_norm = nn.RMSNorm(width, eps=_EPSILON)
        # Not one matrix of both: its gradient would be put together from two, which costs a copy.
        self.gate = nn.Linear(width, size.inner, bias=False)
        self.up = nn.Linear(width, size.inner, bias=False)
        self.down = nn.Linear(size.inner, width, bias=False)

    def forward(self, values: torch.Tensor, layout: Layout) -> torch.Tensor:
        values = values + self._attend(self.attention_norm(values), layout)
        inner = self.inner_norm(values)
        return values + self.down(functional.silu(self.gate(inner)) * self.up(inner))

    def _attend(self, values: torch.Tensor, layout: Layout) -> torch.Tensor:
        query_key = _turned(self.query_key(values).unflatten(-1, (2 * self.heads, -1)), layout.turns)
        value = self.value(values).unflatten(-1, (self.heads, -1))
        parts = zip(layout.groups, query_key.split(layout.sizes), value.split(layout.sizes), strict=True)
        return self.out(torch.cat([self._attend_in_group(*part) for part in parts]))

    def _attend_in_group(self, group: Group, query_key: torch.Tensor, value: torch.Tensor) -> torch.Tensor:
        """Attention within each of a group's segments: [tokens, width] of [tokens, 2 or 1 times heads, head width]."""
        query, key = query_key.unflatten(1, (2, self.heads)).unflatten(0, group).permute(2, 0, 3, 1, 4)
        value = value.unflatten(0, group).transpose(1, 2)
        query, key = query.to(value.dtype), key.to(value.dtype)
        mixed = functional.scaled_dot_product_attention(query, key, value, is_causal=True)
        return mixed.transpose(1, 2).flatten(0, 1).flatten(1, 2)


def _turned(values: torch.Tensor, turns: torch.Tensor) -> torch.Tensor:
    """Rotary position embedding (2104.09864): each pair of numbers, as a complex one, turns by its angle."""
    pairs = torch.view_as_complex(values.float().unflatten(-1, (-1, 2)))
    return torch.view_as_real(pairs * turns).flatten(-2)


def parameter_count(model: nn.Module) -> int:
    """How many numbers are trained."""
    return sum(weight.numel() for weight in model.parameters())

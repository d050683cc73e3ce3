"""The model: sizes, where it begins, and that attention stays inside of a segment."""

import math

import pytest
import torch
from torch.nn import functional

import byline
from byline.errors import BylineError
from byline.lab.training.batches import Domains, make_batch
from byline.lab.training.model import MODELS, Transformer, parameter_count, size_named
from byline.lab.training.predicting import target_losses

COUNTS = {
    "0.1M": (106_816, 123_264, 368_960),
    "0.2M": (221_664, 246_336, 614_880),
    "0.5M": (603_008, 635_904, 1_127_296),
    "1M": (1_328_448, 1_377_792, 2_114_880),
    "2M": (2_213_952, 2_263_296, 3_000_384),
    "4M": (4_820_224, 4_886_016, 5_868_800),
    "8M": (9_917_760, 10_000_000, 11_228_480),
    "15M": (17_702_784, 17_801_472, 19_275_648),
    "30M": (29_256_640, 29_371_776, 31_091_648),
}


def likely(seed: int = 0) -> Transformer:
    """A small model whose weights are large enough for every token to matter."""
    model = Transformer(size_named("0.1M"), 50, seed)
    with torch.no_grad():
        for weight in model.parameters():
            weight.mul_(8.0 if weight.dim() == 2 else 1.0)
    return model


@pytest.mark.parametrize("name", MODELS)
def test_parameters(name: str) -> None:
    width = MODELS[name].width
    blocks = parameter_count(Transformer(size_named(name), 257)) - 257 * width
    assert (blocks, blocks + 257 * width, blocks + 4096 * width) == COUNTS[name]


def test_an_unknown_size_is_named() -> None:
    with pytest.raises(BylineError, match=r"expected one of 0\.1M, .*, 30M, found '3M'"):
        size_named("3M")


def test_a_seed_decides_the_weights() -> None:
    torch.manual_seed(1)
    first = Transformer(size_named("0.1M"), 50, 7).state_dict()
    torch.manual_seed(2)
    again = Transformer(size_named("0.1M"), 50, 7).state_dict()
    assert all(torch.equal(first[name], again[name]) for name in first)
    other = Transformer(size_named("0.1M"), 50, 8).state_dict()
    assert not any(torch.equal(first[name], other[name]) for name in first if first[name].dim() == 2)
    assert first["blocks.0.gate.weight"].std().item() == pytest.approx(0.02, rel=0.05)
    assert first["blocks.0.down.weight"].std().item() == pytest.approx(0.01, rel=0.05)


def test_attention_is_what_its_definition_says() -> None:
    """One block of two heads, by loops over heads, queries and keys."""
    torch.manual_seed(0)
    model = likely()
    block, values = model.blocks[0], torch.randn(5, 64)
    expected = torch.zeros(5, 64)
    query, key = block.query_key(values).view(5, 2, 2, 16, 2).unbind(1)
    value = block.value(values).view(5, 2, 32)
    for head in range(2):
        for at in range(5):
            scores = []
            for before in range(at + 1):
                pairs = [
                    _turn(query[at, head, pair], at, pair) @ _turn(key[before, head, pair], before, pair)
                    for pair in range(16)
                ]
                scores.append(sum(pairs) / math.sqrt(32))
            shares = torch.stack(scores).softmax(0)
            expected[at, 32 * head : 32 * head + 32] = shares @ value[: at + 1, head]
    layout = model._layout([(1, 5)])
    assert torch.allclose(block._attend(values, layout), block.out(expected), atol=1e-5)


def _turn(pair: torch.Tensor, position: int, number: int) -> torch.Tensor:
    angle = position * 10_000 ** (-number / 16)
    cos, sin = math.cos(angle), math.sin(angle)
    return torch.stack([cos * pair[0] - sin * pair[1], sin * pair[0] + cos * pair[1]])


def test_segments_in_one_list_are_what_each_is_alone() -> None:
    """Unlike lengths in one group too: what fills the end of a shorter one changes nothing."""
    torch.manual_seed(0)
    model, segments = likely(), [torch.randint(0, 50, (length,)) for length in (7, 7, 5, 3, 1)]
    alone = [model.hidden(segment, [(1, len(segment))]) for segment in segments]
    apart = model.hidden(torch.cat(segments), [(2, 7), (1, 5), (1, 3), (1, 1)])
    assert torch.allclose(apart, torch.cat(alone), atol=1e-5)

    filled = torch.cat([*segments[:2], segments[2], torch.tensor([9, 9]), segments[3], segments[4]])
    together = model.hidden(filled, [(3, 7), (1, 3), (1, 1)])
    kept = torch.cat([together[:19], together[21:]])
    assert torch.allclose(kept, torch.cat(alone), atol=1e-5)


def test_the_loss_of_rows_is_that_of_their_segments_alone(shards: byline.Shards) -> None:
    model, domains = Transformer(size_named("0.1M"), 257, 3), Domains(shards)
    expected: list[float] = []
    for row in shards[:8]:
        start = 0
        for length in row["seq_lengths"]:
            ids = torch.from_numpy(row["input_ids"][start : start + length].astype("int64"))
            trained = torch.from_numpy(row["loss_mask"][start : start + length] != 0)
            logits = model.logits(model.hidden(ids, [(1, int(length))]))
            losses = functional.cross_entropy(logits[:-1], ids[1:], reduction="none")
            expected += losses[trained[1:]].tolist()
            start += int(length)
    batch = make_batch(shards, range(8), domains)
    assert target_losses(model, batch).tolist() == pytest.approx(expected, rel=1e-5)


def test_half_precision_is_near(shards: byline.Shards, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a GPU computes in bfloat16, with a CPU's."""
    model, batch = Transformer(size_named("0.1M"), 257, 0), make_batch(shards, range(6), Domains(shards))
    whole = target_losses(model, batch)
    monkeypatch.setattr(
        "byline.lab.training.predicting._precision", lambda device: torch.autocast("cpu", torch.bfloat16)
    )
    half = target_losses(model, batch)
    assert half.dtype == torch.float32
    assert not torch.equal(half, whole)
    assert torch.allclose(half, whole, atol=0.03)
    half.mean().backward()
    assert all(weight.grad.dtype == torch.float32 for weight in model.parameters())


def test_what_a_segment_is_trained_on_gives_gradient_to_what_it_can_see_alone() -> None:
    model = likely()
    hidden = model.hidden(torch.tensor([1, 2, 3, 11, 12, 13, 14]), [(1, 3), (1, 4)])
    model.logits(hidden[4])[5].backward(inputs=[model.embedding.weight])
    gradient = model.embedding.weight.grad
    assert gradient is not None
    # The logits give a gradient to row 5 of the embedding; the rest comes through attention to ids 11 and 12.
    assert torch.nonzero(gradient.abs().sum(1)).reshape(-1).tolist() == [5, 11, 12]

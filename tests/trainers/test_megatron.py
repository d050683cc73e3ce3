"""`byline export --to megatron`: what Megatron-core's `IndexedDataset` reads of it, by the data set of docs/exports.md.

And by its own `GPTDataset`, which knows neither the mask nor rows.
"""

import re
from collections import Counter

import numpy as np
import pytest
from megatron.core.datasets.gpt_dataset import GPTDataset, GPTDatasetConfig
from megatron.core.datasets.indexed_dataset import IndexedDataset
from megatron.core.datasets.utils import Split
from torch.utils.data import ConcatDataset, DataLoader

import byline
from tests.trainers.conftest import BUILDS, ROOT
from tests.trainers.packings import PACKINGS, PHASES
from tests.trainers.recorder import check_order


def rows_class(column: str = "loss_mask") -> type:
    """The class `Rows` of docs/exports.md; of a build with loss weights they are its `column`."""
    page = (ROOT / "docs/exports.md").read_text().replace('f"{prefix}_loss_mask"', f'f"{{prefix}}_{column}"')
    names: dict[str, type] = {}
    exec(re.search(r"## megatron\n.*?```python\n(.*?)```", page, re.DOTALL)[1], names)
    return names["Rows"]


def prefixes(packing: str, phase: str) -> list[str]:
    files = sorted((BUILDS / "megatron" / packing / phase).glob("*_loss_mask.idx"))
    return [str(file).removesuffix("_loss_mask.idx") for file in files]


@pytest.mark.parametrize("phase", PHASES)
@pytest.mark.parametrize("packing", PACKINGS)
def test_the_data_set_of_the_page(packing, phase):
    """Of one row a sequence, and attention within segments by where positions begin again."""
    shards = byline.open(BUILDS / packing).phase(phase)
    dataset = ConcatDataset([rows_class()(prefix) for prefix in prefixes(packing, phase)])
    batches = [with_attention_mask(batch) for batch in DataLoader(dataset, batch_size=8)]
    assert byline.audit(batches, shards, "megatron").is_equal
    check_order((batch["tokens"] for batch in batches), shards)


@pytest.mark.parametrize("phase", PHASES)
def test_the_data_set_of_the_page_with_weights(phase):
    shards = byline.open(BUILDS / "weighed").phase(phase)
    dataset = ConcatDataset([rows_class("loss_weight")(prefix) for prefix in prefixes("weighed", phase)])
    batches = [with_attention_mask(batch) for batch in DataLoader(dataset, batch_size=8)]
    report = byline.audit(batches, shards, "megatron")
    assert report.is_equal
    assert report.trained_weight != report.trained


def with_attention_mask(batch: dict) -> dict:
    """As `GPTDataset` makes it with `reset_attention_mask`: True where a token may not attend."""
    documents = (batch["position_ids"] == 0).cumsum(1)
    is_other = documents[:, :, None] != documents[:, None, :]
    length = documents.shape[1]
    return {**batch, "attention_mask": (is_other | ~np.tri(length, dtype=bool))[:, None]}


def test_without_an_attention_mask_attention_crosses_documents():
    """`create_attention_mask: false`, and a kernel that is not told where segments begin."""
    shards = byline.open(BUILDS / "best_fit").phase("conditioned")
    dataset = ConcatDataset([rows_class()(prefix) for prefix in prefixes("best_fit", "conditioned")])
    report = byline.audit(DataLoader(dataset, batch_size=8), shards, "megatron")
    assert [each.what for each in report.differences] == ["that see other tokens, at the same position"]


class Tokenizer:
    """What `GPTDataset` asks of a tokenizer."""

    def __init__(self, tokenizer: dict) -> None:
        self.vocab_size, self.eod = tokenizer["vocab_size"], tokenizer["eos_id"]
        self.pad = self.vocab_size
        self.unique_identifiers = {"class": "Tokenizer"}


def test_gpt_dataset_loses_the_mask_and_rows(tmp_path):
    """Tokens are there once, in samples cut anew of segments in an order of its own, and all of them are trained."""
    build = byline.open(BUILDS / "best_fit")
    shards = build[: build.manifest.phases[0].shards[0].rows]
    prefix = prefixes("best_fit", "conditioned")[0]
    config = GPTDatasetConfig(
        random_seed=1,
        sequence_length=shards.sequence_length,
        blend=([prefix], None),
        split="1,0,0",
        path_to_cache=str(tmp_path),
        tokenizer=Tokenizer(shards.manifest.tokenizer),
        reset_position_ids=True,
        reset_attention_mask=True,
        eod_mask_loss=False,
    )
    indexed = IndexedDataset(prefix)
    dataset = GPTDataset(indexed, prefix, np.arange(len(indexed), dtype=np.int32), None, Split.train, config)
    samples = [dataset[number] for number in range(len(dataset))]
    read = Counter(np.concatenate([sample["tokens"].numpy() for sample in samples]).tolist())
    written = Counter(shards.batch(range(len(shards)))["input_ids"].reshape(-1).tolist())
    assert read <= written
    # The last sample lacks a token to predict.
    assert (written - read).total() <= shards.sequence_length
    batches = [{name: values[None] for name, values in sample.items()} for sample in samples]
    lost = {each.what: each.count for each in byline.audit(batches, shards, "megatron").differences}
    assert lost["trained though the loss mask leaves them out"] > 100
    assert lost["that see other tokens, at another position"] > 100

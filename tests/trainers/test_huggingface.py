"""`Trainer` of transformers: exact with one setting, and what it does without."""

import warnings
from pathlib import Path

import pytest
import train_huggingface
from datasets import load_dataset
from tiny_model import tiny_model
from train_trl import tokenizer_of
from transformers import DataCollatorForLanguageModeling, Trainer, TrainingArguments

import byline
from byline.adapters.torch import ShardDataset, whole
from tests.trainers.recorder import Recorder


def arguments(folder, **changes):
    values = {"max_steps": 4, "per_device_train_batch_size": 8, "save_strategy": "no", "report_to": "none"}
    return TrainingArguments(str(folder), **{**values, **changes})


def test_the_example(shards, tmp_path):
    model = tiny_model(shards)
    recorder = Recorder(model)
    with warnings.catch_warnings():
        warnings.filterwarnings("error", message="a batch has a row of phase")
        train_huggingface.train(shards, model, str(tmp_path))
    recorder.check(shards)


def test_its_own_order_mixes_phases(concat, tmp_path):
    """The same targets, but not in training order; `train_sampling_strategy="sequential"` mends it."""
    model = tiny_model(concat)
    recorder = Recorder(model)
    with pytest.warns(UserWarning, match="the sampler shuffles across phases"):
        Trainer(model, arguments(tmp_path, max_steps=8), train_dataset=ShardDataset(concat)).train()
    assert recorder.audit(concat).is_equal
    with pytest.raises(AssertionError):
        recorder.check(concat)


def test_the_lengths_of_flash_attention(concat, tmp_path):
    """One sequence a batch: with the two settings, they reach the model."""
    model = tiny_model(concat)
    recorder = Recorder(model)
    settings = arguments(tmp_path, train_sampling_strategy="sequential", remove_unused_columns=False)
    dataset = ShardDataset(concat[:32], "huggingface_flat")
    Trainer(model, settings, train_dataset=dataset, data_collator=whole).train()
    recorder.check(concat[:32], "huggingface_flat")


@pytest.mark.parametrize("workers", [0, 2])
def test_resumed_from_a_checkpoint(concat, tmp_path, workers):
    """`Trainer` leaves out the batches that the checkpoint has seen."""
    model = tiny_model(concat)
    recorder = Recorder(model)
    values = {"train_sampling_strategy": "sequential", "save_strategy": "steps", "save_steps": 3}
    values |= {"max_steps": 8, "dataloader_num_workers": workers}
    Trainer(model, arguments(tmp_path, **values), train_dataset=ShardDataset(concat)).train()
    recorder.check(concat)
    resumed = tiny_model(concat)
    rest = Recorder(resumed)
    trainer = Trainer(resumed, arguments(tmp_path, **values), train_dataset=ShardDataset(concat))
    trainer.train(resume_from_checkpoint=str(tmp_path / "checkpoint-3"))
    rest.check(concat[24:])


def test_files_alone_lose_the_mask(concat, tmp_path):
    """`load_dataset` and the collator for language models: they know of input_ids and nothing else.

    That collator also leaves out what it takes for padding: each EOS, where the pad token is the same.
    """
    model = tiny_model(concat)
    recorder = Recorder(model)
    files = sorted(map(str, Path(concat.directory).glob("*/*.arrow")))
    dataset = load_dataset("arrow", data_files=files, split="train", cache_dir=str(tmp_path / "cache"))
    collator = DataCollatorForLanguageModeling(tokenizer_of(concat), mlm=False)
    settings = arguments(tmp_path, max_steps=20)
    Trainer(model, settings, train_dataset=dataset, data_collator=collator).train()
    report = recorder.audit(byline.open(concat.directory))
    lost = {each.what: each.count for each in report.differences}
    assert lost["that see other tokens, at another position"] > 1000
    assert lost["trained though the loss mask leaves them out"] > 1000
    assert lost["that are not trained"] > 100

"""`SFTTrainer` of TRL: exact with four settings, and what is lost without each."""

import datasets
import pytest
import train_trl
from tiny_model import tiny_model
from trl import SFTConfig, SFTTrainer

import byline
from tests.trainers.recorder import Recorder

SETTINGS = {
    "padding_free": True,
    "max_length": None,
    "dataset_kwargs": {"skip_prepare_dataset": True},
    "train_sampling_strategy": "sequential",
}
PLAIN = {
    "per_device_train_batch_size": 8,
    "num_train_epochs": 1,
    "save_strategy": "no",
    "report_to": "none",
    "bf16": False,
}
FLAT = "huggingface_flat"


def trained(shards, folder, rows, **changes):
    """What the model got of some columns."""
    model = tiny_model(shards)
    recorder = Recorder(model)
    settings = SFTConfig(str(folder), **{**PLAIN, **SETTINGS, **changes})
    dataset = datasets.Dataset.from_dict(rows)
    SFTTrainer(model, settings, train_dataset=dataset, processing_class=train_trl.tokenizer_of(shards)).train()
    return recorder


def test_the_example(shards, tmp_path):
    model = tiny_model(shards)
    recorder = Recorder(model)
    train_trl.train(shards, model, str(tmp_path))
    recorder.check(shards, FLAT)


def columns(shards):
    return byline.collate(shards.batch(range(len(shards))), "trl")


def test_without_padding_free_attention_crosses_documents(concat, tmp_path):
    report = trained(concat, tmp_path, columns(concat), padding_free=False).audit(concat)
    assert {each.what for each in report.differences} >= {"that see other tokens, at another position"}


def test_its_own_order_mixes_phases(concat, tmp_path):
    recorder = trained(concat, tmp_path, columns(concat), train_sampling_strategy="random")
    assert recorder.audit(concat, FLAT).is_equal
    with pytest.raises(AssertionError):
        recorder.check(concat, FLAT)


def test_a_loss_mask_under_its_own_name_is_dropped(concat, tmp_path):
    """The columns of a shard as they are: every token is trained."""
    rows = byline.to_table(concat, ["input_ids", "loss_mask", "seq_lengths"]).to_pydict()
    report = trained(concat, tmp_path, rows).audit(concat, FLAT)
    assert {each.what for each in report.differences} == {"trained though the loss mask leaves them out"}


def test_a_mask_without_labels_is_refused(concat, tmp_path):
    rows = {name: values for name, values in columns(concat).items() if name != "labels"}
    with pytest.raises(ValueError, match="has mask columns but no 'labels'"):
        trained(concat, tmp_path, rows)


def test_preparing_makes_the_same_labels_of_a_completion_mask(concat, tmp_path):
    """Without labels, if it is to prepare the rows and to heed the mask."""
    rows = {name: values for name, values in columns(concat).items() if name != "labels"}
    recorder = trained(concat, tmp_path, rows, dataset_kwargs=None, completion_only_loss=True)
    recorder.check(concat, FLAT)

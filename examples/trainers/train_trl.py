"""TRL's `SFTTrainer`: `python examples/trainers/train_trl.py OUT`, with the folder of a build."""

import sys

import torch
from datasets import Dataset
from tiny_model import tiny_model
from transformers import PreTrainedModel, PreTrainedTokenizerFast
from trl import SFTConfig, SFTTrainer

import byline


def train(shards: byline.Shards, model: PreTrainedModel, folder: str = "out/train_trl") -> None:
    """One pass over the rows, in training order."""
    arguments = SFTConfig(
        folder,
        padding_free=True,
        max_length=None,
        dataset_kwargs={"skip_prepare_dataset": True},
        train_sampling_strategy="sequential",
        per_device_train_batch_size=8,
        num_train_epochs=1,
        logging_steps=1,
        save_strategy="no",
        report_to="none",
        bf16=torch.cuda.is_available(),
    )
    dataset = Dataset.from_dict(byline.collate(shards.batch(range(len(shards))), "trl"))
    SFTTrainer(model, arguments, train_dataset=dataset, processing_class=tokenizer_of(shards)).train()


def tokenizer_of(shards: byline.Shards) -> PreTrainedTokenizerFast:
    """The build's tokenizer."""
    settings = shards.manifest.config["tokenizer"]
    return PreTrainedTokenizerFast(
        tokenizer_file=settings["file"], eos_token=settings["eos"], pad_token=settings["eos"]
    )


if __name__ == "__main__":
    rows = byline.open(sys.argv[1])[:40]
    train(rows, tiny_model(rows))

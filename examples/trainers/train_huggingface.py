"""Hugging Face `Trainer`: `python examples/trainers/train_huggingface.py OUT`, with the folder of a build."""

import sys

from tiny_model import tiny_model
from transformers import PreTrainedModel, Trainer, TrainingArguments

import byline
from byline.adapters.torch import ShardDataset


def train(shards: byline.Shards, model: PreTrainedModel, folder: str = "out/train_huggingface") -> None:
    """One pass over the rows, in training order."""
    arguments = TrainingArguments(
        folder,
        train_sampling_strategy="sequential",
        per_device_train_batch_size=8,
        num_train_epochs=1,
        logging_steps=1,
        save_strategy="no",
        report_to="none",
    )
    Trainer(model, arguments, train_dataset=ShardDataset(shards)).train()


if __name__ == "__main__":
    rows = byline.open(sys.argv[1])[:40]
    train(rows, tiny_model(rows))

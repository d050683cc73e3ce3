"""Lightning, with checkpoints inside an epoch: `python examples/trainers/train_lightning.py OUT`."""

import sys

import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint
from tiny_model import tiny_model
from torchdata.stateful_dataloader import StatefulDataLoader

import byline
from byline.adapters.torch import ShardDataset, whole


class LanguageModel(LightningModule):
    """A model of transformers."""

    def __init__(self, model: torch.nn.Module) -> None:
        super().__init__()
        self.model = model

    def training_step(self, batch: dict[str, torch.Tensor], number: int) -> torch.Tensor:
        """The loss of one batch."""
        loss = self.model(**batch, use_cache=False).loss
        self.log("loss", loss, prog_bar=True)
        return loss

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """One for all parameters."""
        return torch.optim.AdamW(self.parameters())


def train(
    shards: byline.Shards,
    model: torch.nn.Module,
    folder: str = "out/train_lightning",
    checkpoint: str | None = None,
    steps: int = -1,
) -> str:
    """Goes on from a checkpoint for so many steps, or to the end; returns the last checkpoint."""
    loader = StatefulDataLoader(ShardDataset(shards), batch_size=8, num_workers=2, collate_fn=whole)
    checkpoints = ModelCheckpoint(folder, every_n_train_steps=2, save_top_k=-1)
    trainer = Trainer(max_epochs=1, max_steps=steps, callbacks=[checkpoints], logger=False)
    trainer.fit(LanguageModel(model), loader, ckpt_path=checkpoint)
    return checkpoints.best_model_path


if __name__ == "__main__":
    rows = byline.open(sys.argv[1])[:40]
    train(rows, tiny_model(rows), checkpoint=train(rows, tiny_model(rows), steps=2))

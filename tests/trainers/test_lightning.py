"""Lightning: exact from a checkpoint inside an epoch, if the loader has a state."""

import torch
import train_lightning
from lightning.pytorch import Trainer
from lightning.pytorch.callbacks import ModelCheckpoint
from tiny_model import tiny_model
from torch.utils.data import DataLoader

from byline.adapters.torch import ShardDataset
from tests.trainers.recorder import Recorder


def test_the_example_goes_on(shards, tmp_path):
    model = tiny_model(shards)
    recorder = Recorder(model)
    checkpoint = train_lightning.train(shards, model, str(tmp_path), steps=6)
    recorder.check(shards[:48])
    resumed = tiny_model(shards)
    rest = Recorder(resumed)
    train_lightning.train(shards, resumed, str(tmp_path / "rest"), checkpoint)
    rest.check(shards[48:])


def test_without_a_state_it_begins_again(concat, tmp_path):
    """PyTorch's own `DataLoader` in place of torchdata's: the rows that the checkpoint has seen come again."""

    def fit(steps: int, checkpoint: str | None) -> Recorder:
        model = tiny_model(concat)
        recorder = Recorder(model)
        loader = DataLoader(ShardDataset(concat[:64]), batch_size=8)
        saves = ModelCheckpoint(tmp_path, every_n_train_steps=2, save_top_k=-1, filename="{step}")
        trainer = Trainer(accelerator="cpu", max_epochs=1, max_steps=steps, callbacks=[saves], logger=False)
        trainer.fit(train_lightning.LanguageModel(model), loader, ckpt_path=checkpoint)
        return recorder

    first = fit(4, None)
    rest = fit(-1, str(tmp_path / "step=4.ckpt"))
    assert torch.equal(rest.batches[0]["input_ids"], first.batches[0]["input_ids"])
    assert not rest.audit(concat[32:64]).is_equal

"""A task and a plan -> a network, by lightning: resumable after each epoch, and the same as without a break."""

import logging
import os
import shutil
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from pytorch_lightning import Callback, LightningModule, Trainer
from pytorch_lightning.callbacks import ModelCheckpoint, RichProgressBar
from pytorch_lightning.plugins.io import TorchCheckpointIO
from torch import Tensor, nn

from training.loop.ending import stoppable
from training.loop.loading import loader, mixed
from training.loop.log import EpochLog
from training.loop.plan import Plan, PlanError
from training.loop.task import Task

_CHECKPOINT = "epoch"
_LOSS = "loss"


class _Learning(LightningModule):
    """Lightning's view of a task."""

    def __init__(self, task: Task[Any], plan: Plan, steps: int) -> None:
        super().__init__()
        self._steps = steps
        self._task = task
        self._plan = plan
        self.network = task.network()
        for part in task.frozen(self.network):
            part.requires_grad_(requires_grad=False)
        self.train()  # lightning takes modes as it finds them

    def train(self, mode: bool = True) -> "_Learning":
        super().train(mode)
        for part in self._task.frozen(self.network):
            part.eval()
        return self

    def on_train_batch_start(self, batch: Any, batch_idx: int) -> None:  # noqa: ANN401, ARG002 - lightning's
        torch.manual_seed(mixed(self._plan.seed, self.global_step))  # dropout repeats, also after a break

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:  # noqa: ANN401, ARG002 - lightning's
        losses = self._task.losses(self.network, batch)
        self._note("", losses)
        return losses[_LOSS]

    def validation_step(self, batch: Any, batch_idx: int) -> None:  # noqa: ANN401, ARG002 - lightning's
        self._note("held_out_", self._task.losses(self.network, batch))

    def configure_optimizers(self) -> Any:  # noqa: ANN401 - lightning's
        optimizer = self._task.optimizer([value for value in self.network.parameters() if value.requires_grad])
        schedule = self._task.schedule(optimizer, steps=self._steps, epochs=self._plan.epochs)
        if schedule is None:
            return optimizer
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def _note(self, prefix: str, losses: Mapping[str, Tensor]) -> None:
        said = {f"{prefix}{name}": value.detach() for name, value in losses.items()}
        self.log_dict(said, on_step=False, on_epoch=True, prog_bar=True, batch_size=self._plan.batch)


class _Durable(TorchCheckpointIO):
    """Writes a checkpoint beside the last one, and then in its place: a power failure leaves one of them whole."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any | None = None) -> None:  # noqa: ANN401, ARG002 - lightning's
        place = Path(path)
        place.parent.mkdir(parents=True, exist_ok=True)
        part = place.with_suffix(".part")
        with part.open("wb") as stream:
            torch.save(checkpoint, stream)
            stream.flush()
            os.fsync(stream.fileno())
        part.replace(place)


def fit(
    task: Task[Any], plan: Plan, *, seen: Sequence[int], unseen: Sequence[int], unfinished: Path, log: Path
) -> nn.Module:
    """Train a network; called again after a break it goes on with the epoch that was broken off.

    Parameters
    ----------
    task : Task
        What is learnt.
    plan : Plan
        How.
    seen, unseen : sequence of int
        Numbers of the examples that it learns from, and of those that are held out.
    unfinished : Path
        Folder for this training alone, which is removed in the end.
    log : Path
        CSV file.

    Returns
    -------
    Module
        On the CPU, for inference.

    Raises
    ------
    PlanError
        If there are fewer examples than a batch has.
    """
    if len(seen) < plan.batch:
        raise PlanError(_too_few(task.slot, plan, len(seen), len(unseen)))
    torch.manual_seed(plan.seed)
    learning = _Learning(task, plan, len(seen) // plan.batch)
    watched = loader(task, unseen, plan, varied=False) if task.watches and unseen else None
    last = unfinished / f"{_CHECKPOINT}.ckpt"
    trainer = _trainer(plan, unfinished, log)
    with _quiet(), stoppable():
        trainer.fit(
            learning,
            loader(task, seen, plan, varied=True),
            watched,
            ckpt_path=last if last.exists() else None,
            weights_only=True,
        )
    shutil.rmtree(unfinished, ignore_errors=True)
    return learning.network.cpu().eval().requires_grad_(requires_grad=False)


def _trainer(plan: Plan, unfinished: Path, log: Path) -> Trainer:
    kept = ModelCheckpoint(dirpath=unfinished, filename=_CHECKPOINT, save_top_k=1, enable_version_counter=False)
    callbacks: list[Callback] = [kept, EpochLog(log, is_said=not plan.is_shown)]
    if plan.is_shown:
        callbacks.append(RichProgressBar(refresh_rate=1, leave=True, console_kwargs={"stderr": True}))
    device = torch.device(plan.device)
    with _quiet():
        return Trainer(
            accelerator="cpu" if device.type == "cpu" else "gpu",
            devices=1 if device.type == "cpu" else [device.index or 0],
            precision=plan.precision.value,
            max_epochs=plan.epochs,
            callbacks=callbacks,
            plugins=[_Durable()],
            logger=False,
            enable_progress_bar=plan.is_shown,
            enable_model_summary=False,
            num_sanity_val_steps=0,
            benchmark=False,
        )


def _too_few(slot: str, plan: Plan, seen: int, unseen: int) -> str:
    """Return what a person is told who has fewer images than a batch."""
    held_out = f" and {unseen} held out as fold {plan.fold} of {plan.folds}" if plan.folds else ""
    less = ", or 0 as --folds, which holds out nobody" if plan.folds and seen + unseen >= plan.batch else ""
    return (
        f"{slot}: {seen} images to learn from{held_out}; a batch of {plan.batch} needs as many to learn from. Give "
        f"more images, or less as --batch{less}."
    )


class _quiet(warnings.catch_warnings):  # noqa: N801 - a context, as its base is
    """Leaves out lightning's advice, which is for programmers."""

    def __enter__(self) -> None:
        super().__enter__()
        warnings.simplefilter("ignore")
        for name in ("pytorch_lightning", "lightning.pytorch", "lightning.fabric"):
            logging.getLogger(name).setLevel(logging.ERROR)

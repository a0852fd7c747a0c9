"""The log of a training: a CSV file, a row for each epoch."""

import csv
import sys
import time
from pathlib import Path
from typing import Any

from pytorch_lightning import Callback, LightningModule, Trainer


class EpochLog(Callback):
    """Writes losses, learning rate and seconds of each epoch.

    Called again, it keeps the rows of the epochs that need not be done again.

    Parameters
    ----------
    path : Path
        Of the CSV file.
    is_said : bool
        Whether each epoch is a line on standard error too: where no progress is drawn.
    """

    def __init__(self, path: Path, *, is_said: bool) -> None:
        self._path = path
        self._is_said = is_said
        self._rows: list[dict[str, Any]] = []
        self._began = 0.0

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:  # noqa: ARG002 - lightning's
        """Take up what was written."""
        if self._path.exists():
            with self._path.open(encoding="utf-8", newline="") as stream:
                rows = list(csv.DictReader(stream))
            self._rows = [dict(row) for row in rows if int(row["epoch"]) <= trainer.current_epoch]

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:  # noqa: ARG002 - lightning's
        """Look at the clock."""
        self._began = time.monotonic()

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:  # noqa: ARG002 - lightning's
        """Write all rows anew, so that the file is whole at any time."""
        rates = {group["lr"] for optimizer in trainer.optimizers for group in optimizer.param_groups}
        measured = {name: f"{float(value):.6g}" for name, value in sorted(trainer.callback_metrics.items())}
        row = {"epoch": trainer.current_epoch + 1, **measured, "rate_at_end": f"{max(rates):.3g}"}
        self._rows.append({**row, "seconds": f"{time.monotonic() - self._began:.1f}"})
        part = self._path.with_suffix(".part")
        with part.open("w", encoding="utf-8", newline="") as stream:
            table = csv.DictWriter(stream, list(self._rows[-1]), restval="", extrasaction="ignore")
            table.writeheader()
            table.writerows(self._rows)
        part.replace(self._path)
        if self._is_said:
            losses = ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in measured.items())
            sys.stderr.write(
                f"{self._path.stem}: epoch {row['epoch']} of {trainer.max_epochs}, {losses}, "
                f"{self._rows[-1]['seconds']} s\n"
            )
            sys.stderr.flush()

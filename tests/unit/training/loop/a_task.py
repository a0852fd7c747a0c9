"""The smallest task there is: whether a few numbers are bright, told by a network with a batch norm that is frozen."""

import signal
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from evaluation.judging import Settings
from evaluation.outputs import Outputs
from evaluation.rows import Row, State
from evaluation.truth.known import Kind
from training.loop.plan import Plan
from training.loop.task import Start, Task

SLOT = "opacity-explain-classifier-b4"
PLAN = Plan(epochs=3, batch=2, folds=3, fold=2, licence="CC0-1.0")


@dataclass(frozen=True)
class Number:
    name: str
    patient: str
    bright: bool

    @property
    def digest(self):
        return f"{self.name} {self.bright}"


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.still = nn.Sequential(nn.Linear(2, 4), nn.BatchNorm1d(4))
        self.dropout = nn.Dropout(0.5)
        self.classifier = nn.Linear(4, 1)

    def forward(self, values):
        return self.classifier(self.dropout(self.still(values)))[:, 0]


class BrightTask(Task):
    slot = SLOT
    limits = ("Made up.",)
    place = Path("nowhere")
    kind = Kind.LABELS
    settings = Settings(outputs=Outputs(score="opacity"))
    start = Start()
    stops_at = None
    """Where reading fails, as if the power had."""
    stopped_by = None
    """The signal that comes there in place of a failure."""

    def __init__(self, patients=6, each=2):
        super().__init__([Number(f"n{n}", f"p{n // each}", n % 2 == 1) for n in range(patients * each)])
        self.numbers = {"rate": 0.1}
        self.data = {"origin": "made up", "left_out": []}
        self.read = 0

    def stop(self):
        if self.stopped_by is None:
            raise OSError("no power")
        signal.raise_signal(self.stopped_by)

    def network(self):
        return Net()

    def frozen(self, network):
        return [network.still]

    def sample(self, number, *, varied):
        self.read += varied
        if self.read == self.stops_at:
            self.stop()
        bright = torch.tensor(float(self.examples[number].bright))
        values = torch.tensor([0.0, 1.0]) * bright + 0.1
        return (values + 0.1 * torch.randn(2) if varied else values), bright

    def losses(self, network, batch):
        values, bright = batch
        return {"loss": nn.functional.binary_cross_entropy_with_logits(network(values), bright)}

    def optimizer(self, parameters):
        return torch.optim.AdamW(parameters, lr=self.numbers["rate"])

    def judged(self, network, number, device):
        values, bright = self.sample(number, varied=False)
        score = float(network(values[None].to(device)).sigmoid())
        return Row(path="", state=State.JUDGED, label=int(bright), score=score, threshold=0.5)

    def told(self, rows):
        return {"highest": max(row.score for row in rows)}

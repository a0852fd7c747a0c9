"""The runs of one recipe: a network for each fold, and one of all CTs; each is made once, and read from its file."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor

from inference.severity.network import SeverityNetwork
from training.ct_severity.cases import Case
from training.ct_severity.fitting import Examples, Recipe, fit, untrained
from training.ct_severity.judging import Judged, judge
from training.folding import dealt
from training.state_files import made_once


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Runs:
    """What all runs have in common.

    Attributes
    ----------
    out : Path
        Folder to write to.
    cases : sequence of Case
        CTs that can be used.
    volumes : Tensor of float16, shape (n, 1, slices, rows, columns)
        The same, prepared.
    recipe : Recipe
        How to train.
    start : Mapping[str, Tensor]
        Values to begin with; empty for none.
    made_from : Mapping[str, str]
        Hashes of the prepared CTs and of what the training starts from.
    device : str
        Torch device.
    """

    out: Path
    cases: Sequence[Case]
    volumes: Tensor
    recipe: Recipe
    start: Mapping[str, Tensor]
    made_from: Mapping[str, str]
    device: str

    @property
    def name(self) -> str:
        """The slot that the weights are for."""
        return f"ct-severity-{self.recipe.network}"

    @property
    def weights(self) -> Path:
        """The file with the network of all CTs."""
        return self.out / f"{self.name}.safetensors"

    def cross_validate(self) -> tuple[list[list[Judged]], float]:
        """Judge each CT by the network that saw nothing of its patient; return that by fold, and CPU seconds."""
        everything = range(len(self.cases))
        judged, cpu_seconds = [], 0.0
        count, seed = self.recipe.folds, self.recipe.seed
        folds = dealt(everything, lambda i: self.cases[i].patient, count=count, seed=seed) if count else []
        for number, unseen in enumerate((fold for fold in folds if fold), start=1):
            seen = [i for i in everything if i not in unseen]
            path = self.out / "folds" / f"{self.name}-{number}.safetensors"
            network, took = self._run(path, seen, seed=self.recipe.seed + number)
            judged.append(judge(network, [self.cases[i] for i in unseen], self.volumes[unseen]))
            cpu_seconds += took
        return judged, cpu_seconds

    def train_on_all(self) -> tuple[SeverityNetwork, float]:
        """Return the network of all CTs, and seconds of CPU time that it took."""
        return self._run(self.weights, list(range(len(self.cases))), seed=self.recipe.seed)

    def _run(self, path: Path, seen: list[int], *, seed: int) -> tuple[SeverityNetwork, float]:
        path.parent.mkdir(parents=True, exist_ok=True)
        examples = Examples(
            volumes=self.volumes[seen],
            levels=torch.tensor([self.cases[i].level - 1 for i in seen]),
            covid=torch.tensor([_number(self.cases[i].covid) for i in seen]),
        )
        labels = [(case.patient, case.level, case.covid) for case in self.cases]
        said: dict[str, Any] = {"recipe": asdict(self.recipe), "seed": seed, "seen": seen, "device": self.device}
        described = {
            "network": f"{self.recipe.network.upper()}, 5 levels",
            "made_by": json.dumps(said, sort_keys=True),
            "labels_sha256": hashlib.sha256(json.dumps(labels).encode()).hexdigest(),
            **self.made_from,
        }
        cpu_seconds = made_once(
            path, described, lambda: fit(examples, self.recipe, seed=seed, start=self.start, device=self.device)
        )
        network = untrained(self.recipe)
        network.load_state_dict(load_file(path))
        return network.eval().requires_grad_(requires_grad=False).to(self.device), cpu_seconds


def _number(answer: bool | None) -> float:
    return float("nan") if answer is None else float(answer)

"""How often a severity network is right on patients that it has not seen."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from inference.severity.network import LEVELS, SeverityNetwork
from training.ct_severity.cases import Case

Judged = dict[str, Any]


def judge(network: SeverityNetwork, cases: Sequence[Case], volumes: Tensor) -> list[Judged]:
    """Return what is known of each CT, by its row, and what the network says of its volume: probabilities."""
    device = next(network.parameters()).device
    judged = []
    for case, volume in zip(cases, volumes, strict=True):
        with torch.inference_mode():
            logits = network(volume[None].to(device).float())
        levels, covid = logits.levels[0].softmax(0).cpu(), float(logits.covid[0].sigmoid())
        judged.append(
            {
                "row": case.row,
                "level": case.level,
                "said": int(levels.argmax()) + 1,
                "levels": [round(float(share), 4) for share in levels],
                "covid": case.covid,
                "covid_said": round(covid, 4),
            }
        )
    return judged


def summary(judged: Sequence[Judged]) -> dict[str, Any]:
    """Summarise CTs: levels hit, and missed by how much, beside what guessing would do; COVID-19."""
    truth, said = (np.array([one[key] for one in judged], dtype=np.intp) for key in ("level", "said"))
    confusion = np.zeros((LEVELS, LEVELS), dtype=int)
    np.add.at(confusion, (truth - 1, said - 1), 1)
    known = [one for one in judged if one["covid"] is not None]
    has = np.array([one["covid"] for one in known], dtype=bool)
    score = np.array([one["covid_said"] for one in known], dtype=np.float64)
    return {
        "cts": len(judged),
        "exact": _share(truth == said),
        "within_one_level": _share(np.abs(truth - said) <= 1),
        "most_common_level": round(float(confusion.sum(axis=1).max()) / max(len(judged), 1), 4),
        "mean_levels_off": round(float(np.abs(truth - said).mean()), 4) if len(judged) else None,
        "confusion_truth_by_said": confusion.tolist(),
        "covid_cts": len(known),
        "covid_right": _share(has == (score >= 0.5)),
        "covid_auc": auc(has, score),
    }


def auc(has: NDArray[np.bool_], score: NDArray[np.float64]) -> float | None:
    """Return how often one who has it scores higher than one who has not, ties half; None without both."""
    with_it, without = score[has], score[~has]
    if not (with_it.size and without.size):
        return None
    above = np.sign(with_it[:, np.newaxis] - without).mean()
    return round(float(0.5 + above / 2), 4)


def _share(right: NDArray[np.bool_]) -> float | None:
    return round(float(right.mean()), 4) if right.size else None

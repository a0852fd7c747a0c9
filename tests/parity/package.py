"""The published package `balaitous` 1.2, its transforms run one by one on a planted lung mask."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import balaitous.transforms
import balaitous.vit
import numpy as np
import pytest
import SimpleITK
import torch
from balaitous import Balaitous

from tests.parity.steps import Recorded


def read(folder: Path, header: Mapping[str, str]) -> SimpleITK.Image:
    """Read a CT with SimpleITK, independently of us, with the metadata that the package looks for."""
    reader = SimpleITK.ImageSeriesReader()
    reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(folder)))
    image = reader.Execute()
    for keyword, value in header.items():
        image.SetMetaData(keyword, value)
    return image


def transforms(monkeypatch: pytest.MonkeyPatch, load: Callable[[str, int], Any]) -> list[Any]:
    """Return the transforms of the package in its order; `load` gives the network of a checkpoint and a depth."""
    monkeypatch.setattr(balaitous.transforms, "load_ibot_model", load)
    return list(Balaitous(device="cpu").transforms.transforms)


def from_files(monkeypatch: pytest.MonkeyPatch, files: Mapping[str, Path]) -> list[Any]:
    """Return the transforms with networks that the package builds itself, from files by their published names."""

    def read_file(url: str, **_: Any) -> Any:
        return torch.load(files[url.rpartition("/")[2]], weights_only=True)

    monkeypatch.setattr(balaitous.vit.torch.hub, "load_state_dict_from_url", read_file)
    # Random values are not drawn: all of them are read from the files anyway.
    monkeypatch.setattr(balaitous.vit, "trunc_normal_", lambda tensor, **_: tensor)
    monkeypatch.setattr(torch.nn.init, "kaiming_uniform_", lambda tensor, **_: tensor)
    return transforms(monkeypatch, balaitous.vit.load_ibot_model)


def run(monkeypatch: pytest.MonkeyPatch, steps: list[Any], image: SimpleITK.Image, labels: np.ndarray) -> Recorded:
    """Run the transforms one after the other and write down what each leaves behind."""
    monkeypatch.setattr(balaitous.transforms.lungmask, "apply", lambda *_, **__: labels)
    sample: dict[str, Any] = {"image": image, "age": None, "sex": None}
    recorded: Recorded = {}
    for step in steps:
        sample = step(sample)
        for name, value in _READ[type(step).__name__](sample).items():
            recorded.setdefault(name, np.array(value))
    return recorded


def _prepared(sample: dict[str, Any]) -> np.ndarray:
    return balaitous.transforms.imagenet_preprocessing(sample["image"].copy()).astype(np.float32)


def _extracted(sample: dict[str, Any]) -> Recorded:
    key = "lung" if "lung" in sample["features"] else "full"
    windowed = "windowed lungs" if key == "lung" else "windowed slices"
    return {windowed: _prepared(sample), f"features, {key}": sample["features"][key]}


def _predicted(sample: dict[str, Any]) -> Recorded:
    said = sample["prediction"]
    parts = [said[f"{key}_{output}"] for output in ("covid", "severe") for key in ("full", "lung")]
    return {"logits": [np.log(p / (1 - p)) for p in parts], "scores": [said["covid"], said["severe"]]}


_READ: dict[str, Callable[[dict[str, Any]], Recorded]] = {
    "ParseAgeSex": lambda sample: {"age and sex": [sample["age"], sample["sex"]]},
    "SitkResample": lambda sample: {"volume": SimpleITK.GetArrayFromImage(sample["image"])},
    "CreateLungMask": lambda sample: {
        "lung mask": balaitous.transforms.lungmask.apply(),
        "lung mask, rows reversed": sample["mask"],
    },
    "SitkToNumpy": lambda sample: {"volume, rows reversed": sample["image"]},
    "CleanLungMask": lambda sample: {"clean lung mask": sample["mask"]},
    "CropPad": lambda sample: {"framed volume": sample["image"], "framed mask": sample["mask"]},
    "CropLungs": lambda sample: {"kept slices": sample["image"], "kept mask": sample["mask"]},
    "iBOTExtractor": _extracted,
    "ApplyLungMask": lambda sample: {"lungs alone": sample["image"]},
    "ApplySTOICLogisticRegressions": _predicted,
}

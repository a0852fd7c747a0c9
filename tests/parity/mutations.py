"""Each step of ours left out, turned round or bent, and the first step at which that must be seen."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from inference import resampled_ct
from inference.balaitous import demographics, features, framing, lung_cleaning, preparation, regressions, windowing
from inference.balaitous.scan import Scan
from inference.pipelines import balaitous as pipeline

Change = Callable[[Any], Any]


@dataclass(frozen=True)
class Mutation:
    """What is changed, where, into what, and the step at which the check must see it first."""

    name: str
    module: ModuleType
    attribute: str
    change: Change
    seen_at: str

    def apply(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(self.module, self.attribute, self.change(getattr(self.module, self.attribute)))


def _to(value: Any) -> Change:
    return lambda _: value


def _left_out(_: Any) -> Any:
    return lambda scan: scan


def _then(change: Callable[[Any], Any]) -> Change:
    return lambda step: lambda *args, **kwargs: change(step(*args, **kwargs))


def _both(change: Callable[[np.ndarray], np.ndarray]) -> Callable[[Scan], Scan]:
    return lambda scan: Scan(hounsfield=change(scan.hounsfield), lungs=change(scan.lungs))


def _mask_only(_: Any) -> Any:
    return lambda scan: replace(scan, lungs=scan.lungs > 0)


def _without(name: str) -> Change:
    return lambda step: lambda parts, told, covariates: step(_equal(parts, name), told, covariates)


def _equal(parts: Any, name: str) -> Any:
    return {key: replace(part, **{name: 0.5 if name == "weight" else 0.0}) for key, part in parts.items()}


def _age_for_sex(step: Any) -> Any:
    return lambda parts, told, covariates: step(parts, told, covariates[::-1])


def _first_slice(computed: Any) -> Any:
    return replace(computed, outputs=computed.outputs[:1])


def _other_image(step: Any) -> Any:
    return lambda scan: step(replace(scan, hounsfield=np.where(scan.lungs, -1024, scan.hounsfield)))


def _central(_: np.ndarray, axis: int) -> tuple[slice, ...]:
    return (*[slice(None)] * axis, slice(0, framing.SIZE))


def _with_last(scan: Scan) -> Scan:
    found = np.flatnonzero(scan.lungs.any(axis=(0, 1)))
    count = found[-1] + 1 - found[0]
    kept = slice(found[0] + int(count * 0.1), found[0] + int(count * 0.9))
    return Scan(hounsfield=scan.hounsfield[..., kept], lungs=scan.lungs[..., kept])


_UP, _HEAD_FIRST = np.s_[::-1], np.s_[..., ::-1]

MUTATIONS = (
    Mutation("age not clipped", demographics, "_LOWEST", _to(0.0), "age and sex"),
    Mutation("sexes swapped", demographics, "_SEXES", _to({"M": 0.0, "F": 1.0}), "age and sex"),
    Mutation("nearest voxel", resampled_ct.sitk, "sitkLinear", _to(resampled_ct.sitk.sitkNearestNeighbor), "volume"),
    Mutation("volume aside", resampled_ct, "resample", _then(lambda r: (np.roll(r[0], 1, axis=2), r[1])), "volume"),
    Mutation("volume upside down", resampled_ct, "resample", _then(lambda r: (r[0][::-1], r[1])), "volume"),
    Mutation("rows not reversed", preparation, "to_scan", _then(_both(lambda a: a[_UP])), "volume, rows reversed"),
    Mutation(
        "slices reversed", preparation, "to_scan", _then(_both(lambda a: a[_HEAD_FIRST])), "volume, rows reversed"
    ),
    Mutation(
        "rows of the mask not reversed",
        preparation,
        "to_scan",
        _then(lambda scan: replace(scan, lungs=scan.lungs[::-1])),
        "lung mask, rows reversed",
    ),
    Mutation("lungs not cleaned", preparation, "clean_lungs", _mask_only, "clean lung mask"),
    Mutation("crumbs kept", lung_cleaning, "_largest", _left_out, "clean lung mask"),
    Mutation("tissue kept", lung_cleaning, "HU_THRESHOLD", _to(3000), "clean lung mask"),
    Mutation("percentile from above", lung_cleaning, "PERCENTILE", _to(95), "clean lung mask"),
    Mutation("not framed", preparation, "crop_or_pad", _left_out, "framed volume"),
    Mutation("framed about the image", framing, "_about_lungs", _to(_central), "framed volume"),
    Mutation("padded with water", framing, "OUTSIDE_HU", _to(0), "framed volume"),
    Mutation("framed upside down", preparation, "crop_or_pad", _then(_both(lambda a: a[_UP])), "framed volume"),
    Mutation("slices not chosen", preparation, "keep_lung_slices", _left_out, "kept slices"),
    Mutation("ends kept", framing, "DROPPED", _to(0.0), "kept slices"),
    Mutation("last slice kept", preparation, "keep_lung_slices", _to(_with_last), "kept slices"),
    Mutation("kept in reverse", preparation, "keep_lung_slices", _then(_both(lambda a: a[_HEAD_FIRST])), "kept slices"),
    Mutation("narrower window", windowing, "HIGH_HU", _to(400), "windowed slices"),
    Mutation("no mean of ImageNet", windowing, "_MEAN", _to(np.zeros(3)), "windowed slices"),
    Mutation("no deviation of ImageNet", windowing, "_DEVIATION", _to(np.ones(3)), "windowed slices"),
    Mutation("images mirrored", windowing, "windowed", _then(lambda a: a[..., ::-1]), "windowed slices"),
    Mutation("lungs not set apart", preparation, "lungs_only", _left_out, "lungs alone"),
    Mutation("all but the lungs", preparation, "lungs_only", _other_image, "lungs alone"),
    Mutation("one flip", features, "_both_flips", _to(lambda network: network), "features, full"),
    Mutation("one slice alone", features, "in_batches", _then(_first_slice), "features, full"),
    Mutation("a block more", pipeline, "BLOCKS", _to({"full": 24, "lung": 17}), "features, lung"),
    Mutation("a block less", pipeline, "BLOCKS", _to({"full": 23, "lung": 16}), "features, full"),
    Mutation("no intercepts", pipeline, "scores", _without("intercept"), "logits"),
    Mutation("age taken for sex", pipeline, "scores", _age_for_sex, "logits"),
    Mutation("views weighed alike", pipeline, "scores", _without("weight"), "scores"),
    Mutation("views added in reverse", regressions, "VIEWS", _to(("lung", "full")), "logits"),
)

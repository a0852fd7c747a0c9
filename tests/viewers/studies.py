"""The studies that the viewer tests look at: a few small ones in `make test`, all in `make viewers`."""

import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from scipy import ndimage

from dicom_out.context import ResultKind
from inference.findings import Findings, Heatmap, Purpose, Refusal
from inference.radiograph import load
from inference.selected import Selected
from phantom.ct import make_chest
from phantom.cxr import RadiographPhantom, make_radiograph
from phantom.cxr_dicom import to_dataset
from phantom.dicom import write, write_study
from tests.radiographs import ONE, PROBABILITY, write_xray, xray_findings
from tests.viewers import planted
from tests.viewers.exhibits import Exhibit, of_findings, of_pipeline, of_refusal

EVIDENCE = os.environ.get("VIEWERS_EVIDENCE")
"""The folder for evidence and screenshots of the full run; without it the run is the small one."""

FULL = EVIDENCE is not None
WRONG, NOT_RUN = "ct-wrong-on-purpose", "ct-not-run"
STUDIES = ("ct", "cxr", "cxr-imager-spacing", "cxr-no-spacing") if FULL else ("ct", "cxr")
PLANTED = planted.PIPELINES if FULL else (planted.SEVERITY,)

_MAPS = (ResultKind.MAP, ResultKind.COARSE_MAP)
_SPACINGS: Mapping[str, Mapping[str, Any]] = {
    "cxr": {},
    "cxr-imager-spacing": {"pixel_spacing": False, "photometric_interpretation": "MONOCHROME1"},
    "cxr-no-spacing": {"pixel_spacing": False, "imager_pixel_spacing": False, "modality": "CR"},
}


def small(folder: Path) -> dict[str, Exhibit]:
    """Make what takes few seconds: a coarse CT, a radiograph of ellipses."""
    chest = make_chest(slices=56, rows=128, columns=128, spacing_mm=(5.0, 2.8, 2.8))
    ct = of_pipeline(folder / "ct", write_study(folder / "ct", chest), "lung-densitometry")
    (folder / "cxr").mkdir()
    path = write_xray(folder / "cxr" / "image.dcm")
    source = load(path)
    exhibits = {"ct": ct, "cxr": of_findings(folder / "cxr", [path], source, xray_findings(source))}
    return exhibits | {planted.SEVERITY: planted.ct_severity(folder / planted.SEVERITY, chest)}


def full(folder: Path) -> dict[str, Exhibit]:
    """Make every kind of object, each study of a patient of its own."""
    chest = make_chest()
    sources = {
        name: write_study(folder / name, chest, uid_entropy=name, patient_id=name) for name in ("ct", WRONG, NOT_RUN)
    }
    ct = of_pipeline(folder / "ct", sources["ct"], "lung-densitometry", maps=_MAPS)
    refusal = Refusal(code="nothing-fits", reason="None of the 2 stacks fits.", remedy="Send the chest.")
    exhibits = {
        "ct": ct,
        WRONG: _wrong(folder / WRONG, sources[WRONG]),
        NOT_RUN: of_refusal(folder / NOT_RUN, sources[NOT_RUN], "lung-densitometry", refusal),
    }
    phantom = make_radiograph(rows=768, columns=768, spacing_mm=0.48)
    exhibits |= {name: _cxr(folder / name, phantom, name) for name in _SPACINGS}
    return exhibits | {
        planted.BALAITOUS: planted.balaitous(folder / planted.BALAITOUS, chest),
        planted.SEVERITY: planted.ct_severity(folder / planted.SEVERITY, chest, maps=_MAPS),
        planted.ENSEMBLE: planted.opacity_ensemble(folder / planted.ENSEMBLE, phantom, maps=_MAPS),
        planted.EXPLAIN: planted.opacity_explain(folder / planted.EXPLAIN, phantom, maps=_MAPS),
        planted.BOXES: planted.opacity_boxes(folder / planted.BOXES, phantom),
    }


def _cxr(folder: Path, phantom: RadiographPhantom, name: str) -> Exhibit:
    image = to_dataset(phantom, uid_entropy=name, patient_id=name, **_SPACINGS[name])
    return of_pipeline(folder, write(folder, [image]), "lung-fields", maps=_MAPS)


def _wrong(folder: Path, sources: list[Path]) -> Exhibit:
    """Make objects that are in the wrong place, beside findings that are not: lungs 20 pixels off, a mirrored map."""
    right = of_pipeline(folder, sources, "lung-densitometry")
    truth = replace(right.findings, heatmaps=(_opacity_map(right.findings, right.source),))
    (heatmap,) = truth.heatmaps
    mirrored = replace(heatmap, values=heatmap.values[::-1])
    shifted = [replace(region, mask=np.roll(region.mask, 20, axis=2)) for region in truth.regions]
    drawn = replace(truth, regions=tuple(shifted), heatmaps=(mirrored,))
    wrong = of_findings(folder, sources, right.source, drawn, maps=(ResultKind.MAP,))
    return replace(wrong, findings=truth)


def _opacity_map(findings: Findings, source: Selected) -> Heatmap:
    opacity = np.any([r.mask for r in findings.regions if r.purpose == Purpose.OPACITY], axis=0)
    return Heatmap(
        label="opacity",
        quantity=PROBABILITY,
        unit=ONE,
        values=ndimage.gaussian_filter(opacity.astype(np.float32), (0.5, 2, 2)),
        grid=source.geometry,
    )

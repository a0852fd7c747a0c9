"""findings.json: what one run found, in a form that stays. docs/run.md describes it.

A field is added without notice; one that goes or changes its meaning raises `SCHEMA`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from inference.coding import Code
from inference.findings import Box, Findings, Measurement, Site
from inference.radiograph import Radiograph
from inference.selected import Selected
from node.offline.folder import MADE_BY
from node.offline.visible import visible

SCHEMA = "opacity-node/findings/1"


@dataclass(frozen=True, kw_only=True, slots=True)
class Written:
    """Which files were written: DICOM objects as `node.worker` lists them; masks and maps by label; the challenge's."""

    objects: tuple[Mapping[str, Any], ...]
    pictures: tuple[str, ...]
    masks: Mapping[str, str]
    maps: Mapping[str, str]
    challenge_map: str | None = None


def findings_file(
    findings: Findings, source: Selected, written: Written, *, paths: tuple[Path, ...], created_at: datetime
) -> dict[str, Any]:
    """Return all of it as plain values."""
    algorithm = findings.algorithm
    return {
        "schema": SCHEMA,
        "made_by": MADE_BY,
        "research_use_only": True,
        "created_at": created_at.isoformat(),
        "algorithm": {
            "name": algorithm.name,
            "version": algorithm.version,
            "weights_sha256": algorithm.weights_sha256,
            "parameters": dict(algorithm.parameters),
            "decisions": dict(algorithm.decisions),
        },
        "source": _source(source, paths),
        "measurements": [_measurement(m) for m in findings.measurements],
        "categories": [
            {"code": _code(c.concept), "value": _code(c.value), "confidence": c.confidence} for c in findings.categories
        ],
        "regions": [
            {
                "label": region.label,
                "purpose": region.purpose.value,
                "code": _code(region.property_type),
                "site": _site(region.site),
                "empty": not region.mask.any(),
                "mask": written.masks[region.label],
                "measurements": [_measurement(m) for m in region.measurements],
            }
            for region in findings.regions
        ],
        "boxes": None if findings.boxes is None else [_box(box) for box in findings.boxes],
        "maps": [
            {
                "label": heatmap.label,
                "code": _code(heatmap.quantity),
                "unit": heatmap.unit.value,
                "range": list(heatmap.value_range),
                "file": written.maps[heatmap.label],
            }
            for heatmap in findings.heatmaps
            if heatmap.label in written.maps
        ],
        "challenge_map": written.challenge_map,
        "warnings": [visible(warning) for warning in findings.warnings],
        "pictures": list(written.pictures),
        "objects": list(written.objects),
    }


def files_named(found: Mapping[str, Any]) -> set[str]:
    """Return the files that lie beside a findings.json, as it lists them."""
    return {
        *(region["mask"] for region in found["regions"]),
        *(heatmap["file"] for heatmap in found["maps"]),
        *(item["path"] for item in found["objects"]),
        *found["pictures"],
        *filter(None, [found.get("challenge_map")]),
    }


def _source(source: Selected, paths: tuple[Path, ...]) -> dict[str, Any]:
    first = source.headers[0]
    spacing_known = source.is_spacing_known if isinstance(source, Radiograph) else True
    return {
        "study_instance_uid": str(first.StudyInstanceUID),
        "series_instance_uid": str(first.SeriesInstanceUID),
        "sop_instance_uids": list(source.sop_instance_uids),
        "modality": visible(str(first.get("Modality") or "")),
        "shape": list(source.pixel_array.shape),
        "spacing_mm": list(source.geometry.spacing_mm) if spacing_known else None,
        "files": [visible(str(path)) for path in paths],
    }


def _box(box: Box) -> dict[str, Any]:
    return {
        "label": box.label,
        "code": _code(box.finding),
        "certainty": box.certainty,
        "site": _site(box.site),
        "left": box.left,
        "top": box.top,
        "right": box.right,
        "bottom": box.bottom,
    }


def _measurement(measurement: Measurement) -> dict[str, Any]:
    return {
        "name": measurement.concept.meaning,
        "value": measurement.value,
        "unit": measurement.unit.value,
        "code": _code(measurement.concept),
        "site": _site(measurement.site),
    }


def _site(site: Site | None) -> dict[str, Any] | None:
    if site is None:
        return None
    return {"location": _code(site.location), "laterality": None if site.laterality is None else _code(site.laterality)}


def _code(code: Code) -> dict[str, str]:
    return {"value": code.value, "scheme": code.scheme_designator, "meaning": code.meaning}

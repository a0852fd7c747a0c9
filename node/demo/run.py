"""The demo: a study is sent to a node, its results arrive in a PACS, and everything is counted."""

import json
import shutil
from collections.abc import Sequence
from itertools import chain, count
from pathlib import Path
from typing import Any

import pydicom
from PIL import Image

from db.repository.reports import JobReport, StudyReport
from dicom_out.context import ResultKind
from node.console import as_json, console
from node.demo.harness import NodeDiedError
from node.demo.observation import Observation, observe, stages
from node.demo.screen import SYNTHETIC, show
from node.study_files import dicom_files
from phantom.cxr_dicom import write_radiograph_study
from phantom.dicom import write_study


class DemoError(Exception):
    """The demo cannot run as asked."""


def run_demo(study: Path | None, out: Path) -> bool:
    """Run the demo and print what came out.

    Parameters
    ----------
    study : Path or None
        A folder of DICOM files; None makes a synthetic chest CT and a synthetic chest X-ray.
    out : Path
        Made anew, once it is known that there is something to send. Takes ``pacs/``, ``key_image_<pipeline>*.png``,
        ``summary.json``, the node's own ``node/`` and log, and in ``sent/`` the synthetic studies.

    Returns
    -------
    bool
        Whether nothing was lost and nothing failed. That something was refused, with its reason, is no failure of
        somebody's own files, but one of the synthetic ones.

    Raises
    ------
    DemoError
        If there is nothing to send, or `out` holds something that the demo did not make.
    """
    paths = _files_of(study, out) if study is not None else []
    _make_anew(out)
    if study is None:
        paths = _make_synthetic(out / SYNTHETIC)
    try:
        observed = observe(paths, out)
    except NodeDiedError as error:
        raise DemoError(str(error)) from error
    pictures = _save_pictures(out, observed.jobs)
    summary = _summary(observed, study)
    (out / "summary.json").write_text(as_json(summary) + "\n")
    show(observed, summary, out, pictures)
    return observed.complete and (study is not None or observed.fruitful)


def _files_of(study: Path, out: Path) -> list[Path]:
    """Return what is to be sent; what an earlier demo left within the study will be gone."""
    if not study.exists():
        raise DemoError(f"{study}: there is no such folder")
    if study.resolve().is_relative_to(out.resolve()):
        raise DemoError(f"{study} lies in {out}, which the demo makes anew; choose another folder with --out")
    paths = [path for path in dicom_files(study) if not path.resolve().is_relative_to(out.resolve())]
    if not paths:
        raise DemoError(f"{study} holds no DICOM file")
    return paths


def _make_anew(out: Path) -> None:
    """Empty an earlier demo's folder; never anybody else's."""
    try:
        if out.is_file() or (out.exists() and any(out.iterdir())):
            if not (out / "node.log").is_file():
                raise DemoError(f"{out} holds something that is not of a demo; choose another folder with --out")
            shutil.rmtree(out)
        out.mkdir(parents=True, exist_ok=True)
        (out / "node.log").touch()
    except OSError as error:
        raise DemoError(f"{out} cannot be made anew: {error.strerror}; choose another folder with --out") from error


def _make_synthetic(folder: Path) -> list[Path]:
    console.print("Making a synthetic chest CT and a synthetic chest X-ray …")
    return [*write_study(folder / "ct"), *write_radiograph_study(folder / "x-ray")]


def _save_pictures(out: Path, jobs: Sequence[JobReport]) -> list[Path]:
    """Save every picture that the PACS got as PNG, named by the pipeline that it is of."""
    pictures: list[Path] = []
    for job in jobs:
        for delivery in job.deliveries:
            path = out / "pacs" / f"{delivery.sop_instance_uid}.dcm"
            if delivery.kind == ResultKind.KEY_IMAGE and path.is_file():
                frames = pydicom.dcmread(path).pixel_array
                for frame in frames if frames.ndim == 4 else [frames]:
                    pictures.append(_free_name(out / f"key_image_{job.pipeline}.png"))
                    Image.fromarray(frame).save(pictures[-1])
    return pictures


def _free_name(path: Path) -> Path:
    numbered = (path.with_stem(f"{path.stem}_{number}") for number in count(2))
    return next(free for free in chain([path], numbered) if not free.exists())


def _summary(observed: Observation, study: Path | None) -> dict[str, Any]:
    return {
        "research_use_only": True,
        "study": str(study) if study else "synthetic chest CT and chest X-ray",
        "complete": observed.complete,
        "sent": observed.files,
        "stored": observed.sent.stored,
        "instances": observed.instances,
        "kept": observed.kept,
        "objects": observed.objects,
        "delivered": observed.delivered,
        "send_failures": dict(observed.sent.failures),
        "stages": {"start": round(observed.start_seconds, 3), "send": round(observed.send_seconds, 3)},
        "studies": [_study_summary(study, observed.received) for study in observed.studies],
        "findings": [job.summary | {"stack": job.stack} for job in observed.jobs if job.state == "succeeded"],
        "jobs": [json.loads(as_json(job)) for job in observed.jobs],
        "decisions": [json.loads(as_json(d)) for s in observed.studies for d in s.decisions],
    }


def _study_summary(study: StudyReport, received: dict[str, float]) -> dict[str, Any]:
    return {
        "study_instance_uid": study.study_instance_uid,
        "state": study.state,
        "hold_message": study.hold_message,
        "pipelines": sorted({job.pipeline for job in study.jobs}),
        "instances": study.instances,
        "stages": stages([study], received),
    }

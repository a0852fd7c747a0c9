"""Two CT pipelines on one selection: read once, resampled once, lungs found once; and each says what it says alone."""

import gc
import shutil
from datetime import UTC, datetime
from pathlib import Path
from types import MappingProxyType

import pytest

from inference import resampled_ct, selected, series
from inference.networks import r231
from inference.weights.records import FILE, Records
from node import ahead
from node.worker import JobSpec, run
from phantom.ct import make_chest
from phantom.dicom import to_datasets, write
from tests import severity
from tests.parity import planting

PIPELINES = ("ct-severity", "balaitous")


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    chest = make_chest(slices=58, rows=96, columns=96, spacing_mm=(5.0, 3.6, 3.6))
    files = write(tmp_path_factory.mktemp("study"), to_datasets(chest))
    return tuple(files), severity.planted_labels(series.load(files), chest)


@pytest.fixture
def shelf(monkeypatch, tmp_path):
    """Return a folder with what stands in for the weights of both pipelines."""
    folder, other = tmp_path / "weights", tmp_path / "others"
    severity.fill_shelf(monkeypatch, folder)
    planting.fill_shelf(monkeypatch, other)
    planting.plant_tiny_networks(monkeypatch)
    records = [Records.model_validate_json((at / FILE).read_text()) for at in (folder, other)]
    shutil.copytree(other, folder, dirs_exist_ok=True)
    both = Records(slots=records[0].slots | records[1].slots)
    (folder / FILE).write_text(both.model_dump_json())
    return folder


@pytest.fixture
def done(monkeypatch, study):
    """Count what is done for the jobs."""
    _, labels = study
    counts = {"read": 0, "resampled": 0, "lungs": 0}

    def counted(owner, attribute, name):
        inner = getattr(owner, attribute)

        def count(*args, **kwargs):
            counts[name] += 1
            return inner(*args, **kwargs)

        monkeypatch.setattr(owner, attribute, count)

    class Lungs:
        parameters, warnings = MappingProxyType({"device": "cpu", "precision": "float32"}), ()

        def __init__(self, _weights, *, device):
            pass

        def __call__(self, _hounsfield):
            counts["lungs"] += 1
            return labels

    monkeypatch.setattr(r231, "LungMask", Lungs)
    monkeypatch.setattr(ahead, "selections", ahead._Selections())
    counted(selected, "load", "read")
    counted(resampled_ct, "resample", "resampled")
    return counts


@pytest.fixture
def jobs(study, shelf, tmp_path):
    def run_all(name: str, *, keeps: bool):
        files, _ = study
        said = {}
        for number, pipeline in enumerate(PIPELINES, start=1):
            spec = JobSpec(
                job_id=number,
                pipeline=pipeline,
                selection_hash="a" * 64,
                revision_number=1,
                created_at=datetime(2026, 1, 2, 12, tzinfo=UTC),
                paths=files,
                demographics_path=files[0],
                predecessors=(),
                storage=tmp_path,
                result_folder=Path(name),
                weights=shelf,
                series_number=9500,
                series_description_prefix="AI",
                keeps_selection=keeps and pipeline != PIPELINES[-1],
            )
            outcome = run(spec, "cpu")
            assert outcome.refusal is None
            said[pipeline] = [(file.kind, file.sha256) for file in outcome.results]
        return said

    return run_all


def test_what_two_pipelines_need_is_made_once_and_their_results_are_those_of_each_alone(jobs, done):
    shared = jobs("shared", keeps=True)
    assert done == {"read": 1, "resampled": 1, "lungs": 1}
    assert jobs("alone", keeps=False) == shared
    assert done == {"read": 3, "resampled": 3, "lungs": 3}


def test_nothing_is_kept_after_the_last_job(jobs, done):
    others = len(resampled_ct._made)  # of fixtures that outlive their tests
    jobs("shared", keeps=True)
    assert not ahead.selections._kept
    gc.collect()
    assert len(resampled_ct._made) <= others

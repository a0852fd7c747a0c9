"""Four pipelines on one X-ray: read once, its lungs sought once, scaled once to each size, and results as alone."""

import shutil
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from inference import frontal_lungs, resident, resized, selected
from inference.compute import Limits, Precision
from inference.networks import nnunet
from inference.networks.answers import Answers
from inference.weights.records import FILE, Records
from node import ahead
from node.worker import JobSpec, run
from phantom.cxr import make_radiograph
from tests.narrow_boxes import Boxes
from tests.narrow_ensemble import Ensemble
from tests.narrow_explain import Explain
from tests.radiographs import write_xray

PIPELINES = ("opacity-ensemble", "opacity-explain", "opacity-boxes", "lung-fields")


@pytest.fixture(scope="module")
def shelf(tmp_path_factory):
    """Return a folder with what stands in for the weights of all of them."""
    folder = tmp_path_factory.mktemp("weights")
    with pytest.MonkeyPatch.context() as patch:
        made = [
            Ensemble(folder / "ensemble").stand_in(patch),
            Explain(folder / "explain").stand_in(patch),
            Boxes(folder / "boxes", typical_appearance=0.9).stand_in(patch),
        ]
        slots = {}
        for weights in made:
            slots |= Records.model_validate_json((weights / FILE).read_text()).slots
            shutil.copytree(weights, folder / "all", dirs_exist_ok=True)
        (folder / "all" / FILE).write_text(Records(slots=slots).model_dump_json())
        yield folder / "all"
    resident.release_all()


@pytest.fixture
def source(tmp_path):
    return write_xray(tmp_path / "xray.dcm", make_radiograph(rows=320, columns=304, spacing_mm=1.2, seed=3).pixels)


@pytest.fixture
def no_nnunets(monkeypatch):
    """Have nnU-Nets, whose library takes seconds to import, say nothing."""

    def nothing(_, images, *__, **___):
        return Answers(each=tuple(np.zeros_like(image) for image in images), parameters={})

    monkeypatch.setattr(nnunet, "opacity", nothing)


@pytest.fixture
def done(monkeypatch):
    """Count how often the image is read and its lungs sought, and write down the sizes that it is scaled to."""
    said = {"read": 0, "lungs": 0, "sizes": []}

    def counted(owner, attribute, name):
        inner = getattr(owner, attribute)

        def count(*args, **kwargs):
            said[name] += 1
            return inner(*args, **kwargs)

        monkeypatch.setattr(owner, attribute, count)

    counted(selected, "load", "read")
    counted(frontal_lungs, "probabilities", "lungs")
    inner = resized.interpolate

    def scaled(tensor, *, size, **kwargs):
        kept = [one.upright_image.reshape(-1) for one in ahead.selections._kept.values()]
        if any(np.array_equal(tensor.numpy().reshape(-1), image) for image in kept):
            said["sizes"].append(size)
        return inner(tensor, size=size, **kwargs)

    monkeypatch.setattr(resized, "interpolate", scaled)
    monkeypatch.setattr(ahead, "selections", ahead._Selections())
    return said


def outcome(pipeline: str, source: Path, shelf: Path, folder: str, *, keeps: bool) -> list[tuple[str, str]]:
    spec = JobSpec(
        job_id=PIPELINES.index(pipeline) + 1,
        pipeline=pipeline,
        selection_hash="a" * 64,
        revision_number=1,
        created_at=datetime(2026, 1, 2, 12, tzinfo=UTC),
        paths=(source,),
        demographics_path=source,
        predecessors=(),
        storage=source.parent,
        result_folder=Path(folder),
        weights=shelf,
        series_number=9500,
        series_description_prefix="AI",
        keeps_selection=keeps,
        limits=Limits(precision=Precision.FLOAT32),
    )
    ended = run(spec, "cpu")
    assert ended.refusal is None
    return [(file.kind, file.sha256) for file in ended.results]


@pytest.mark.usefixtures("no_nnunets")
def test_what_they_need_is_made_once_and_their_results_are_those_of_each_alone(source, shelf, done):
    # The last one keeps it too, so that its image can be told from others.
    shared = {name: outcome(name, source, shelf, "shared", keeps=True) for name in PIPELINES}
    assert (done["read"], done["lungs"]) == (1, 1)
    assert sorted(done["sizes"]) == [(256, 243), (512, 512)]
    for name in PIPELINES[1:]:
        ahead.selections = ahead._Selections()
        assert outcome(name, source, shelf, "alone", keeps=False) == shared[name]
    assert (done["read"], done["lungs"]) == (4, 4)

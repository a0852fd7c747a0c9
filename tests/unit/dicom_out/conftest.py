"""Results made once and shared: from a small phantom, and from the real CT with masks by threshold."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw
from pydicom import dcmread
from pydicom.dataset import Dataset
from scipy import ndimage

from dicom_out.build import ResultContext, ResultKind, build, encode
from dicom_out.context import Run
from inference.findings import Findings
from inference.radiograph import Radiograph
from inference.series import Series, load
from tests import factories


@dataclass(frozen=True, kw_only=True)
class Result:
    """What went in, and the files that came out, in the order of sending."""

    series: Series
    findings: Findings
    paths: tuple[Path, ...]

    def of(self, kind: ResultKind) -> list[Path]:
        return [path for path in self.paths if path.stem.startswith(kind)]

    def read(self, kind: ResultKind) -> list[Dataset]:
        return [dcmread(path) for path in self.of(kind)]


Maker = Callable[..., Result]


def write_result(folder: Path, series: Series, found: Findings, context: ResultContext) -> Result:
    paths = []
    for item in build(found, series, context):
        path = folder / f"{item.kind}-{item.index}.dcm"
        path.write_bytes(encode(item.dataset))
        paths.append(path)
    return Result(series=series, findings=found, paths=tuple(paths))


def a_context(**changes) -> ResultContext:
    values = {
        "pipeline": "lung-opacity-ct",
        "selection_hash": "00ff" * 16,
        "created_at": datetime(2026, 11, 21, 3, 4, 5, tzinfo=UTC),
    }
    return ResultContext(**{**values, **changes})


def a_run(source, found: Findings) -> Run:
    return Run(
        source=source.headers[0],
        demographics=source.headers[0],
        context=a_context(),
        algorithm=found.algorithm,
        is_projection=isinstance(source, Radiograph),
    )


@pytest.fixture(scope="session")
def context() -> ResultContext:
    return a_context()


@pytest.fixture(scope="session")
def phantom_result(tmp_path_factory) -> Result:
    series = factories.ct_series()
    return write_result(tmp_path_factory.mktemp("phantom"), series, factories.findings(series), a_context())


@pytest.fixture
def make_result(tmp_path) -> Maker:
    """Write the results of a series, with changed findings or context."""

    def make(series: Series | None = None, context: dict | None = None, **changes) -> Result:
        series = series or factories.ct_series()
        return write_result(tmp_path, series, factories.findings(series, **changes), a_context(**(context or {})))

    return make


@pytest.fixture(scope="session")
def real_series(real_ct) -> Series:
    return load(sorted(real_ct.iterdir()))


@pytest.fixture(scope="session")
def real_findings(real_series) -> Findings:
    """Crude lungs: air that does not touch the border, split at the middle; the denser part counts as opacity."""
    volume = real_series.pixel_array
    labelled, _ = ndimage.label(volume[:, ::4, ::4] < -400)
    border = np.unique(np.concatenate([labelled[:, [0, -1]].ravel(), labelled[:, :, [0, -1]].ravel()]))
    sizes = np.bincount(labelled.ravel())
    sizes[border] = 0
    coarse = ndimage.binary_closing(labelled == sizes.argmax(), iterations=2)
    lung = coarse.repeat(4, axis=1).repeat(4, axis=2)
    right, left = lung.copy(), lung.copy()
    right[:, :, 256:] = False
    left[:, :, :256] = False
    opacity = lung & (volume > -600) & (volume < 0)
    return factories.findings(real_series, (right, left, opacity))


@pytest.fixture(scope="session")
def real_result(tmp_path_factory, real_series, real_findings) -> Result:
    return write_result(tmp_path_factory.mktemp("real"), real_series, real_findings, a_context())


@pytest.fixture(params=["phantom_result", "real_result"])
def result(request) -> Result:
    """The phantom's result, then that of the real CT."""
    return request.getfixturevalue(request.param)


@dataclass(frozen=True)
class Words:
    """Words as they were drawn: on which picture, of what size, where (left, top, right, bottom)."""

    words: str
    picture: Image.Image
    size: float
    box: tuple[float, float, float, float]


@pytest.fixture
def drawn_words(monkeypatch) -> list[Words]:
    """All words that are drawn from now on."""
    record: list[Words] = []
    draw_text = ImageDraw.ImageDraw.text

    def text(self, xy, text, *args, **kwargs):
        measures = {name: kwargs[name] for name in ("font", "anchor")}
        box = self.textbbox(xy, text, **measures)
        record.append(Words(words=text, picture=self._image, size=kwargs["font"].size, box=box))
        draw_text(self, xy, text, *args, **kwargs)

    monkeypatch.setattr(ImageDraw.ImageDraw, "text", text)
    return record


def check_layout(record: list[Words]) -> None:
    """Check that words can be read at half the size, lie on their picture, and not on each other."""
    for one in record:
        assert one.size / 2 >= 11, one
        width, height = one.picture.size
        assert one.box[0] >= 0, one
        assert one.box[1] >= 0, one
        assert one.box[2] <= width, one
        assert one.box[3] <= height, one
    for one, other in combinations([one for one in record if one.words], 2):
        if one.picture is other.picture:
            (a, b, c, d), (e, f, g, h) = one.box, other.box
            assert min(c, g) <= max(a, e) or min(d, h) <= max(b, f), (one, other)

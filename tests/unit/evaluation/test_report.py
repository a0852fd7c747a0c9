"""The report and evaluation.json of rows that were made up; and pictures, whose outlines are looked for."""

import io
import json
import shutil
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from evaluation.boxes import Box
from evaluation.intervals import Drawing
from evaluation.judging import Masks
from evaluation.outputs import DEFAULTS, Outputs, read_out
from evaluation.overlap import Overlap
from evaluation.pictures import FOUND_COLOUR, TRUTH_COLOUR, picture
from evaluation.record import SCHEMA, Ending, Record
from evaluation.report import headlines, report
from evaluation.rows import Row, State
from evaluation.summary import summarise
from evaluation.truth import Kind, Known
from inference.findings import Algorithm, Findings
from inference.registry import CARDS
from tests.factories import ct_series
from tests.peers import need
from tests.radiographs import lungs, xray
from tests.unit.evaluation.brightness import settings

ALL = Outputs(score="Opacity probability", masks=("opacity",), map="opacity probability", level="Level")
HOSTILE = '<script>document.title = "hacked"</script>'


def rows(count=40):
    random = np.random.default_rng(2)
    for number in range(count):
        label = number % 2
        pixels = 400 * label
        yield Row(
            path=f"/images/{number}.dcm",
            uid=f"1.2.{number}",
            state=State.JUDGED,
            patient=number,
            label=label,
            score=float(np.clip(random.normal(0.35 + 0.3 * label, 0.2), 0, 1)),
            threshold=0.5,
            level=1 + number % 5,
            found_level=1 + number % 3,
            regions={"opacity": Overlap(truth=pixels, found=300, both=200 * label)},
            map_loss=float(random.gamma(2, 0.1)),
            boxes=(Box(x=0, y=0, width=10, height=10),) * label,
            found_boxes=(Box(x=1, y=0, width=10, height=10, score=0.7),),
            experts={"convnext": 1.0, "refine": 2.0},
        )
    yield Row(path=f"/images/{HOSTILE}.dcm", state=State.REFUSED, code="gap", reason="Slices are missing.")


def made_up(those, ending=Ending.COMPLETE, outputs=ALL):
    how = settings(outputs=outputs, calibrate=True, drawing=Drawing(resamples=50))
    now = datetime(2026, 11, 21, 12, tzinfo=UTC)
    return Record(
        pipeline="opacity-ensemble",
        title="Lung opacity",
        version="1.0.0",
        algorithm=Algorithm(name="opacity-ensemble", version="1.0.0", weights_sha256="ab" * 32, parameters={"p": "7"}),
        device="cpu",
        ending=ending,
        started_at=now,
        ended_at=now,
        images=Path("/images"),
        known=Known(kind=Kind.MASKS, place=Path("/truth"), of={}),
        settings=how,
        summary=summarise(those, how, ("convnext", "refine")),
        rows=those,
        unused_truth=("nobody",),
    )


@pytest.fixture(scope="module")
def record():
    return made_up(list(rows()))


@pytest.fixture(scope="module")
def page(record):
    return report(record, [], Path)


def test_the_report_says_what_was_judged_how_and_what_for(page):
    for said in (
        *("Research use only. Not a medical device.", "opacity-ensemble 1.0.0", "ab" * 32, "2026-11-21", "/truth"),
        *("40 images of 40 patients", "40 judged, 1 refused; 1 in the truth without an image", "Slices are missing."),
        *("ROC curve", "Reliability", "weighs 30 times", "expert_weights = [0.6667, 0.3333]", "kappa", "IoU"),
    ):
        assert said in " ".join(page.split()), said
    assert "Broken off" not in page


def test_the_report_needs_nothing_beside_itself_and_runs_nothing_that_a_name_says(page):
    assert HOSTILE not in page
    assert "http" not in page.replace("http-equiv", "")
    assert "default-src &#39;none&#39;" in page or "default-src 'none'" in page


def test_the_headline_numbers_are_those_of_the_rows(record):
    found = {tile.title: tile.value for tile in headlines(record.summary)}
    assert found["Dice, opacity"] == f"{2 * 200 / 700:.3f}"
    assert found["Sensitivity"] == f"{100 * sum(r.score >= 0.5 for r in record.rows[1:40:2]) / 20:.1f} %"
    assert record.summary.regions["opacity"].false_alarms.value == 1.0


def test_the_record_is_plain_json_with_every_row_and_no_trace_of_keeping(record):
    found = json.loads(json.dumps(record.plain(), allow_nan=False))
    assert (found["schema"], found["research_use_only"], found["state"]) == (SCHEMA, True, "complete")
    assert found["pipeline"]["weights_sha256"] == "ab" * 32
    assert len(found["rows"]) == 41
    assert found["rows"][1]["regions"]["opacity"]["dice"] == pytest.approx(400 / 700)
    assert not {"key", "picture"} & set(found["rows"][0])
    assert found["results"]["score"]["roc"]["area"]["value"] == record.summary.score.roc.area.value
    assert found["settings"]["missed_weight"] == 30


def test_equal_rows_make_an_equal_report(page):
    assert report(made_up(list(rows())), [], Path) == page


def test_a_report_of_nothing_says_so_and_one_that_was_broken_off_too():
    nothing = report(made_up([Row(path="/a.dcm", state=State.NO_TRUTH)], Ending.BROKEN_OFF), [], Path)
    assert "No image could be judged" in nothing
    assert "Broken off." in nothing


def test_images_of_one_kind_have_sensitivity_and_no_curve():
    those = [row for row in rows() if row.label == 1]
    found = made_up(those)
    assert found.summary.score.roc is None
    assert found.summary.score.decisions.specificity.value is None
    assert "cannot be judged" in report(found, [], Path)


def test_the_page_can_be_read_in_a_browser_and_fits_a_telephone(page, tmp_path):
    program = need(Path(shutil.which("chromium") or "/usr/bin/chromium"), "apt-get install chromium")
    playwright = pytest.importorskip("playwright.sync_api")
    (tmp_path / "report.html").write_text(page)
    with playwright.sync_playwright() as browsers:
        browser = browsers.chromium.launch(executable_path=program, args=["--no-sandbox"])
        shown = browser.new_page(viewport={"width": 390, "height": 800})
        said = []
        shown.on("console", lambda message: said.append(message.text))
        shown.goto((tmp_path / "report.html").as_uri())
        assert shown.title() == "opacity-ensemble 1.0.0 · evaluation"
        pictures = shown.evaluate("[...document.images].map(i => i.naturalWidth)")
        wide = shown.evaluate("document.documentElement.scrollWidth")
        browser.close()
    assert said == []
    assert len(pictures) == 5
    assert min(pictures) > 0
    assert wide <= 390


def coloured(png, colour):
    """Return where the right half of a picture has a colour."""
    pixels = np.asarray(Image.open(io.BytesIO(png)))
    half = pixels[:, pixels.shape[1] // 2 :]
    return (half == [int(colour[at : at + 2], 16) for at in (1, 3, 5)]).all(axis=-1)


@pytest.mark.parametrize("orientation", [["L", "F"], ["R", "F"], ["F", "L"]])
def test_outlines_lie_on_the_image_as_a_person_looks_at_it(tmp_path, orientation):
    source = xray(tmp_path, {"PatientOrientation": orientation})
    right, left = (source.upright.turn_back(mask) for mask in lungs(source.upright.turn(source.pixel_array[0]).shape))
    drawn = picture(source, Masks(truth={"a": right}, found={"a": left}), None, None)
    truth, found = (np.argwhere(coloured(drawn, colour)) for colour in (TRUTH_COLOUR, FOUND_COLOUR))
    assert truth[:, 1].mean() < found[:, 1].mean()


def test_a_stack_shows_the_slice_where_truth_and_pipeline_differ_most(tmp_path):
    series = ct_series(shape=(24, 48, 64))
    truth, found = np.zeros((24, 48, 64), dtype=bool), np.zeros((24, 48, 64), dtype=bool)
    truth[:, 10:40, 10:50] = found[:, 10:40, 10:50] = True
    found[7, 10:40, 10:30] = False
    drawn = picture(series, Masks(truth={"a": truth}, found={"a": found}), None, None)
    assert coloured(drawn, TRUTH_COLOUR)[:, :].any()
    same = picture(series, Masks(truth={"a": truth}, found={"a": truth}), None, None)
    assert drawn != same


def test_boxes_are_drawn_each(tmp_path):
    source = xray(tmp_path)
    boxes = [Box(x=20, y=20, width=60, height=40), Box(x=150, y=200, width=50, height=60)]
    drawn = coloured(picture(source, None, boxes, None), TRUTH_COLOUR)
    rows_with = np.flatnonzero(drawn.any(axis=1))
    scale = 440 / 320
    assert rows_with[0] == pytest.approx(20 * scale, abs=2)
    assert rows_with[-1] == pytest.approx(260 * scale, abs=2)


def test_pipelines_are_judged_by_names_that_they_give():
    from inference.balaitous.readout import COVID
    from inference.opacity_ensemble import readout as opacity_ensemble
    from inference.opacity_explain import readout as opacity_explain
    from inference.severity.statements import Said
    from inference.xray_opacity import PROBABILITY

    assert set(DEFAULTS) <= set(CARDS)
    assert DEFAULTS["balaitous"].score == COVID.meaning
    said = Said(code="MEAN", name="mean", levels=np.array([0.1, 0.1, 0.6, 0.1, 0.1]), covid=0.5).answer
    findings = Findings(algorithm=Algorithm(name="a", version="1"), source_instances=(), categories=(said,))
    assert read_out(findings, ct_series(shape=(2, 4, 4)), DEFAULTS["ct-severity"]).level == 3
    for name, readout in (("opacity-ensemble", opacity_ensemble), ("opacity-explain", opacity_explain)):
        assert DEFAULTS[name].map == readout.MAP_LABEL
        assert DEFAULTS[name].score == PROBABILITY.meaning

import pytest

from dicom_out.drawing import fitted, width_of, wrapped
from dicom_out.legend import legend, number
from dicom_out.marks import marks
from inference.findings import Category, Measurement, Purpose, Site
from tests import factories
from tests.unit.dicom_out.conftest import a_run, check_layout


def drawn_legend(found):
    drawn = marks(found.regions, factories.STUDY)
    return legend(found, drawn, a_run(factories.ct_series(), found), width=1024)


def words(record):
    return [one.words for one in record]


def test_the_table_has_a_row_for_each_number_and_a_column_for_each_region(drawn_words):
    series = factories.ct_series()
    found = factories.findings(series)
    drawn_legend(found)
    said = words(drawn_words)
    assert [one for one in said if one in ("in all", "right lung", "left lung", "opacity")] == [
        "opacity",
        "left lung",
        "right lung",
        "in all",
    ]  # from the right
    assert "Volume [mL]" in said
    assert "Opacity percentage [%]" in said
    volumes = [region.measurements[-1].value for region in found.regions]
    row = next(one for one in drawn_words if one.words == "Volume [mL]").box
    cells = {one.words for one in drawn_words if abs(one.box[3] - row[3]) < 8}
    assert {number(value) for value in volumes} < cells


def test_opacity_keeps_its_column_where_there_are_more_regions_than_room(drawn_words):
    series = factories.ct_series()
    right, _, opacity = factories.masks(series.pixel_array.shape)
    lobes = [factories.lung_region(f"lobe {i}", factories.RIGHT, right, series) for i in range(5)]
    found = factories.findings(series, regions=(*lobes, factories.opacity_region("opacity", opacity, series)))
    picture = drawn_legend(found)
    named = {one.words: one.box for one in drawn_words}
    assert named["opacity"][1] < named["lobe 4"][1]  # in the head of the table; the other in the key below it
    shown = set(picture.get_flattened_data())
    assert {mark.rgb for mark in marks(found.regions, factories.STUDY)} < shown
    check_layout(drawn_words)


@pytest.mark.parametrize(
    ("site", "title"),
    [
        (Site(location=factories.LUNG), "lung"),
        (
            Site(location=factories.LUNG, laterality=factories.RIGHT._replace(value="51440002", meaning="Bilateral")),
            "both lungs",
        ),
        (None, "in all"),
    ],
)
def test_the_first_column_says_what_its_numbers_are_about(site, title, drawn_words):
    series = factories.ct_series()
    value = Measurement(concept=factories.VOLUME, value=1.0, unit=factories.MILLILITRE, site=site)
    drawn_legend(factories.findings(series, measurements=(value,)))
    assert title in words(drawn_words)


def test_all_warnings_are_told_where_there_is_room(drawn_words):
    drawn_legend(factories.findings(factories.ct_series()))
    assert [one for one in words(drawn_words) if one.startswith("!")] == [
        "! Slices are 7.5 mm apart; the method was validated at <= 3 mm.",
        "! A second warning.",
    ]


def with_warnings(*warnings):
    return factories.findings(factories.ct_series(), warnings=warnings)


def told_warnings(record):
    """Return what is told below the table, a text a warning."""
    below = max(one.box[3] for one in record if one.words == "Volume [mL]")
    lines = [one.words for one in record if one.box[0] < 30 and one.box[1] > below and not one.words.startswith("RES")]
    assert lines[-1].startswith("+ ")
    return " ".join(lines[:-1]).removeprefix("! ").split(" ! "), lines[-1]


def test_a_warning_that_is_told_is_told_in_full_and_all_others_are_counted(drawn_words):
    short, long = "A warning of one line.", "A warning that takes more than a line. " * 4
    drawn_legend(with_warnings(short, long, short, long, short))
    assert told_warnings(drawn_words) == ([short, long.strip(), short], "+ 2 warnings in the report")
    check_layout(drawn_words)


def test_a_full_legend_keeps_what_it_told_when_another_warning_is_left(drawn_words):
    known = [f"Warning {number}." for number in range(1, 6)]
    drawn_legend(with_warnings(*known))
    assert told_warnings(drawn_words) == (known[:4], "+ 1 warning in the report")


def test_a_first_warning_too_long_for_the_legend_is_cut_and_counted(drawn_words):
    drawn_legend(with_warnings("A warning that takes more than a line. " * 12, "Another."))
    (cut,), left = told_warnings(drawn_words)
    assert cut.endswith("...")
    assert left == "+ 2 warnings in the report"
    check_layout(drawn_words)


def numbered(count):
    return tuple(
        Measurement(
            concept=factories.VOLUME._replace(value=f"{i}", meaning=f"{i}"), value=1.0, unit=factories.MILLILITRE
        )
        for i in range(count)
    )


def test_numbers_answers_and_warnings_without_room_are_counted(drawn_words):
    found = factories.findings(factories.ct_series())
    (answer,) = found.categories
    found = factories.findings(
        factories.ct_series(), measurements=numbered(9), regions=(), categories=(answer,) * 20, warnings=("W.",) * 5
    )
    drawn_legend(found)
    said = words(drawn_words)
    told = sum(one.count(f"{answer.concept.meaning}: ") for one in said)
    assert 2 <= told < 20
    assert f"+ 3 numbers, {20 - told} answers and 1 warning in the report" in said
    check_layout(drawn_words)


def test_answers_come_first_and_share_a_line_where_they_fit(drawn_words):
    first, second = (
        Category(
            concept=factories.VOLUME._replace(value=name, meaning=f"Severity, {name}"),
            value=factories.VOLUME._replace(value="2", meaning="Level 2 of 5"),
        )
        for name in ("LTC", "I3D")
    )
    drawn_legend(factories.findings(factories.ct_series(), categories=(first, second)))
    (said,) = [one for one in drawn_words if one.words.startswith("Severity")]
    assert said.words == "Severity, LTC: Level 2 of 5; Severity, I3D: Level 2 of 5"
    assert said.box[3] < min(one.box[1] for one in drawn_words if one.words == "Volume [mL]")


def test_what_is_not_of_the_lungs_alone_is_not_said_of_them(drawn_words):
    site = Site(location=factories.LUNG)
    volume, age = (
        Measurement(concept=factories.VOLUME._replace(value=name), value=1.0, unit=factories.MILLILITRE, site=where)
        for name, where in (("volume", site), ("age", None))
    )
    drawn_legend(factories.findings(factories.ct_series(), measurements=(age, volume)))
    assert "in all" in words(drawn_words)
    assert "lung" not in words(drawn_words)


def test_a_judgement_without_an_outline_does_not_sound_as_if_there_were_no_opacity(drawn_words):
    found = factories.findings(factories.ct_series())
    lungs = tuple(region for region in found.regions if region.purpose == Purpose.LUNGS)
    drawn_legend(factories.findings(factories.ct_series(), regions=lungs))
    assert "Lungs outlined; opacity, if any, was not" in words(drawn_words)


def test_all_headlines_come_before_the_rest(drawn_words):
    series = factories.ct_series()
    numbers = tuple(
        Measurement(concept=factories.VOLUME._replace(value=name, meaning=name), value=1.0, unit=factories.MILLILITRE)
        for name in ("first", "second", "third")
    )
    drawn_legend(factories.findings(series, measurements=numbers, headlines=2))
    told = [one for one in words(drawn_words) if one.split(" ")[0] in ("first", "second", "third", "Opacity")]
    assert [one.split(" ")[0] for one in told if not one.startswith("Opacity marked")][:3] == [
        "first",
        "second",
        "Opacity",
    ]


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (0.0, "0"),
        (1.0, "1"),
        (80.0, "80"),
        (0.04, "0.04"),
        (0.0012, "0.001"),
        (0.12, "0.1"),
        (12.34, "12.3"),
        (-767.4, "-767"),
        (4478.2, "4478"),
    ],
)
def test_numbers_have_as_many_digits_as_a_reader_can_use(value, expected):
    assert number(value) == expected


def test_a_long_line_keeps_its_ending_and_every_sign_can_be_drawn():
    assert fitted("a very long label of a region: Opacity percentage", 300, ending=" 12.5 %").endswith("... 12.5 %")
    assert fitted("≤ 3 mm", 300) == "<= 3 mm"


def test_wrapped_lines_hold_all_words_and_keep_to_the_width():
    said = "Slices of 4 mm: partial volume lowers the emphysema index, published on slices of 1 mm only."
    lines = wrapped(said, 300)
    assert " ".join(lines) == said
    assert max(map(width_of, lines)) <= 300

"""Tables of truth: what is read of them, and what is told of those that cannot be."""

import pytest

from evaluation.boxes import Box
from evaluation.truth import Kind, Truth, TruthError, read_truth


@pytest.fixture
def table(tmp_path):
    def write(text, encoding="utf-8"):
        path = tmp_path / "truth.csv"
        path.write_text(text, encoding=encoding)
        return path

    return write


def test_labels_are_read_by_image(table):
    known = read_truth(table("image,label\n1.2.3.dcm,1\nfolder/scan_b.DCM,0\n"), ())
    assert known.kind is Kind.LABELS
    assert known.of == {"1.2.3": Truth(label=1), "scan_b": Truth(label=0)}


def test_the_file_of_the_rsna_challenge_is_read_as_it_is(table):
    known = read_truth(
        table("patientId,x,y,width,height,Target\na-1,,,,,0\nb-2,264.0,152.5,213,379,1\nb-2,562,152,256,453,1\n"), ()
    )
    assert known.kind is Kind.BOXES
    assert known.of["a-1"] == Truth(label=0, boxes=())
    first, second = Box(x=264, y=152.5, width=213, height=379), Box(x=562, y=152, width=256, height=453)
    assert known.of["b-2"] == Truth(label=1, boxes=(first, second))


def test_boxes_may_name_their_class(table):
    known = read_truth(table("id,x,y,width,height,class\na,1,2,3,4,typical\n"), ())
    assert known.of["a"].boxes == (Box(x=1, y=2, width=3, height=4, name="typical"),)


def test_levels_are_whole_numbers(table):
    assert read_truth(table("SeriesInstanceUID,level\n1.2,5\n"), ()).of == {"1.2": Truth(level=5)}


def test_what_spreadsheets_put_before_a_table_and_empty_lines_do_no_harm(table):
    known = read_truth(table("Image,Label\n\na,1\n,\n", encoding="utf-8-sig"), ())
    assert known.of == {"a": Truth(label=1)}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("patientId,class\na,Normal\n", "no known table"),
        ("", "no known table"),
        ("image,label\n", "has no rows"),
        ("image,label\na,yes\n", "line 2: label is 'yes': give 0 or 1"),
        ("image,label\n,1\n", "line 2: image is empty"),
        ("image,label\na,1\na,0\n", "a: it is said to be 0 and 1"),
        ("image,label,level\na,1,3\n", "mixes levels with labels"),
        ("image,level\na,mild\n", "level is 'mild': give a whole number"),
        ("id,x,y,width,height,Target\na,1,2,3,4,0\n", "target is 0, and there is a box"),
        ("id,x,y,width,height,Target\na,,,,,1\n", "target is 1, and there is no box"),
        ("id,x,y,width,height\na,1,2,0,4\n", "width and height above 0"),
        ("id,x,y,width,height\na,1,2,,4\n", "give four numbers"),
        ("id,x,y,width,height\na,1,2,3,inf\n", "a box needs"),
        ("id,x,y,width,height\na,1,2,3,4\na,,,,\n", "a row that says that there are none"),
    ],
)
def test_a_table_that_cannot_be_used_says_where_and_why(table, text, said):
    with pytest.raises(TruthError) as raised:
        read_truth(table(text), ())
    assert said in str(raised.value)


def test_all_that_is_wrong_is_told_at_once_and_of_much_how_much(table):
    with pytest.raises(TruthError) as raised:
        read_truth(table("image,label\n" + "a,?\n" * 12), ())
    assert str(raised.value).count("give 0 or 1") == 5
    assert "and 7 more" in str(raised.value)


def test_a_file_that_is_no_table_is_named(tmp_path, table):
    (tmp_path / "truth.xlsx").write_bytes(b"PK\3\4")
    for path, said in ((tmp_path / "truth.xlsx", "no CSV file"), (tmp_path / "no.csv", "no such file")):
        with pytest.raises(TruthError, match=said):
            read_truth(path, ())
    with pytest.raises(TruthError, match="save it as CSV UTF-8"):
        read_truth(table("image,label\nä,1\n", encoding="latin-1"), ())

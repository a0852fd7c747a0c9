"""What a key matches: the conditions, as SQLite judges them, beside what PS3.4 C.2.2.2 says in Python."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import MetaData, String, create_engine, insert, select
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from db.repository import matching
from db.repository.matching import UnusableKeyError, fold, is_universal, name_groups

NAMES = matching.name


class Base(DeclarativeBase):
    metadata = MetaData()


class Row(Base):
    __tablename__ = "row"
    id: Mapped[int] = mapped_column(primary_key=True)
    text: Mapped[str] = mapped_column(String)
    ideographic: Mapped[str] = mapped_column(String, default="")
    phonetic: Mapped[str] = mapped_column(String, default="")


@pytest.fixture(scope="module")
def connection():
    engine = create_engine("sqlite://")
    Base.metadata.create_all(engine)
    with engine.connect() as connection:
        yield connection
    engine.dispose()


def matches(connection, condition, text, **others):
    connection.execute(insert(Row).values(id=1, text=text, **others))
    found = connection.execute(select(Row.id).where(condition)).all()
    connection.rollback()
    return bool(found)


def wild(pattern, value):
    """Match as C.2.2.2.4 says."""
    translated = "".join(".*" if c == "*" else "." if c == "?" else re.escape(c) for c in pattern)
    return re.fullmatch(translated, value, re.DOTALL) is not None


@given(pattern=st.text("ab[]-^*?Ä", max_size=6), value=st.text("ab[]-^Ä", max_size=6))
def test_wild_cards_match_as_the_standard_says(connection, pattern, value):
    pattern = pattern.strip()
    assert matches(connection, matching.text(Row.text)([pattern]), value) == wild(pattern, value)


@given(value=st.text(max_size=8).filter(lambda text: "\0" not in text and text == text.strip()))
def test_whatever_is_stored_is_found_by_itself(connection, value):
    plain = value.replace("*", "?")
    assert matches(connection, matching.text(Row.text)([plain]), value)


@given(name=st.text("aÄßé^ ", max_size=8))
def test_a_name_is_found_in_any_case_and_without_its_accents(connection, name):
    stored = dict(zip(("text", "ideographic", "phonetic"), name_groups(name), strict=True))
    for asked in (name, name.upper(), name.lower(), fold(name)):
        assert matches(connection, NAMES(Row.text, Row.ideographic, Row.phonetic)([asked]), **stored)


@pytest.mark.parametrize(
    ("asked", "stored", "found"),
    [
        ("Müller^Jörg", "MULLER^JORG", True),
        ("muller", "Müller^Jörg", False),
        ("muller*", "Müller^Jörg", True),
        ("smith^", "Smith", True),
        ("が*", "か", False),
        ("Straße", "STRASSE", True),
        ("Yamada*=山田*", "Yamada^Tarou=山田^太郎", True),
        ("Yamada*=鈴木*", "Yamada^Tarou=山田^太郎", False),
        ("*=山田*", "Yamada^Tarou=山田^太郎", True),
    ],
)
def test_names(connection, asked, stored, found):
    groups = dict(zip(("text", "ideographic", "phonetic"), name_groups(stored), strict=True))
    assert matches(connection, NAMES(Row.text, Row.ideographic, Row.phonetic)([asked]), **groups) is found


DAYS = st.dates().map(lambda day: f"{day:%Y%m%d}".zfill(8))


@given(first=DAYS, last=DAYS, stored=DAYS)
def test_ranges_of_dates_include_both_ends(connection, first, last, stored):
    date = matching.date(Row.text)
    assert matches(connection, date([f"{first}-{last}"]), stored) == (first <= stored <= last)
    assert matches(connection, date([f"{first}-"]), stored) == (first <= stored)
    assert matches(connection, date([f"-{last}"]), stored) == (stored <= last)
    assert matches(connection, date([first]), stored) == (first == stored)


@pytest.mark.parametrize("value", ["20240101-", "-20240101", "20240101"])
def test_what_has_no_date_is_in_no_range(connection, value):
    assert not matches(connection, matching.date(Row.text)([value]), "")


@pytest.mark.parametrize(
    ("asked", "stored", "found"),
    [
        ("1011", "101159.9", True),
        ("1011", "101200", False),
        ("10", "105959", True),
        ("101112", "101112.500000", True),
        ("1000-1100", "110059", True),
        ("1000-1100", "110100", False),
        ("10:11:12-", "101112", True),
        ("-0930", "093059.999999", True),
    ],
)
def test_times_to_the_minute_are_the_whole_minute(connection, asked, stored, found):
    assert matches(connection, matching.time(Row.text)([asked]), stored) is found


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        (matching.date, "2024"),
        (matching.date, "-"),
        (matching.time, "1"),
        (matching.number, "1-2"),
        (matching.number, "9e9"),
    ],
)
def test_a_value_that_a_key_cannot_have_is_refused(kind, value):
    with pytest.raises(UnusableKeyError):
        kind(Row.text)([value])


def test_what_is_no_uid_matches_nothing(connection):
    uid = matching.literal(Row.text)
    assert matches(connection, uid(["1.2.3", "1.2.4"]), "1.2.4")
    assert not matches(connection, uid(["1.2.*"]), "1.2.4")


@pytest.mark.parametrize(("value", "universal"), [("", True), ("*", True), ("**", True), ("?", False), ("a*", False)])
def test_empty_values_and_asterisks_match_everything(value, universal):
    assert is_universal(value) is universal

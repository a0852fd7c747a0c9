"""What `status`, `status STUDY` and `jobs` show a person, within the width of a terminal."""

import json
from datetime import UTC, datetime

import pytest
from rich.console import Console
from typer.testing import CliRunner

from db.models import Decision, Delivery, Instance, Job, Revision, Series, Study
from db.states import DeliveryState, HoldReason, InstanceRole, JobState, Outcome, SettleReason
from node import health, job_list, overview, study_screen
from node.cli import app, deliveries, holds, studies
from node.console import findings_table
from tests.post import Clock, Post, ScriptedPeers

WIDTH = 100


@pytest.fixture
def post(tmp_path):
    """A study, 1.2, whose job made three objects that a dead PACS does not get."""
    paths = [tmp_path / f"{number}.dcm" for number in range(3)]
    for path in paths:
        path.write_text(path.stem)
    clock = Clock()
    clock.now = datetime.now(UTC)
    peers = ScriptedPeers(PACS=lambda _n, _p: "down")
    mail = Post(tmp_path, paths, {"pacs": 104}, clock=clock, connect=peers.connect)
    mail.run()
    yield mail
    mail.close()


@pytest.fixture
def call(post, tmp_path, monkeypatch):
    file = tmp_path / "config.toml"
    file.write_text(f'[storage]\npath = "{tmp_path}"\n')
    monkeypatch.setattr(health, "echo", lambda _peer: True)
    screen = Console(width=WIDTH, highlight=False)
    for module in (deliveries, job_list, overview, studies, study_screen):
        monkeypatch.setattr(module, "console", screen)
    return lambda *arguments: CliRunner().invoke(app, [*arguments, "--config", str(file)])


def lines(done):
    assert done.exit_code == 0, done.output
    assert max(map(len, done.output.splitlines())) <= WIDTH
    return done.output.splitlines()


def add_study(session, uid):
    now = datetime.now(UTC)
    study = Study(study_instance_uid=uid, state="settled", first_received_at=now, last_received_at=now, opened_at=now)
    session.add(study)


@pytest.mark.parametrize(
    "command",
    [["status"], ["route"], ["resolve"], ["decide"], ["resend"], ["deliveries", "--study"]],
    ids=lambda c: c[0],
)
def test_every_command_takes_the_end_of_a_uid_and_says_alike_what_it_cannot_take(command, call, post):
    with post.database.write() as session:
        add_study(session, "1.9.11")
        add_study(session, "1.8.11")
    unknown, ambiguous = call(*command, "7777"), call(*command, "….11")
    assert (unknown.exit_code, ambiguous.exit_code) == (2, 2)
    assert unknown.output.startswith("the node holds no study whose UID is or ends in 7777;")
    assert ambiguous.output.startswith("more than one study ends in ….11;")
    known = call(*command, "….9.11")
    assert "no study whose UID" not in known.output
    assert not isinstance(known.exception, LookupError | ValueError)


def test_a_whole_uid_is_never_taken_for_the_end_of_another(call, post):
    with post.database.write() as session:
        add_study(session, "3.1.2")
    (study,) = json.loads(call("status", "1.2", "--json").output)["studies"]
    assert study["study_instance_uid"] == "1.2"


def test_jobs_is_two_lines_a_job_and_each_message_once(call):
    shown = lines(call("jobs"))
    assert sum("pacs: 3 pending" in line for line in shown) == 1
    assert sum("cannot be reached" in line for line in shown) == 1
    assert len(shown) <= 6


def test_jobs_says_of_one_that_is_marked_as_running_that_the_node_does_not_answer(call, post, monkeypatch):
    with post.database.write() as session:
        session.query(Job).one().state = JobState.RUNNING
    assert "does not answer" not in call("jobs").output
    monkeypatch.setattr(health, "echo", lambda _peer: False)
    assert "the node does not answer" in call("jobs").output


REASON = (
    "slices are 5.0 mm thick, the card wants at most 3.0 mm: nothing but a thinner reconstruction can be read by it"
)


@pytest.mark.parametrize("command", ["status", "jobs"])
@pytest.mark.parametrize("width", [80, 120])
def test_names_and_reasons_are_whole_at_any_usual_width(command, width, call, post, monkeypatch):
    for module in (job_list, overview, studies):
        monkeypatch.setattr(module, "console", Console(width=width, highlight=False))
    with post.database.write() as session:
        job = session.query(Job).one()
        job.pipeline, job.stack, job.state, job.message = (
            "lung-densitometry",
            "axial 1 mm B30f",
            JobState.FAILED,
            REASON,
        )
        job.study.study_instance_uid = "1.2.840.113619.2.55.3.1234567"
        job.started_at, job.finished_at = (datetime(2026, 1, 2, 12, n, 8, tzinfo=UTC) for n in (52, 53))
    shown = call(command).output
    assert max(map(len, shown.splitlines())) <= width
    assert "…" not in shown.replace("…5.3.1234567", "")
    assert "lung-densitometry" in shown
    assert REASON in " ".join(shown.split())
    assert len(shown[shown.index("newest") :].splitlines()) <= 10
    if command == "jobs":
        assert "01-02 12:52–12:53 " in shown


def test_status_is_a_line_a_study_and_says_at_once_which_destination_fails(call):
    shown = lines(call("status"))
    assert sum("pacs: 3 pending" in line for line in shown) == 1
    text = " ".join(" ".join(shown).split())
    assert "destination pacs fails since" in text
    assert "3 objects wait for it" in text
    assert call("status", "--check").output.startswith("OK"), "a monitor is told after two minutes"


def test_a_problem_that_needs_two_lines_is_indented_on_the_second(call):
    shown = lines(call("status"))
    (first,) = [number for number, line in enumerate(shown) if line.startswith("  ! ")]
    assert shown[first + 1].startswith("    ")


def test_status_of_a_study_says_who_sent_what_when_and_what_followed(call, post):
    now = datetime(2026, 1, 2, 12, tzinfo=UTC)
    with post.database.write() as session:
        study = session.query(Study).one()
        job = session.query(Job).one()
        job.superseded_by_id = job.id + 1
        series = session.query(Series).first() or Series(
            study=study, series_instance_uid="1.5", modality="CT", series_description=""
        )
        session.add(series)
        for number, role in enumerate((InstanceRole.CURRENT, InstanceRole.SUPERSEDED, InstanceRole.OWN_RESULT)):
            session.add(an_instance(series, number, role, now))
        revision = session.query(Revision).first()
        revision.reason, study.revision_number = SettleReason.MAX_WAIT, revision.number
        for rule, code in (("CT", "selected"), ("ER", "rule")):
            session.add(a_decision(revision, series, rule, code))
    text = " ".join(" ".join(lines(call("status", ".2"))).split())
    assert "2026-01-02 12:00:00 to 12:00:00 UTC, 3 objects from CT_7 (to US)" in text
    assert "1 earlier receipt that an update replaced" in text
    assert "1 result of ours that came back" in text
    assert "max-wait" in text
    assert "pacs: 3 pending" in text
    assert "took its place" in text
    assert "the only one" in text
    assert "excluded" not in text, "another rule runs that stack"


def an_instance(series, number, role, now):
    return Instance(
        series=series,
        sop_instance_uid=f"1.77.{number}",
        sop_class_uid="1.1",
        transfer_syntax_uid="1.1",
        role=role,
        spool_name=str(number),
        path="",
        size=1,
        dataset_sha256="",
        pixel_sha256="",
        patient_id="",
        issuer_of_patient_id="",
        patient_name="",
        patient_birth_date="",
        patient_sex="",
        header={},
        calling_ae_title="CT_7",
        called_ae_title="US",
        peer_address="",
        association_id="",
        received_at=now,
    )


def a_decision(revision, series, rule, code):
    runs = code == "selected"
    return Decision(
        revision=revision,
        series=series,
        stack="axial",
        instance_count=1,
        rule=rule,
        pipeline="lung-densitometry",
        outcome=Outcome.RUN if runs else Outcome.NOT_RUN,
        code=code,
        reason="the only one" if runs else "excluded",
    )


def test_deliveries_says_of_what_was_sent_that_commitment_was_asked(call, post):
    with post.database.write() as session:
        for row in session.query(Delivery):
            row.state, row.transaction_uid, row.message = DeliveryState.SENT, "1.4", None
            row.next_attempt_at = datetime(2026, 1, 2, 12, 30, tzinfo=UTC)
    shown = lines(call("deliveries"))
    (note,) = [line for line in shown if "storage commitment asked" in line]
    assert "asked again at 2026-01-02 12:30 UTC" in note
    assert sum(line.rstrip().endswith(" 1") for line in shown) == 3


def hold_for_a_conflict(session):
    """Let the study hold two receipts of one instance, of one second and one sender; the later is a negative."""
    study = session.query(Study).one()
    study.state, study.hold_reason = "held", HoldReason.CONFLICT
    series = Series(study=study, series_instance_uid="1.5", series_number=3, modality="DX", series_description="PA")
    session.add(series)
    for number, role in enumerate((InstanceRole.CURRENT, InstanceRole.CONFLICT)):
        row = an_instance(series, number, role, datetime(2026, 1, 2, 12, 0, 5, 250_000 * (1 + number), tzinfo=UTC))
        row.sop_instance_uid, row.pixel_sha256 = "1.77", f"{number}a2b3c4d5e"
        row.header = {"rows": 512, "photometric_interpretation": f"MONOCHROME{2 - number}"}
        session.add(row)


@pytest.mark.parametrize("width", [80, 120])
def test_resolve_says_in_what_contradicting_receipts_differ_and_which_one_each_choice_takes(
    width, call, post, monkeypatch
):
    monkeypatch.setattr(holds, "console", Console(width=width, highlight=False))
    with post.database.write() as session:
        hold_for_a_conflict(session)
    shown = call("resolve", "1.2").output
    assert "1 conflict\n" in "\n".join(map(str.strip, shown.splitlines())) + "\n"
    words = " ".join(shown.replace("│", " ").split())
    for word in (
        "first",
        "newest",
        "01-02 12:00:05.250",
        "01-02 12:00:05.500",
        "MONOCHROME2",
        "#0a2b3c4d",
        "#1a2b3c4d",
    ):
        assert word in words, word
    assert "rows" not in words, "it is the same in both"
    first, newest = json.loads(call("resolve", "1.2", "--json").output)["conflicting"]
    assert first["differs_in"] == "pixel data #0a2b3c4d; photometric interpretation MONOCHROME2"
    assert newest["differs_in"] == "pixel data #1a2b3c4d; photometric interpretation MONOCHROME1"


def test_people_read_hounsfield_units_where_results_say_ucum():
    measurement = {"name": "Mean", "value": -700.04, "unit": "[hnsf'U]"}
    summary = {"algorithm": {"name": "a", "version": "1"}, "measurements": [measurement], "regions": []}
    screen = Console(width=WIDTH)
    with screen.capture() as shown:
        screen.print(findings_table(summary))
    assert "-700.0 HU" in shown.get()

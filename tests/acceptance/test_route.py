"""`opacity-node route`: an administrator sees what rules do with a study, and tries others before they count."""

import json
import re
from datetime import UTC, datetime

import pytest
from typer.testing import CliRunner

from db import schema
from db.files import Storage
from db.repository import holding, intake, settling
from db.repository.settling import NewDecision
from db.session import Database
from db.states import HoldReason, Outcome, SettleReason
from node.cli import app
from tests.unit.db.conftest import received  # noqa: F401 - a fixture
from tests.unit.node.headers import SECONDARY_CAPTURE, axial, for_processing, lateral, xray

STUDY = "1.2.3"
XRAYS = "1.2.4"
RULES = """
[[rules]]
name = "other"
pipelines = ["lung-densitometry"]
destinations = ["source", "pacs"]
quiet_s = 90
notices = true
stacks = "all"
when = { modality = "CT", series_description = "^(?!.*scout)", slice_count = { min = 20, max = 50 } }

[[rules]]
name = "x-ray"
modality = ["CR", "DX"]
pipelines = ["lung-fields"]
priority = "stat"
"""


@pytest.fixture
def run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return lambda *arguments: CliRunner().invoke(app, list(map(str, arguments)), env={"COLUMNS": "100"})


@pytest.fixture
def database(tmp_path, received):  # noqa: F811 - the fixture
    storage = Storage(tmp_path / "storage")
    storage.prepare()
    database = Database(f"sqlite:///{storage.database}")
    schema.upgrade(database)
    scout = axial(
        f"{STUDY}.1",
        count=1,
        image_type=("ORIGINAL", "PRIMARY", "LOCALIZER"),
        series_description="Scout",
        series_number=1,
    )
    with database.write() as session:
        for number, header in enumerate([*scout, *axial(f"{STUDY}.2")]):
            row = received(
                number,
                study_instance_uid=STUDY,
                series_instance_uid=header.series_instance_uid,
                sop_instance_uid=header.sop_instance_uid,
                header=header.to_json(),
            )
            intake.add(session, [row])
    yield database
    database.close()


@pytest.fixture
def xrays(database, received):  # noqa: F811 - the fixture
    """A PA image with its raw data, a portable AP beside a lateral, one without view, a hand, a screen capture."""
    noon = {"acquired_at": "20260101 120000"}
    unsaid = {
        "view_position": "",
        "series_description": "",
        "body_part_examined": "",
        "sop_class_uid": SECONDARY_CAPTURE,
    }
    headers = [
        xray(f"{XRAYS}.1.1", **noon),
        for_processing(f"{XRAYS}.3.1", **noon),
        xray(f"{XRAYS}.4.1", view_position="AP PORTABLE", series_number=4, series_description="PORT CHEST"),
        lateral(f"{XRAYS}.4.2", series_number=4, instance_number=2, series_description="PORT CHEST"),
        xray(f"{XRAYS}.5.1", series_number=5, **unsaid),
        xray(f"{XRAYS}.6.1", series_number=6, body_part_examined="HAND", series_description="hand"),
        xray(f"{XRAYS}.7.1", series_number=7, samples_per_pixel=3, photometric_interpretation="RGB"),
    ]
    with database.write() as session:
        for number, header in enumerate(headers, start=200):
            intake.add(
                session,
                [
                    received(
                        number,
                        study_instance_uid=XRAYS,
                        series_instance_uid=header.series_instance_uid,
                        sop_instance_uid=header.sop_instance_uid,
                        modality=header.modality,
                        header=header.to_json(),
                    )
                ],
            )


def words(output: str) -> str:
    return re.sub(r"\s+", " ", output)


def test_every_rule_and_stack_with_its_conditions_pipelines_and_destinations(run, database):
    done = run("route", STUDY)
    assert done.exit_code == 0, done.output
    said = words(done.output)
    for needed in (
        "61 instances in 2 stacks, CT · complete after 60 s of quiet",
        "rule chest CT when modality CT runs lung-densitometry on the best stack that fits results to pacs",
        "series 1 · Scout",
        "lung-densitometry does not run: A localizer (scout), not a volume.",
        "lung-densitometry runs → pacs: The only stack that fits.",
    ):
        assert needed in said, done.output
    assert max(map(len, done.output.splitlines())) <= 100


def test_every_x_ray_image_is_named_with_what_becomes_of_it(run, xrays):
    done = run("route", XRAYS)
    assert done.exit_code == 0, done.output
    said = words(done.output)
    for needed in (
        "7 instances in 7 stacks, DX · complete after 15 s of quiet",
        "rule chest X-ray when modality CR or DX runs lung-fields on every image that fits",
        "series 1 · chest · PA · 1 instance",
        "lung-fields runs → pacs: One of 3 images that fit, each of which runs (PA).",
        "series 3 · chest · PA · for processing",
        "lung-fields does not run: The image is for processing: as the detector gave it, not as it is read.",
        "For presentation it is series 1 · chest · PA, which runs",
        "series 4 · PORT CHEST · AP PORTABLE · image 1",
        "series 4 · PORT CHEST · LL · image 2",
        "lung-fields does not run: The view is lateral by View Position LL; the pipeline reads PA and AP.",
        "It does not state its view or its body part: the pipeline judges whether it is a frontal chest image.",
        "lung-fields does not run: Body part HAND is not the chest.",
        "lung-fields does not run: The image is in colour (RGB), as screen captures are.",
        "does not apply: it asks for modality CT",
    ):
        assert needed in said, done.output
    assert max(map(len, done.output.splitlines())) <= 100


def test_other_rules_are_tried_on_the_same_study_and_nothing_is_changed(run, database, tmp_path):
    (tmp_path / "elsewhere").mkdir()
    tried = tmp_path / "elsewhere" / "new.toml"
    tried.write_text(RULES)
    said = words(run("route", STUDY, "--try", tried).output)
    for needed in (
        "complete after 90 s of quiet",
        "when modality CT; series_description /^(?!.*scout)/; slice_count 20 to 50",
        "on every stack that fits results to source, pacs; notices too priority 0 · quiet time 90 s",
        "✗ series_description is 'Scout', wanted /^(?!.*scout)/",
        "✗ slice_count is 60, wanted 20 to 50 ✓ modality 'CT' · series_description 'chest'",
        "lung-densitometry does not run: excluded by the rule",
        "rule x-ray",
        "does not apply: it asks for modality CR or DX",
    ):
        assert needed in said, said
    with database.read() as session:
        assert settling.find(session, STUDY).revision_number == 0


def test_a_script_gets_the_same_as_json(run, database, tmp_path):
    (tmp_path / "new.toml").write_text(RULES)
    first, second = json.loads(run("route", STUDY, "--try", "new.toml", "--json").output)["rules"]
    assert first["rule"]["when"]["series_description"] == "^(?!.*scout)"
    assert [v["met"] for v in first["stacks"][1]["verdicts"]] == [True, True, False]
    assert first["stacks"][1]["outcomes"][0]["code"] == "rule"
    assert second["applies"] is False
    rule, _ = json.loads(run("route", STUDY, "--json").output)["rules"]
    (outcome,) = rule["stacks"][1]["outcomes"]
    assert outcome["runs"]
    assert outcome["destinations"] == ["pacs"]


def test_a_notice_is_shown_before_it_is_sent(run, database, tmp_path):
    rules = RULES.replace("slice_count = { min = 20, max = 50 }", "body_part_examined = ['']").replace(
        "^(?!.*scout)", "scout"
    )
    (tmp_path / "new.toml").write_text(rules)
    said = words(run("route", STUDY, "--try", "new.toml").output)
    assert "notice → pacs: None of the images chosen for lung-densitometry fit it. Series 1 (1 image): " in said


def test_a_held_study_is_said_to_be_held(run, database):
    with database.write() as session:
        found = settling.find(session, STUDY)
        holding.hold(session, found.id, reason=HoldReason.CONFLICT, message="other pixels")
    assert f"nothing of this happens before opacity-node resolve {STUDY}" in words(run("route", STUDY).output)


def test_what_was_decided_otherwise_is_dated_and_the_command_named_that_applies_the_rules(run, database):
    with database.write() as session:
        found = settling.find(session, STUDY)
        decided_at = datetime(2026, 1, 2, 11, 42, tzinfo=UTC)
        settling.settle(session, found.id, reason=SettleReason.QUIET, now=decided_at, jobs=[], decisions=[])
    said = words(run("route", STUDY).output)
    otherwise = f"decided 2026-01-02 11:42 UTC otherwise; opacity-node decide {STUDY} applies these rules"
    assert said.count(otherwise) == 1
    assert f"lung-densitometry runs → pacs: The only stack that fits. {otherwise}" in said
    assert otherwise not in words(run("route", STUDY, "--try", "config.toml").output)
    (rule,) = [r for r in json.loads(run("route", STUDY, "--json").output)["rules"] if r["applies"]]
    assert [o["decided_otherwise"] for s in rule["stacks"] for o in s["outcomes"]] == [False, True]

    done = run("decide", STUDY[2:])
    assert done.exit_code == 0, done.output
    assert f"study {STUDY} is decided again" in done.output
    with database.read() as session:
        assert [s.study_instance_uid for s in settling.to_decide_again(session)] == [STUDY]


def test_what_was_decided_as_now_is_not_said_to_differ(run, database):
    _, chest = json.loads(run("route", STUDY, "--json").output)["rules"][0]["stacks"]
    with database.write() as session:
        found = settling.find(session, STUDY)
        series = {row.header["series_number"]: row.series_id for row in settling.instances(session, found.id)}
        decision = NewDecision(
            series_id=series[2],
            stack=chest["stack"],
            instance_count=60,
            rule="an earlier name",
            pipeline="lung-densitometry",
            outcome=Outcome.RUN,
            code="",
            reason="",
            job=None,
        )
        now = datetime.now(UTC)
        settling.settle(session, found.id, reason=SettleReason.QUIET, now=now, jobs=[], decisions=[decision])
    assert "otherwise" not in run("route", STUDY).output


def test_a_study_that_is_held_is_not_decided_again(run, database):
    with database.write() as session:
        holding.hold(session, settling.find(session, STUDY).id, reason=HoldReason.CONFLICT, message="other pixels")
    done = run("decide", STUDY)
    assert done.exit_code == 2
    assert f"it is held and stays so until `opacity-node resolve {STUDY}`" in done.output


def test_a_study_that_is_not_there_and_a_wrong_file_say_what_to_do(run, database, tmp_path):
    done = run("route", "9.9")
    assert done.exit_code == 2
    assert "opacity-node status" in done.output
    (tmp_path / "new.toml").write_text("[[rules]]\nname = 'a'\npipelines = ['x']\nwhen = { kernel = 'b' }\n")
    done = run("route", STUDY, "--try", "new.toml")
    assert done.exit_code == 2
    assert "there is no such condition" in done.output
    assert "names the pipeline 'x'" in done.output

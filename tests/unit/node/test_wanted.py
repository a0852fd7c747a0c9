from datetime import UTC, datetime

import pytest
from sqlalchemy import select

from db import schema
from db.files import Storage
from db.models import Delivery, Result
from db.session import Database
from db.states import DeliveryState
from dicom_out.context import ResultKind
from inference.registry import CARDS
from node import wanted
from node.config import Config, ConfigError, load
from node.dispatcher import Dispatcher
from node.sections import Destination
from node.worker import JobOutcome, ResultFile
from tests.rows import new_job, settled_study

CT, XRAY = "lung-densitometry", "lung-fields"
PEER = {"host": "127.0.0.1", "port": 104, "ae_title": "PACS"}
REPORT, SEG, KEY, MAP, COARSE, NOTICE = (
    ResultKind.SR,
    ResultKind.SEG,
    ResultKind.KEY_IMAGE,
    ResultKind.MAP,
    ResultKind.COARSE_MAP,
    ResultKind.NOTICE,
)


def place(name="pacs", **settings):
    return Destination(name=name, **PEER, **settings)


def a_config(*destinations):
    return Config(destinations=destinations, rules=())


def test_by_default_a_destination_gets_everything_but_maps():
    assert wanted.wanted(place(), CT) == {REPORT, SEG, KEY, NOTICE}


@pytest.mark.parametrize(
    ("pipeline", "maps", "kinds"),
    [
        (CT, "source-grid", {MAP}),
        (CT, "coarse", {COARSE}),
        (CT, "none", set()),
        (XRAY, "source-grid", {MAP}),
        (XRAY, "coarse", {MAP}),
        (XRAY, "none", set()),
        ("a pipeline of an earlier version", "coarse", {COARSE}),
    ],
)
def test_maps_are_as_the_destination_wants_them_and_those_of_x_rays_as_they_are(pipeline, maps, kinds):
    assert {CT, XRAY} <= set(CARDS)
    assert wanted.wanted(place(maps=maps), pipeline) & wanted.MAPS == kinds


def test_kinds_that_are_left_out_do_not_go_and_a_notice_goes_where_its_rule_says():
    assert wanted.wanted(place(objects=("report",), maps="coarse"), CT) == {REPORT, NOTICE, COARSE}
    assert wanted.wanted(place(objects=()), CT) == {NOTICE}


def test_a_destination_that_the_configuration_has_no_more_keeps_all_but_maps():
    config = a_config(place("other", maps="source-grid"))
    assert wanted.wants(config, "gone", CT, "key-image")
    assert not wanted.wants(config, "gone", CT, "map")


def test_a_job_builds_the_maps_that_any_of_its_destinations_wants():
    config = a_config(place("a", maps="source-grid"), place("b", maps="coarse"), place("c"))
    assert wanted.maps(config, ("c",), CT) == ()
    assert wanted.maps(config, ("c", "b"), CT) == (COARSE,)
    assert set(wanted.maps(config, ("a", "b", "c"), CT)) == {MAP, COARSE}
    assert wanted.maps(config, ("a", "b", "c"), XRAY) == (MAP,)


@pytest.mark.parametrize(("setting", "words"), [('maps = "all"', "source-grid"), ('objects = ["map"]', "report")])
def test_a_wrong_setting_is_told_with_what_there_is(tmp_path, setting, words):
    file = tmp_path / "config.toml"
    file.write_text(f'[[destinations]]\nname = "p"\nhost = "h"\nport = 1\nae_title = "P"\n{setting}\n')
    with pytest.raises(ConfigError, match=f"destinations.*must be .*{words}"):
        load(file)


class EngineOfOneJob:
    def __init__(self):
        self.running = None

    def free_device(self):
        return None if self.running else "cpu"

    def submit(self, specs, _device, done):
        self.running = (*specs, done)


@pytest.fixture
def database(tmp_path):
    database = Database(f"sqlite:///{tmp_path / 'node.sqlite3'}")
    schema.upgrade(database)
    yield database
    database.close()


def test_a_worker_is_told_which_maps_to_build_and_each_object_goes_where_it_is_wanted(tmp_path, database):
    storage = Storage(tmp_path / "storage")
    storage.prepare()
    with database.write() as session:
        settled_study(session, datetime.now(UTC), new_job(pipeline=CT))
    engine = EngineOfOneJob()
    config = a_config(place("one", maps="source-grid", objects=("report",)), place("two"))
    dispatcher = Dispatcher(database=database, storage=storage, engine=engine, config=config, on_ended=lambda: None)
    dispatcher.run()
    spec, done = engine.running
    assert spec.maps == ("map",)
    dispatcher.reload(a_config(place("one", maps="source-grid"), place("two")))
    results = tuple(
        ResultFile(
            kind=kind,
            sop_instance_uid=f"1.{number}",
            sop_class_uid="1.2",
            series_instance_uid="1.3",
            path=f"results/{kind}",
            size=1,
            sha256="a" * 64,
            device_uid="2.25.7",
        )
        for number, kind in enumerate(("seg", "sr", "map", "key-image"))
    )
    done(spec, JobOutcome(results=results))
    with database.read() as session:
        rows = session.execute(select(Delivery, Result.kind).join(Result))
        found = {(delivery.destination, kind): delivery.state for delivery, kind in rows}
    assert {place_and_kind for place_and_kind, state in found.items() if state is not DeliveryState.PENDING} == {
        ("two", "map")
    }
    assert found["two", "map"] is DeliveryState.UNWANTED

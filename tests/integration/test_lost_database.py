"""The database is gone, damaged or another one: nothing acknowledged is lost, and the service mends itself."""

import errno
import logging
import shutil
import sqlite3
import time
from datetime import UTC, datetime

import pytest
from sqlalchemy import select
from sqlalchemy.exc import DatabaseError

from db.files import Storage
from db.incoming import Incoming
from db.models import Instance, Study
from db.session import Database
from db.states import HoldReason, InstanceRole, StudyState
from handlers.association import Associations
from handlers.quarantine import Quarantine
from handlers.space import DiskSpace
from handlers.store import StoreHandler
from node import keeper as keeper_module
from node import rebuild as rebuild_module
from node import work
from node.config import Config
from node.keeper import Keeper
from node.rebuild import Rebuild
from node.sections import Settle, StorageSettings
from node.work import Site, Work
from tests.unit.handlers.test_identity import encoded
from tests.unit.handlers.test_store import store_with

LIMIT_S = 60


class IdleEngine:
    """An engine that never has a free device."""

    busy = False

    def __init__(self, **_):
        pass

    def start(self):
        pass

    def stop(self):
        pass

    def free_device(self):
        return None


class Life:
    """A node without server and workers: it receives, and its keeper runs when the test says so."""

    def __init__(self, folder, *, may_come_back_s=0.0):
        self.storage = Storage(folder)
        self.storage.prepare()
        quarantine = Quarantine(self.storage.quarantine, quota_bytes=10**9)
        associations = Associations()
        config = Config(storage=StorageSettings(path=folder), settle=Settle(quiet_ct_s=0.1, quiet_xray_s=0.1))
        self.rebuild = Rebuild(storage=self.storage, quarantine=quarantine)
        site = Site(
            config=config,
            storage=self.storage,
            quarantine=quarantine,
            associations=associations,
            rebuild=self.rebuild,
        )
        self.alarms = 0
        self.keeper = Keeper(site, on_damage=self._alarm, may_come_back_s=may_come_back_s)
        self._handler = StoreHandler(
            storage=self.storage,
            incoming=Incoming(self.storage.incoming),
            quarantine=quarantine,
            space=DiskSpace(folder, low_water_bytes=0),
            associations=associations,
            on_spooled=lambda: self.keeper.wake("index"),
        )

    def _alarm(self):
        self.alarms += 1

    def receive(self, study, number):
        uids = {"StudyInstanceUID": f"1.2.{study}", "SeriesInstanceUID": f"1.2.{study}.1"}
        instance = f"1.2.{study}.1.{number}"
        data = encoded(SOPInstanceUID=instance, Modality="CT", **uids)
        assert store_with(self._handler, data, sop_instance_uid=instance) == 0
        return instance

    def until(self, condition):
        deadline = time.monotonic() + LIMIT_S
        while not (answer := condition()):
            assert time.monotonic() < deadline, "it took too long"
            self.keeper.run()
            time.sleep(0.02)
        return answer

    def rows(self):
        """Return the instances and studies that the database knows, read from outside; nothing of a damaged one."""
        database = Database(f"sqlite:///{self.storage.database}")
        try:
            with database.read() as session:
                instances = session.execute(
                    select(Instance.sop_instance_uid, Instance.path).where(Instance.role == InstanceRole.CURRENT)
                ).all()
                studies = session.scalars(select(Study)).all()
        except DatabaseError:
            return {}, {}
        finally:
            database.close()
        return dict(instances), {study.study_instance_uid: study for study in studies}

    def knows(self, instances):
        """Say whether all is indexed, nothing is under way, and each row's file is there."""
        rows, _ = self.rows()
        done = set(rows) == set(instances) and not self.storage.spooled() and not self.rebuild.under_way
        return done and all((self.storage.root / path).is_file() for path in rows.values())

    def settled(self):
        _, studies = self.rows()
        return studies and all(s.state in {StudyState.SETTLED, StudyState.HELD} for s in studies.values())

    def stop(self):
        self.keeper.stop(grace_s=0)


@pytest.fixture(autouse=True)
def no_workers(monkeypatch):
    monkeypatch.setattr(work, "LocalEngine", IdleEngine)


@pytest.fixture
def begin(tmp_path):
    """Begin a life on the storage; the one before ends, as a stopped node does."""
    lives = []

    def begin(**options):
        if lives:
            lives[-1].stop()
        lives.append(Life(tmp_path / "storage", **options))
        return lives[-1]

    yield begin
    lives[-1].stop()


@pytest.fixture
def known(begin):
    """A life that knows three studies of two instances, and their UIDs."""
    life = begin()
    instances = [life.receive(study, number) for study in range(3) for number in range(2)]
    life.until(lambda: life.knows(instances) and life.settled())
    return life, instances


def vanish(life):
    for path in life.storage.root.glob("node.sqlite3*"):
        path.unlink()


def damage(life):
    """Leave a file of the same name and number that is no database."""
    life.storage.database.write_bytes(b"this was a database" * 5000)


def spoil_within(life):
    """Damage pages within the file, behind an intact beginning."""
    with life.storage.database.open("r+b") as file:
        file.seek(4096)
        file.write(b"\xff" * (life.storage.database.stat().st_size - 4096))


@pytest.mark.parametrize("accident", [vanish, damage, spoil_within])
def test_a_database_lost_while_the_node_was_stopped_is_made_anew(known, begin, accident):
    life, instances = known
    life.stop()
    accident(life)
    life = begin()
    life.until(lambda: life.knows(instances) and life.settled())
    assert bool(list(life.storage.root.glob("node.sqlite3.damaged-*"))) == (accident is not vanish)


@pytest.mark.parametrize("accident", [vanish, damage])
def test_a_database_lost_in_use_is_made_anew_and_what_came_meanwhile_is_known_too(known, accident, caplog):
    life, instances = known
    accident(life)
    instances = [*instances, life.receive(1, 7), life.receive(9, 1)]
    life.until(lambda: life.knows(instances) and life.settled())
    instances.append(life.receive(8, 1))
    life.until(lambda: life.knows(instances))
    assert "Traceback" not in caplog.text
    assert not list(life.storage.quarantine.iterdir())


def test_a_database_that_comes_back_in_time_is_used(begin, caplog):
    life = begin(may_come_back_s=LIMIT_S)
    instances = [life.receive(1, number) for number in range(3)]
    life.until(lambda: life.knows(instances))
    away = life.storage.root / "mislaid"
    life.storage.database.rename(away)
    life.keeper.run()
    instances.append(life.receive(1, 9))
    for _ in range(3):
        life.keeper.run()
    assert not life.storage.database.exists()
    assert len(life.storage.spooled()) == 1
    away.rename(life.storage.database)
    life.until(lambda: life.knows(instances))
    assert "made anew" not in caplog.text
    assert "another database" not in caplog.text


def test_a_backup_put_in_its_place_learns_what_it_did_not_know(known, tmp_path, caplog):
    life, instances = known
    backup = tmp_path / "backup"
    with sqlite3.connect(life.storage.database) as source, sqlite3.connect(backup) as target:
        source.backup(target)
    instances += [life.receive(5, 1), life.receive(6, 1)]
    life.until(lambda: life.knows(instances))
    shutil.copy(backup, tmp_path / "copy")
    (tmp_path / "copy").replace(life.storage.database)
    life.until(lambda: "another database took the place" in caplog.text)
    life.until(lambda: life.knows(instances))
    assert all(s.hold_reason is None for s in life.rows()[1].values())


def test_a_backup_restored_as_the_handbook_says_learns_what_it_did_not_know(known, begin, tmp_path):
    """docs/operations.md: the archive is moved to `rebuild/1` by hand."""
    life, instances = known
    with sqlite3.connect(life.storage.database) as source, sqlite3.connect(tmp_path / "backup") as target:
        source.backup(target)
    instances += [life.receive(5, 1), life.receive(6, 1)]
    life.until(lambda: life.knows(instances))
    life.stop()
    vanish(life)
    shutil.copy(tmp_path / "backup", life.storage.database)
    life.storage.rebuild.mkdir()
    life.storage.archive.rename(life.storage.rebuild / "1")
    life = begin()
    life.until(lambda: life.knows(instances))


def test_studies_that_have_results_are_held_and_their_files_stay(known, begin):
    life, instances = known
    result = life.storage.root / life.storage.result_folder("1.2.1", "pipeline", 1, datetime.now(UTC)) / "sr-1.dcm"
    result.parent.mkdir(parents=True)
    result.write_bytes(b"delivered")
    life.stop()
    vanish(life)
    life = begin()
    life.until(lambda: life.knows(instances) and life.settled())
    studies = life.rows()[1]
    assert studies["1.2.1"].hold_reason is HoldReason.DATABASE_REBUILT
    assert "delivered" in studies["1.2.1"].hold_message
    assert studies["1.2.1"].last_received_at >= studies["1.2.1"].first_received_at
    assert {uid for uid, study in studies.items() if study.state is StudyState.HELD} == {"1.2.1"}
    assert not result.exists()
    (kept,) = life.storage.results.rglob("sr-1.dcm")
    assert kept.read_bytes() == b"delivered"


def test_results_whose_images_are_gone_hold_their_study_too(known, begin):
    life, instances = known
    (life.storage.root / life.storage.result_folder("1.2.77", "pipeline", 1, datetime.now(UTC))).mkdir(parents=True)
    life.stop()
    vanish(life)
    life = begin()
    life.until(lambda: life.knows(instances))
    assert life.rows()[1]["1.2.77"].hold_reason is HoldReason.DATABASE_REBUILT


def test_no_study_settles_before_all_its_instances_are_known_again(known, begin, monkeypatch):
    life, instances = known
    life.stop()
    vanish(life)
    monkeypatch.setattr(rebuild_module, "BATCH", 1)
    life = begin()
    life.keeper.run()
    while life.rebuild.under_way:
        assert not any(study.revision_number for study in life.rows()[1].values())
        life.keeper.run()
        time.sleep(0.02)
    life.until(lambda: life.knows(instances) and life.settled())
    assert {study.revision_number for study in life.rows()[1].values()} == {1}


@pytest.mark.parametrize("step", ["_set_database_aside", "_set_results_aside", "_feed_one"])
def test_a_rebuild_that_is_broken_off_goes_on_with_the_next_life(known, begin, monkeypatch, step):
    class Killed(BaseException):
        pass

    life, instances = known
    (life.storage.root / life.storage.result_folder("1.2.2", "pipeline", 1, datetime.now(UTC))).mkdir(parents=True)
    life.stop()
    vanish(life)
    real, calls = getattr(Rebuild, step), []

    def killed_at_the_second(*arguments):
        calls.append(arguments)
        if len(calls) == 2 or step == "_set_results_aside":
            raise Killed
        return real(*arguments)

    monkeypatch.setattr(Rebuild, step, killed_at_the_second)
    life = begin()
    with pytest.raises(Killed):
        life.until(lambda: False)
    monkeypatch.undo()
    monkeypatch.setattr(work, "LocalEngine", IdleEngine)
    life = begin()
    life.until(lambda: life.knows(instances) and life.settled())
    held = {uid for uid, study in life.rows()[1].items() if study.state is StudyState.HELD}
    assert held == {"1.2.2"}


def test_a_second_loss_during_a_rebuild_loses_nothing(known, begin, monkeypatch):
    life, instances = known
    monkeypatch.setattr(rebuild_module, "BATCH", 2)
    vanish(life)
    life.until(lambda: life.rebuild.under_way and life.rows()[0])
    vanish(life)
    life.until(lambda: life.knows(instances) and life.settled())


def test_a_new_database_on_which_work_cannot_begin_at_once_is_still_ours(known, monkeypatch, caplog):
    def fails_once(_work):
        monkeypatch.setattr(Work, "start", real)
        raise OSError(errno.ENOMEM, "Cannot allocate memory")

    life, instances = known
    real = Work.start
    monkeypatch.setattr(Work, "start", fails_once)
    vanish(life)
    with pytest.raises(OSError, match="allocate"):
        life.until(lambda: False)
    life.until(lambda: life.knows(instances))
    assert "another database" not in caplog.text


def test_a_locked_database_stops_neither_start_nor_receiving(known, begin, monkeypatch, caplog):
    caplog.set_level(logging.INFO)
    life, instances = known
    life.stop()
    monkeypatch.setattr(keeper_module, "Database", lambda url: Database(url, busy_timeout_s=0.1))
    other = sqlite3.connect(life.storage.database)
    other.execute("BEGIN EXCLUSIVE")
    life = begin()
    with pytest.raises(Exception, match="locked"):
        life.keeper.run()
    instances.append(life.receive(1, 8))
    other.close()
    life.until(lambda: life.knows(instances))
    other = sqlite3.connect(life.storage.database)
    other.execute("BEGIN EXCLUSIVE")
    instances.append(life.receive(1, 9))
    life.until(lambda: "stage index waits: another process has locked the database" in caplog.text)
    other.close()
    life.until(lambda: life.knows(instances))
    life.until(lambda: "stage index waits: another process" in caplog.text)
    assert "Traceback" not in caplog.text
    assert not list(life.storage.quarantine.iterdir())


def test_a_database_of_a_later_version_is_left_alone(known, begin):
    life, _ = known
    life.stop()
    with sqlite3.connect(life.storage.database) as database:
        database.execute("UPDATE alembic_version SET version_num = '9999'")
    database.close()
    life = begin()
    with pytest.raises(Exception, match="later version"):
        life.keeper.run()
    assert not list(life.storage.root.glob("*damaged*"))


def test_a_stray_file_in_the_archive_is_kept_for_a_person(known, begin):
    life, instances = known
    life.stop()
    (life.storage.archive / "stray.txt").write_text("stray")
    vanish(life)
    life = begin()
    life.until(lambda: life.knows(instances))
    assert (life.storage.quarantine / "acknowledged" / "stray.txt").exists()

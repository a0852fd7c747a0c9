"""`opacity-node serve` short of what it needs: room, a folder it may write to, its database."""

import contextlib
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from db import schema
from db.files import Storage
from db.states import HoldReason
from dicom_out.sender import SendState, echo, send
from node.config import load
from node.demo.harness import RunningNode, write_config
from node.demo.pacs import EmbeddedPacs
from node.health import examine
from node.problems import Severity
from node.study_files import send_files
from phantom.ct import make_chest
from phantom.dicom import to_datasets, write
from tests.disks import SmallDisk, fail_if_required, small_disk
from tests.integration.test_serve import finished, stored, uids, until

NO_ROOM = 0xA700


@pytest.fixture(scope="module")
def chests(tmp_path_factory) -> list[list[Path]]:
    """Two small studies of about 1.5 MB."""
    chest = make_chest(slices=60, rows=112, columns=112, spacing_mm=(5.0, 3.1, 3.1))
    return [
        write(tmp_path_factory.mktemp(f"chest{n}"), to_datasets(chest, uid_entropy=f"resources {n}")) for n in range(2)
    ]


@pytest.fixture
def pacs(tmp_path):
    with EmbeddedPacs(tmp_path / "pacs") as pacs:
        yield pacs


@pytest.fixture
def disk(tmp_path):
    disk = small_disk(tmp_path / "disk", megabytes=8)
    yield disk
    disk.unmount()


def config_on(disk: SmallDisk, tmp_path: Path, pacs: EmbeddedPacs, *, low_water_mb: int, quiet_s: float = 2) -> Path:
    config = write_config(tmp_path, pacs_port=pacs.port)
    text = config.read_text().replace('path = "node"', f'path = "{disk.folder}"\nlow_water_mb = {low_water_mb}')
    config.write_text(text.replace("quiet_ct_s = 2.0", f"quiet_ct_s = {quiet_s}"))
    return config


def kept(node) -> set[str]:
    """Return the SOP Instance UIDs of every whole file that the node holds, also of those it moves meanwhile.

    The archive is listed last: a file that leaves the spool while it is read stands there by then.
    """
    spooled = set()
    for path in node.storage.spool.glob("*.dcm"):
        with contextlib.suppress(FileNotFoundError):
            spooled |= uids([path])
    return spooled | uids(node.storage.archive.rglob("*.dcm"))


def sent_with_success(paths, node) -> tuple[list[Path], list[int]]:
    outcomes = list(send(paths, node.peer))
    taken = [o.path for o in outcomes if o.state is SendState.SENT]
    return taken, [o.status for o in outcomes if o.state is not SendState.SENT]


def test_below_the_low_water_mark_nothing_more_is_accepted_and_with_room_all_goes_on(disk, tmp_path, pacs, chests):
    config = config_on(disk, tmp_path, pacs, low_water_mb=7, quiet_s=20)
    with RunningNode(config) as node:
        taken, refused = sent_with_success(chests[0], node)
        assert 0 < len(taken) < len(chests[0])
        assert set(refused) == {NO_ROOM}
        assert echo(node.peer)
        assert kept(node) == uids(taken)
        health = examine(load(config))
        assert health.severity is Severity.CRITICAL
        assert any("0xA700" in p.message and "make room" in p.message for p in health.problems)
        disk.resize(megabytes=64)
        rest = [path for path in chests[0] if path not in taken]
        until(lambda: send_files(rest, node.peer).stored == len(rest))
        (study,) = until(lambda: finished(node))
        assert study.instances == len(chests[0])
        assert study.revision == 1
    log = node.log.read_text()
    assert log.count("nothing is accepted (0xA700)") == 2  # its begin and its end
    assert "Traceback" not in log
    assert len(pacs.received) == len(study.jobs[0].deliveries)


def test_a_disk_filled_to_the_last_byte_loses_nothing_and_needs_no_restart(disk, tmp_path, pacs, chests):
    config = config_on(disk, tmp_path, pacs, low_water_mb=0)
    with RunningNode(config) as node:
        until(node.storage.database.exists)
        filler = disk.folder / "filler"
        free = shutil.disk_usage(disk.folder).free
        filler.write_bytes(b"x" * (free - 1_000_000))
        taken, refused = sent_with_success(chests[0], node)
        assert 0 < len(taken) < len(chests[0])
        assert set(refused) == {NO_ROOM}
        assert kept(node) == uids(taken)
        until(lambda: "stage index waits: the disk is full" in node.log.read_text())
        assert kept(node) == uids(taken)
        filler.unlink()
        disk.resize(megabytes=64)
        rest = [path for path in chests[0] if path not in taken]
        assert send_files(rest, node.peer).stored == len(rest)
        until(lambda: set(stored(node)) == uids(chests[0]) and not node.storage.spooled())
    assert "Traceback" not in node.log.read_text()


def test_a_folder_mounted_read_only_is_answered_with_0xA700_until_it_can_be_written_again(disk, tmp_path, pacs, chests):  # noqa: N802
    config = config_on(disk, tmp_path, pacs, low_water_mb=0)
    disk.resize(megabytes=64)
    with RunningNode(config) as node:
        until(node.storage.database.exists)
        with disk.read_only(node.storage.incoming):
            taken, refused = sent_with_success(chests[0][:5], node)
            assert taken == []
            assert set(refused) == {NO_ROOM}
            (problem,) = [p for p in examine(load(config)).problems if "read-only" in p.message]
            assert str(node.storage.incoming) in problem.message
        assert send_files(chests[0][:5], node.peer).stored == 5
        until(lambda: set(stored(node)) == uids(chests[0][:5]))
    log = node.log.read_text()
    assert log.count("cannot be kept and is answered with 0xA700: the file system is read-only") == 1
    assert "Traceback" not in log


def test_a_node_does_not_start_on_a_storage_that_it_cannot_write_to(disk, tmp_path, pacs):
    config = config_on(disk, tmp_path, pacs, low_water_mb=0)
    Storage(disk.folder).prepare()
    disk.make_read_only()
    answer = subprocess.run(
        [sys.executable, "-m", "node", "serve", "--config", config],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert answer.returncode == 2
    assert "read-only" in answer.stderr
    assert "Traceback" not in answer.stderr


def test_a_locked_database_delays_neither_the_start_nor_the_answers(tmp_path, pacs, chests):
    config = write_config(tmp_path, pacs_port=pacs.port)
    storage = Storage(load(config).storage.path)
    storage.prepare()
    schema.create(storage.database, lambda _: None)
    other = sqlite3.connect(storage.database)
    other.execute("BEGIN EXCLUSIVE")
    with RunningNode(config) as node:
        assert send_files(chests[0], node.peer).stored == len(chests[0])
        assert len(node.storage.spooled()) == len(chests[0])
        (problem,) = [p for p in examine(load(config)).problems if "lock" in p.message]
        assert problem.severity is Severity.CRITICAL
        other.close()
        (study,) = until(lambda: finished(node))
        assert study.instances == len(chests[0])


def test_a_deleted_database_is_made_anew_also_when_the_node_is_killed_meanwhile(tmp_path, pacs, chests):
    config = write_config(tmp_path, pacs_port=pacs.port)
    with RunningNode(config) as node:
        assert send_files(chests[0], node.peer).stored == len(chests[0])
        (study,) = until(lambda: finished(node))
        delivered = dict(pacs.received)
        results = {p.name: p.read_bytes() for p in node.storage.results.rglob("*.dcm")}
        for path in node.storage.root.glob("node.sqlite3*"):
            path.unlink()
        assert send_files(chests[1], node.peer).stored == len(chests[1])
        until(node.storage.rebuild.is_dir)
        node.process.send_signal(signal.SIGKILL)
        node.process.wait()
    with RunningNode(config) as node:
        until(node.storage.database.is_file)
        until(lambda: set(stored(node)) == uids([*chests[0], *chests[1]]) and not node.storage.rebuild.is_dir())
        studies = {s.study_instance_uid: s for s in until(lambda: ended_or_held(node))}
    old = studies.pop(study.study_instance_uid)
    (new,) = studies.values()
    assert old.hold_reason == HoldReason.DATABASE_REBUILT.value
    assert old.jobs == []
    assert [job.state for job in new.jobs] == ["succeeded"]
    assert {uid for uid in pacs.received if uid not in delivered} == {
        d.sop_instance_uid for job in new.jobs for d in job.deliveries
    }
    kept_results = {p.name: p.read_bytes() for p in (node.storage.results / old.study_instance_uid).rglob("*.dcm")}
    assert kept_results == results
    assert "Traceback" not in node.log.read_text()


def ended_or_held(node):
    studies = node.studies()
    ended = [s for s in studies if s.jobs and all(d.state == "sent" for j in s.jobs for d in j.deliveries)]
    held = [s for s in studies if s.state == "held"]
    done = len(ended) == 1 and all(j.state == "succeeded" for j in ended[0].jobs) and len(held) == 1
    return studies if done else None


@pytest.mark.skipif(os.geteuid() == 0, reason="root needs no user namespace to mount")
def test_all_of_this_that_mounts_passes_in_a_user_namespace():
    command = ["unshare", "--user", "--map-root-user", "--mount", sys.executable, "-m", "pytest", "-q", __file__]
    if subprocess.run([*command[:4], "true"], capture_output=True, check=False).returncode:
        fail_if_required("this kernel or container allows no user namespaces, and we are not root")
        pytest.skip("this kernel or container allows no user namespaces")
    command += ["-k", "disk or water or mounted or cannot_write"]
    answer = subprocess.run(command, capture_output=True, text=True, timeout=250, check=False)
    assert answer.returncode == 0, answer.stdout[-5000:]

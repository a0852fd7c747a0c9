"""`opacity-node serve` as a process: what it promises to a peer and to an operator."""

import re
import signal
import threading
import time
from pathlib import Path

import psutil
import pydicom
import pytest
from sqlalchemy import select

from db.models import Instance
from db.session import Database
from db.states import InstanceRole
from dicom_out.sender import SendState, echo, send
from node.demo.harness import RunningNode, write_config
from node.demo.pacs import AE_TITLE, EmbeddedPacs
from node.study_files import send_files
from phantom.ct import make_chest
from phantom.dicom import full_study, to_datasets, write
from tests.peers import movescu

LIMIT_S = 120
DECODERS = frozenset({"_gdcm", "PIL"})


def mapped_by(process: psutil.Process) -> set[str]:
    """Return every folder and file name of what a process has in memory of files."""
    return {part for mapped in process.memory_maps() for part in Path(mapped.path).parts}


def until(condition, limit_s=LIMIT_S):
    deadline = time.monotonic() + limit_s
    while not (answer := condition()):
        assert time.monotonic() < deadline, "the node took too long"
        time.sleep(0.1)
    return answer


def finished(node):
    """Return the studies when each is settled and every job and delivery of it ended."""
    studies = node.studies()
    done = studies and all(
        s.state == "settled"
        and all(j.state in {"succeeded", "refused"} and all(d.state == "sent" for d in j.deliveries) for j in s.jobs)
        for s in studies
    )
    return studies if done else None


@pytest.fixture(scope="module")
def chest(tmp_path_factory) -> list[Path]:
    folder = tmp_path_factory.mktemp("chest")
    return write(folder, to_datasets(make_chest(slices=60, rows=160, columns=160, spacing_mm=(5.0, 2.2, 2.2))))


@pytest.fixture
def pacs(tmp_path):
    with EmbeddedPacs(tmp_path / "pacs") as pacs:
        yield pacs


@pytest.fixture
def config(tmp_path, pacs):
    return write_config(tmp_path, pacs_port=pacs.port)


def test_the_service_never_loads_torch_or_a_model_or_a_decoder(config, chest, pacs):
    config.write_text(config.read_text() + '\n[query_retrieve]\ncalling_ae_titles = ["MOVESCU"]\n')
    with RunningNode(config) as node:
        assert send_files(chest, node.peer).stored == len(chest)
        (study,) = until(lambda: finished(node))
        results = set(pacs.received)
        wanted = {"QueryRetrieveLevel": "STUDY", "StudyInstanceUID": study.study_instance_uid}
        moved = movescu(node.peer.host, node.peer.port, node.peer.ae_title, AE_TITLE, wanted)
        service = psutil.Process(node.process.pid)
        mapped = mapped_by(service)
        by_workers = {part for worker in service.children() for part in mapped_by(worker)}
    assert "numpy" in mapped  # so the look at the process sees what it imported
    assert not mapped & {"torch", "SimpleITK", "scipy", "skimage", *DECODERS}
    assert by_workers >= DECODERS
    assert re.search(rf"Completed Suboperations\s*: {len(chest) + len(results)}\n", moved.stdout), moved.stdout
    assert results == {d.sop_instance_uid for s in node.studies() for j in s.jobs for d in j.deliveries}


def test_scout_kernels_reformat_and_dose_report_give_exactly_one_result_and_reasons(config, tmp_path, pacs):
    paths = write(tmp_path / "study", full_study())
    with RunningNode(config) as node:
        assert send_files(paths, node.peer).stored == len(paths)
        (study,) = until(lambda: finished(node))
    (job,) = study.jobs
    assert job.state == "succeeded", job.message
    (runs,) = [d for d in study.decisions if d.runs]
    assert job.stack == runs.stack
    assert "5 mm" in runs.stack
    assert sorted(d.code for d in study.decisions if not d.runs) == [
        "localizer",
        "not-best",
        "reformat",
        "rule",
    ]
    assert all(d.reason for d in study.decisions)
    sources = {
        str(item.ReferencedSOPInstanceUID)
        for path in (tmp_path / "pacs").glob("*.dcm")
        if (dataset := pydicom.dcmread(path)).Modality == "SEG"
        for series in dataset.ReferencedSeriesSequence
        for item in series.ReferencedInstanceSequence
    }
    soft = {str(d.SOPInstanceUID) for p in paths if (d := pydicom.dcmread(p)).get("SliceThickness") == 5}
    assert sources
    assert sources <= soft


def test_what_was_acknowledged_before_a_kill_is_processed_after_the_restart(config, chest, pacs):
    acknowledged: list[Path] = []

    def sender(node):
        for outcome in send(chest, node.peer):
            if outcome.state is SendState.SENT:
                acknowledged.append(outcome.path)
            if len(acknowledged) == len(chest) - 5:
                node.process.wait(LIMIT_S)  # it is to die before it has all

    with RunningNode(config) as node:
        thread = threading.Thread(target=sender, args=[node])
        thread.start()
        until(lambda: len(acknowledged) > len(chest) // 3)
        node.process.send_signal(signal.SIGKILL)
        node.process.wait()
        thread.join(LIMIT_S)
    assert 0 < len(acknowledged) < len(chest)

    with RunningNode(config) as node:
        kept = until(lambda: set(stored(node)) >= uids(acknowledged) and stored(node))
        for path in kept.values():
            assert pydicom.dcmread(node.storage.root / path).SOPInstanceUID
        assert send_files(chest, node.peer).stored == len(chest)
        until(lambda: len(stored(node)) == len(chest) and finished(node))
        (study,) = node.studies()
        assert [j.state for j in study.jobs if j.deliveries][-1] == "succeeded"
        until(lambda: not node.storage.spooled())


def stored(node) -> dict[str, str]:
    """Return where what the node has indexed lies; nothing while it has no database yet."""
    if not node.storage.database.is_file():
        return {}
    database = Database(f"sqlite:///{node.storage.database}")
    with database.read() as session:
        rows = session.execute(
            select(Instance.sop_instance_uid, Instance.path).where(Instance.role == InstanceRole.CURRENT)
        ).all()
    database.close()
    return dict(rows)


def uids(paths):
    return {str(pydicom.dcmread(p, specific_tags=["SOPInstanceUID"]).SOPInstanceUID) for p in paths}


def test_a_job_that_ran_when_the_node_was_killed_runs_again_and_no_worker_stays(config, chest, pacs):
    with RunningNode(config) as node:
        send_files(chest, node.peer)
        until(lambda: any(j.state == "running" for s in node.studies() for j in s.jobs))
        children = psutil.Process(node.process.pid).children(recursive=True)
        node.process.send_signal(signal.SIGKILL)
        node.process.wait()
        assert not psutil.wait_procs(children, timeout=10)[1]
    with RunningNode(config) as node:
        (study,) = until(lambda: finished(node))
    assert [(j.state, j.attempts) for j in study.jobs] == [("succeeded", 1)]
    assert len(pacs.received) == len(study.jobs[0].deliveries)


def test_a_second_node_on_the_same_storage_refuses_and_says_why(config, tmp_path):
    other = tmp_path / "other.toml"
    port = next(line for line in config.read_text().splitlines() if line.startswith("port"))
    other.write_text(config.read_text().replace(port, "port = 1", 1))
    with RunningNode(config) as node:
        second = psutil.Popen([*node.process.args[:-1], str(other)], stderr=-1, stdout=-1, text=True)
        _, complaint = second.communicate(timeout=LIMIT_S)
        assert second.returncode == 2
        assert "already serves" in complaint.replace("\n", " ")
        assert "Traceback" not in complaint
        assert echo(node.peer)


def test_sigterm_ends_it_cleanly_and_leaves_no_process(config, chest):
    with RunningNode(config) as node:
        send_files(chest, node.peer)
        children = psutil.Process(node.process.pid).children(recursive=True)
        node.process.send_signal(signal.SIGTERM)
        assert node.process.wait(LIMIT_S) == 0
        assert not psutil.wait_procs(children, timeout=10)[1]
    log = node.log.read_text()
    assert "stopped" in log
    assert "Traceback" not in log


def test_memory_stays_small_while_receiving(config, chest, tmp_path):
    """A small count here; `opacity-node bench service` receives 2,000 slices."""
    with RunningNode(config) as node:
        service = psutil.Process(node.process.pid)
        peak = 0
        for _ in range(3):
            assert send_files(chest, node.peer).stored == len(chest)
            peak = max(peak, service.memory_info().rss)
    assert peak <= 150e6


def test_no_patient_data_reach_the_log(config, tmp_path):
    """Malformed values too, which pydicom quotes in warnings of its own."""
    chest = make_chest(slices=60, rows=160, columns=160, spacing_mm=(5.0, 2.2, 2.2))
    secrets = {"PatientName": "Secret^Person", "PatientID": "SECRET-ID-17", "PatientSex": "secret sex?"}
    datasets = to_datasets(chest, patient_name=secrets["PatientName"], patient_id=secrets["PatientID"])
    with pydicom.config.disable_value_validation():
        for dataset in datasets:
            dataset.PatientSex = secrets["PatientSex"]
        paths = write(tmp_path / "secret", datasets)
    with RunningNode(config) as node:
        assert send_files(paths, node.peer).stored == len(paths)
        until(lambda: finished(node))
    log = node.log.read_text()
    assert "settled" in log
    for value in secrets.values():
        assert value in paths[0].read_bytes().decode("latin-1")
        assert value not in log

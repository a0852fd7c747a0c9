"""The peers themselves: what the other tests lean on."""

import os
import sys
from pathlib import Path

import pytest
from pydicom import Dataset, dcmread
from pydicom.dataset import FileMetaDataset
from pydicom.uid import (
    CTImageStorage,
    EncapsulatedPDFStorage,
    ExplicitVRLittleEndian,
    SegmentationStorage,
    generate_uid,
)
from pynetdicom import AE

from tests.fake_pacs import CANNOT_UNDERSTAND, COERCED, OUT_OF_RESOURCES, SUCCESS, FakePacs
from tests.orthanc import Orthanc
from tests.peers import StoreScp, dcmsend, echoscu, find_tool, findscu, need_tool, storescu
from tests.processes import Daemon, describe, left_behind


def write_instance(folder: Path, *, sop_class_uid: str = CTImageStorage, **attributes: str) -> Path:
    """Write a minimal composite instance; what is in it does not matter to a store."""
    instance = Dataset()
    instance.SOPClassUID = sop_class_uid
    instance.SOPInstanceUID = generate_uid()
    instance.StudyInstanceUID = generate_uid()
    instance.SeriesInstanceUID = generate_uid()
    instance.PatientName = "Phantom^Thorax"
    instance.PatientID = "PHANTOM-1"
    instance.Modality = "CT"
    for keyword, value in attributes.items():
        setattr(instance, keyword, value)
    instance.file_meta = FileMetaDataset()
    instance.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / f"{instance.SOPInstanceUID}.dcm"
    instance.save_as(file, enforce_file_format=True)
    return file


def write_study(folder: Path, count: int) -> Path:
    study, series = generate_uid(), generate_uid()
    for number in range(count):
        write_instance(folder, StudyInstanceUID=study, SeriesInstanceUID=series, InstanceNumber=str(number + 1))
    return folder


def send(pacs: FakePacs, *files: Path) -> list[int | None]:
    """Send files on one association with pynetdicom; return the statuses, None where no answer came."""
    entity = AE(ae_title="SENDER")
    entity.add_requested_context(CTImageStorage)
    entity.add_requested_context(SegmentationStorage)
    association = entity.associate(pacs.host, pacs.port, ae_title=pacs.ae_title)
    statuses: list[int | None] = []
    for file in files:
        answered = association.is_established and None not in statuses
        statuses.append(association.send_c_store(dcmread(file)).get("Status") if answered else None)
    if association.is_established:
        association.release()
    return statuses


def test_find_tool_never_returns_the_script_of_the_same_name_that_pynetdicom_installs(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    environment = Path(sys.executable).parent
    assert (environment / "storescu").exists()
    monkeypatch.setenv("PATH", f"{environment}{os.pathsep}{os.environ['PATH']}")
    found = need_tool("storescu")
    assert found.parent != environment
    assert found.read_bytes()[:4] == b"\x7fELF"


def test_a_tool_that_is_absent_skips_the_test_or_fails_it_where_peers_are_required(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert find_tool("no-such-tool") is None
    monkeypatch.delenv("REQUIRE_PEERS", raising=False)
    with pytest.raises(pytest.skip.Exception, match="no-such-tool"):
        need_tool("no-such-tool")
    monkeypatch.setenv("REQUIRE_PEERS", "1")
    with pytest.raises(pytest.fail.Exception, match="no-such-tool"):
        need_tool("no-such-tool")


def test_orthanc_takes_an_instance_from_dcmsend_and_c_find_shows_it_at_every_level(
    orthanc: Orthanc, tmp_path: Path
) -> None:
    file = write_instance(tmp_path / "study")
    original = dcmread(file)

    assert echoscu(orthanc.host, orthanc.port, orthanc.ae_title)
    sent = dcmsend(tmp_path / "study", orthanc.host, orthanc.port, orthanc.ae_title)

    assert (sent.instances, sent.sent, sent.succeeded, sent.exit_status) == (1, 1, 1, 0)
    address = (orthanc.host, orthanc.port, orthanc.ae_title)
    studies = findscu(*address, level="STUDY", keys=["PatientName", "ModalitiesInStudy"])
    assert [(study["StudyInstanceUID"], study["PatientName"]) for study in studies] == [
        (original.StudyInstanceUID, "Phantom^Thorax")
    ]
    study = {"StudyInstanceUID": original.StudyInstanceUID}
    series = findscu(*address, level="SERIES", keys=study)
    assert [(found["SeriesInstanceUID"], found["Modality"]) for found in series] == [(original.SeriesInstanceUID, "CT")]
    images = findscu(*address, level="IMAGE", keys=study | {"SeriesInstanceUID": original.SeriesInstanceUID})
    assert [image["SOPInstanceUID"] for image in images] == [original.SOPInstanceUID]
    assert findscu(*address, keys={"StudyInstanceUID": generate_uid()}) == []

    [identifier] = orthanc.wait_for_instances(1)
    assert orthanc.tags(identifier)["SOPInstanceUID"] == original.SOPInstanceUID
    assert dcmread(orthanc.download(identifier, tmp_path / "back")) == original


def test_orthanc_forwards_to_a_peer_and_still_holds_its_instances_after_a_restart(
    orthanc: Orthanc, fake_pacs: FakePacs, tmp_path: Path
) -> None:
    write_study(tmp_path / "study", 3)
    dcmsend(tmp_path / "study", orthanc.host, orthanc.port, orthanc.ae_title)

    orthanc.stop()
    assert not echoscu(orthanc.host, orthanc.port, orthanc.ae_title)
    orthanc.start()
    report = orthanc.forward(orthanc.wait_for_instances(3), fake_pacs.ae_title, fake_pacs.port)

    assert report["FailedInstancesCount"] == 0
    assert [request.calling_aet for request in fake_pacs.wait_for(3)] == ["ORTHANC"] * 3


def test_orthanc_turns_away_a_caller_that_it_was_not_told_of_and_a_wrong_name(orthanc: Orthanc) -> None:
    assert not echoscu(orthanc.host, orthanc.port, orthanc.ae_title, calling_aet="STRANGER")
    assert not echoscu(orthanc.host, orthanc.port, "WRONG")
    orthanc.admit("STRANGER")
    assert echoscu(orthanc.host, orthanc.port, orthanc.ae_title, calling_aet="STRANGER")


def test_dcmsend_reports_a_refusal_that_its_exit_status_hides(fake_pacs: FakePacs, tmp_path: Path) -> None:
    write_study(tmp_path / "study", 3)
    fake_pacs.answers = [SUCCESS, OUT_OF_RESOURCES]
    sent = dcmsend(tmp_path / "study", fake_pacs.host, fake_pacs.port, fake_pacs.ae_title)
    assert (sent.sent, sent.succeeded, sent.exit_status) == (3, 1, 0)


def test_storescp_keeps_what_storescu_sends(storescp: StoreScp, tmp_path: Path) -> None:
    file = write_instance(tmp_path, sop_class_uid=EncapsulatedPDFStorage)
    done = storescu(file, storescp.host, storescp.port, storescp.ae_title)
    assert done.returncode == 0, done.stdout
    assert [instance.SOPInstanceUID for instance in storescp.datasets()] == [dcmread(file).SOPInstanceUID]


def test_the_fake_pacs_keeps_every_byte_it_accepts(fake_pacs: FakePacs, tmp_path: Path) -> None:
    file = write_instance(tmp_path)
    assert send(fake_pacs, file) == [SUCCESS]
    [request] = fake_pacs.stored
    assert request.sop_class_uid == CTImageStorage
    assert fake_pacs.datasets() == [dcmread(file)]


def test_the_fake_pacs_gives_the_statuses_it_was_told_to_and_keeps_only_what_it_accepted(
    tmp_path: Path,
) -> None:
    files = [write_instance(tmp_path) for _ in range(4)]
    answers = [OUT_OF_RESOURCES, COERCED, CANNOT_UNDERSTAND, SUCCESS]
    with FakePacs(tmp_path / "pacs", answers=answers) as pacs:
        assert send(pacs, *files) == answers
        assert [request.status for request in pacs.requests] == answers
        assert [request.status for request in pacs.stored] == [COERCED, SUCCESS]


def test_the_fake_pacs_refuses_a_context(tmp_path: Path) -> None:
    file = write_instance(tmp_path, sop_class_uid=SegmentationStorage)
    with FakePacs(tmp_path / "pacs", refused_sop_classes=[SegmentationStorage]) as pacs:
        assert storescu(file, pacs.host, pacs.port, pacs.ae_title).returncode != 0
        assert pacs.requests == []


def test_the_fake_pacs_aborts_half_way_on_each_association(tmp_path: Path) -> None:
    files = [write_instance(tmp_path) for _ in range(4)]
    with FakePacs(tmp_path / "pacs", abort_after=2) as pacs:
        assert send(pacs, *files) == [SUCCESS, SUCCESS, None, None]
        pacs.abort_after = None
        assert send(pacs, *files[2:]) == [SUCCESS, SUCCESS]
        assert pacs.associations == 2


def test_the_fake_pacs_goes_down_and_comes_up_on_the_same_port(fake_pacs: FakePacs, tmp_path: Path) -> None:
    file, port = write_instance(tmp_path), fake_pacs.port
    fake_pacs.stop()
    assert send(fake_pacs, file) == [None]
    fake_pacs.start()
    assert fake_pacs.port == port
    assert send(fake_pacs, file) == [SUCCESS]


def test_the_guard_sees_a_process_whose_parent_has_died(tmp_path: Path) -> None:
    mark = os.environ["TESTS_OF_OPACITY_NODE"]
    orphan = tmp_path / "orphan"
    with Daemon(["/bin/sh", "-c", f"sleep 60 & echo $! > {orphan}; exit 0"], tmp_path / "log") as shell:
        shell.wait(10)
        assert orphan.read_text().strip() in describe(left_behind(mark, grace_s=0))
    assert orphan.read_text().strip() not in describe(left_behind(mark, grace_s=1))

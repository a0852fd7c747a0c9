"""The demo hospital of deploy/ without its containers: the very files of Orthanc and the node, a real Orthanc."""

import json
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from db.files import Storage
from db.repository import reports
from db.repository.reports import StudyReport
from db.session import Database
from dicom_out.sender import Peer, echo
from node.config import load
from node.study_files import send_files
from phantom.ct import make_chest
from phantom.cxr import make_radiograph
from phantom.cxr_dicom import RadiographHeader, to_dataset
from phantom.dicom import to_datasets, write
from tests.dockerfile import REPOSITORY, stages
from tests.orthanc import Orthanc
from tests.processes import LOOPBACK, Daemon, free_port
from tests.read_only import read_only

DEPLOY = REPOSITORY / "deploy"
LIMIT_S = 120
QUIET_S = 1
SCANNER = "SCANNER"


class Hospital:
    """Orthanc and the node as deploy/ has them; only addresses differ, and how long a test waits.

    Attributes
    ----------
    pacs
        Orthanc by orthanc.json and forward.lua.
    node
        How the node is called; see :meth:`node_command` for how it runs.
    """

    def __init__(self, folder: Path) -> None:
        told = json.loads((DEPLOY / "orthanc.json").read_text())
        (ae_title, *_) = told["DicomModalities"]["opacity-node"]
        self.node = Peer(host=LOOPBACK, port=free_port(), ae_title=ae_title, our_ae_title=told["DicomAet"], timeout_s=5)
        here = {
            "DicomModalities": {
                "opacity-node": [ae_title, LOOPBACK, self.node.port],
                SCANNER: [SCANNER, LOOPBACK, 104],
            },
            "LuaScripts": [str(DEPLOY / "forward.lua")],
            "StableAge": 2,
            "Plugins": [],
            "RemoteAccessAllowed": False,
            "ExecuteLuaEnabled": True,  # Debian's Orthanc has no heart beat yet: the test is its heart
        }
        places = ("StorageDirectory", "IndexDirectory", "HttpPort", "DicomPort")
        settings = {name: value for name, value in told.items() if name not in places} | here
        self.pacs = Orthanc(folder / "orthanc", ae_title=told["DicomAet"], settings=settings)
        self._folder = folder
        self._storage = Storage(folder / "state" / "storage")
        self._writable = [folder / "state", folder / "temporary"]
        for writable in self._writable:
            writable.mkdir()

    def start_node(self, *command: str) -> Daemon:
        """Start a command with the environment of the node's container, writing nowhere but where that may write."""
        (set_by_image,) = stages()[-1]["ENV"]
        image = dict(pair.split("=", 1) for pair in set_by_image.split())
        (destination,) = load(DEPLOY / "opacity-node.toml").destinations
        state, temporary = map(str, self._writable)
        closed, writable = read_only(
            [sys.executable, "-m", "node", *command, "--config", DEPLOY / "opacity-node.toml"],
            writable=self._writable,
        )
        return Daemon(
            closed,
            self._folder / f"{command[0]}.log",
            {name: value.replace("/var/lib/opacity-node", state) for name, value in image.items() if name != "PATH"}
            | {
                "OPACITY_NODE_DICOM__HOST": LOOPBACK,
                "OPACITY_NODE_DICOM__PORT": str(self.node.port),
                "OPACITY_NODE_SETTLE__QUIET_CT_S": str(QUIET_S),
                "OPACITY_NODE_SETTLE__QUIET_XRAY_S": str(QUIET_S),
                "OPACITY_NODE_DESTINATIONS": json.dumps(
                    [destination.model_dump() | {"host": LOOPBACK, "port": self.pacs.port}]
                ),
                "TMPDIR": temporary,
                "PYTHONPATH": str(REPOSITORY),
            }
            | writable,
        )

    def send(self, paths: list[Path]) -> None:
        """Send to the PACS as a scanner."""
        peer = Peer(host=LOOPBACK, port=self.pacs.port, ae_title=self.pacs.ae_title, our_ae_title=SCANNER, timeout_s=30)
        assert send_files(paths, peer).stored == len(paths)

    def forwarded(self, state: str) -> list[str]:
        """Return the series that the PACS sends to the node by itself, when each of these jobs is in that state."""
        jobs = [job for job in self.pacs.rest("GET", "/jobs?expand") if job["Type"] == "DicomModalityStore"]
        series = [series for job in jobs for series in job["Content"]["ParentResources"]]
        return sorted(series) if all(job["State"] == state for job in jobs) else []

    def series(self) -> list[dict[str, Any]]:
        """Return what the PACS says of each series."""
        return self.pacs.rest("GET", "/series?expand")

    def studies(self, *, study_instance_uid: str | None = None) -> list[StudyReport]:
        """Return what the node holds."""
        if not self._storage.database.is_file():
            return []
        database = Database(f"sqlite:///{self._storage.database}")
        try:
            with database.read() as session:
                return reports.studies(session, study_instance_uid=study_instance_uid)
        finally:
            database.close()

    def came_back(self, study_instance_uid: str) -> int:
        """Return how many of its own results the node got."""
        (study,) = self.studies(study_instance_uid=study_instance_uid)
        return sum(receipts.own_results for receipts in study.receipts)

    def confirmed(self) -> list[StudyReport]:
        """Return the studies when each result of both jobs was confirmed by the PACS."""
        found = self.studies()
        states = [[d.state for d in job.deliveries] for study in found for job in study.jobs]
        return found if len(states) == 2 and all(s and set(s) == {"committed"} for s in states) else []

    def until(self, condition):
        """Wait for something and return it."""
        deadline = time.monotonic() + LIMIT_S
        while not (answer := condition()):
            assert time.monotonic() < deadline, f"{self.studies()}\n{self.pacs.log_text()}"
            time.sleep(0.1)
        return answer


@pytest.fixture
def hospital(tmp_path):
    hospital = Hospital(tmp_path)
    with hospital.pacs:
        yield hospital


def test_a_read_only_root_lets_a_command_write_only_where_it_is_told(tmp_path):
    inside, outside = tmp_path / "inside", tmp_path / "outside"
    for folder in (inside, outside):
        folder.mkdir()
    command, environment = read_only(["touch", inside / "written", outside / "written"], writable=[inside])
    with Daemon(command, tmp_path / "touch.log", environment) as touch:
        assert touch.wait(LIMIT_S) == 1
    assert "Read-only file system" in touch.log_text()
    assert list(inside.iterdir())
    assert list(outside.iterdir()) == []


def test_what_scanners_send_to_the_pacs_ends_there_with_results_and_goes_round_only_once(hospital, tmp_path):
    chest = make_chest(slices=60, rows=160, columns=160, spacing_mm=(5.0, 2.2, 2.2))
    images = [
        *write(tmp_path / "ct", to_datasets(chest)),
        *write(tmp_path / "cxr", [to_dataset(make_radiograph(), RadiographHeader())]),
    ]
    hospital.send(images)
    scanned = sorted(series["ID"] for series in hospital.series())
    hospital.until(lambda: hospital.forwarded("Failure") == scanned)  # the node is not there yet

    with hospital.start_node("serve"):
        hospital.until(lambda: echo(hospital.node))
        with hospital.start_node("status", "--check") as healthy:
            assert healthy.wait(LIMIT_S) == 0, healthy.log_text()
        hospital.pacs._request("POST", "/tools/execute-script", b"OnHeartBeat()")
        studies = hospital.until(hospital.confirmed)
        results = {study.study_instance_uid: len(study.jobs[0].deliveries) for study in studies}
        held = hospital.pacs.wait_for_instances(len(images) + sum(results.values()))
        assert {hospital.pacs.tags(instance)["StudyInstanceUID"] for instance in held} == results.keys()

        # The results have become stable too: none of them was sent to the node, nor the images again.
        hospital.until(lambda: all(series["IsStable"] for series in hospital.series()))
        modalities = [series["MainDicomTags"]["Modality"] for series in hospital.series()]
        assert {"CT", "DX", "SR", "SEG"} <= set(modalities)
        assert hospital.forwarded("Success") == scanned

        # A PACS that sends all it has, results too, changes nothing.
        everything = {"Resources": [series["ID"] for series in hospital.series()]}
        hospital.pacs.rest("POST", "/modalities/opacity-node/store", everything)
        hospital.until(lambda: {uid: hospital.came_back(uid) for uid in results} == results)
        time.sleep(2 * QUIET_S)  # what would run now is seen to run
        assert [(s.instances, s.revision, len(s.jobs)) for s in hospital.studies()] == [
            (s.instances, s.revision, 1) for s in studies
        ]
        assert len(hospital.pacs.instances()) == len(held)

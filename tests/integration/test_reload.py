"""A running node reads its configuration again: what is wrong is told, what is right counts for the next study."""

import signal
import time

import pydicom
import pytest

from node.demo.harness import RunningNode, write_config
from node.demo.pacs import EmbeddedPacs
from node.study_files import send_files
from phantom.ct import make_chest
from phantom.dicom import to_datasets, write

LIMIT_S = 120


def until(condition):
    deadline = time.monotonic() + LIMIT_S
    while not (answer := condition()):
        assert time.monotonic() < deadline, "the node took too long"
        time.sleep(0.05)
    return answer


@pytest.fixture(scope="module")
def thick_chest(tmp_path_factory):
    """A chest that no pipeline reads: its slices are too thick."""
    return write(
        tmp_path_factory.mktemp("thick"),
        to_datasets(make_chest(slices=12, rows=64, columns=64, spacing_mm=(20.0, 5.5, 5.5))),
    )


def hang_up(node, wanted):
    """Send SIGHUP and return what the node logs, up to the line that is waited for."""
    before = len(node.log.read_text())
    node.process.send_signal(signal.SIGHUP)
    return until(lambda: wanted in (said := node.log.read_text()[before:]) and said)


NOTICES = """
[[destinations]]
name = "scanner"
host = "127.0.0.1"
port = {port}
ae_title = "DEMO_SCU"

[[rules]]
name = "told"
modality = "CT"
pipelines = ["lung-densitometry"]
destinations = ["source"]
notices = true
"""


def test_a_bad_file_is_reported_and_the_old_one_stays_and_a_good_one_counts_for_the_next_study(tmp_path, thick_chest):
    with EmbeddedPacs(tmp_path / "pacs") as pacs:
        config = write_config(tmp_path, pacs_port=pacs.port)
        good = config.read_text()
        with RunningNode(config) as node:
            config.write_text(good + '[rules.when]\nseries_description = "((("\nkernel = "B30"\n')
            said = hang_up(node, "the configuration in use stays")
            assert "rules[1].when.series_description = '(((': is no regular expression" in said
            assert "rules[1].when.kernel = 'B30': there is no such condition" in said
            assert said.count(" ERROR ") == 3
            assert "Traceback" not in said

            config.unlink()
            assert "there is no such file" in hang_up(node, "the configuration in use stays")

            changed = good.replace("maximum_associations", "").replace("[dicom]", "[dicom]\nmaximum_associations = 7\n")
            config.write_text(changed + NOTICES.format(port=pacs.port))
            said = hang_up(node, "configuration reloaded")
            assert "dicom.maximum_associations needs a restart to take effect" in said
            assert "changed: destinations, rules" in said

            assert send_files(thick_chest, node.peer).stored == len(thick_chest)
            (study,) = until(lambda: [s for s in node.studies() if any(j.state == "refused" for j in s.jobs)])
            until(lambda: pacs.received)
            assert node.process.poll() is None
        assert {(d.rule, d.code) for d in study.decisions} == {("chest CT", "thickness"), ("told", "thickness")}
        (job,) = study.jobs
        assert job.message.startswith("None of the images chosen for lung-densitometry fit it. Series ")
        assert [(d.kind, d.destination) for d in job.deliveries] == [("notice", "scanner")]
        (stored,) = (tmp_path / "pacs").glob("*.dcm")
        notice = pydicom.dcmread(stored)
        assert notice.StudyInstanceUID == pydicom.dcmread(thick_chest[0]).StudyInstanceUID
        assert notice.SeriesDescription == "AI notice: lung-densitometry did not run"

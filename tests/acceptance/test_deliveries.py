"""A node as a service, its destinations watched and mended from the command line."""

import json
import time

import pytest

from node.config import load
from node.demo.harness import RunningNode, write_config
from node.study_files import send_files
from phantom.ct import make_chest
from phantom.dicom import to_datasets, write
from tests.commands import opacity_node
from tests.fake_pacs import BlackHole, FakePacs, Slammer


@pytest.fixture
def chest(tmp_path):
    return write(
        tmp_path / "chest", to_datasets(make_chest(slices=60, rows=160, columns=160, spacing_mm=(5.0, 2.2, 2.2)))
    )


def until(condition, limit_s=90):
    deadline = time.monotonic() + limit_s
    while not (answer := condition()):
        assert time.monotonic() < deadline, "it took too long"
        time.sleep(0.2)
    return answer


def test_results_are_committed_sent_again_and_sent_elsewhere_while_the_node_runs(tmp_path, chest):
    with (
        FakePacs(tmp_path / "pacs", commitment="new") as pacs,
        FakePacs(tmp_path / "second") as second,
        BlackHole() as hole,
        Slammer() as slammer,
    ):
        config = write_config(tmp_path, pacs_port=pacs.port, pacs_ae_title=pacs.ae_title)
        text = config.read_text().replace("[[destinations]]", "[[destinations]]\nstorage_commitment = true", 1)
        for name, port in (("second", second.port), ("hole", hole.port), ("slammer", slammer.port)):
            text += (
                f'\n[[destinations]]\nname = "{name}"\nhost = "127.0.0.1"\nport = {port}\nae_title = "PACS"\n'
                'maps = "source-grid"\n'
            )
        config.write_text(text)
        pacs.reports_to = (load(config).dicom.ae_title, load(config).dicom.port)

        def call(*arguments):
            return opacity_node(*arguments, "--config", config)

        def states(destination):
            jobs = [job for study in node.studies() for job in study.jobs]
            return [d.state for job in jobs for d in job.deliveries if d.destination == destination]

        with RunningNode(config) as node:
            assert send_files(chest, node.peer).stored == len(chest)
            count = len(until(lambda: (found := states("demo-pacs")) and set(found) == {"committed"} and found))
            assert set(pacs.report_statuses) == {0}
            (study,) = node.studies()

            hint = call("resend", study.study_instance_uid, "--to", "hole")
            assert hint.exit_code == 0, hint.stderr
            assert call("resend", study.study_instance_uid, "--to", "slammer").exit_code == 0
            began = time.monotonic()
            assert (
                call("resend", study.study_instance_uid, "--to", "second", "--destination", "demo-pacs").exit_code == 0
            )
            until(lambda: states("second") == ["sent"] * count, limit_s=25)
            assert call("resend", "--destination", "demo-pacs").exit_code == 0
            until(lambda: len(pacs.stored) == 2 * count, limit_s=25)
            until(lambda: states("demo-pacs") == ["committed"] * count, limit_s=25)
            assert time.monotonic() - began < 75
            assert {r.sop_instance_uid for r in second.stored} == {r.sop_instance_uid for r in pacs.stored}

            listed = json.loads(call("deliveries", "--json", "--destination", "hole").stdout)
            assert [line["state"] for line in listed] == ["pending"] * count
            stopping = time.monotonic()
        assert time.monotonic() - stopping < 30
        assert node.process.returncode == 0
        log = node.log.read_text()
        assert "took the connection but gave no association" in log
        assert "Traceback" not in log

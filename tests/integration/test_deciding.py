"""A rule that was wrong is mended in a running node, and the study that it kept from running runs."""

import time

from node.demo.harness import RunningNode, write_config
from node.demo.pacs import EmbeddedPacs
from node.study_files import send_files
from phantom.ct import make_chest
from phantom.dicom import to_datasets, write
from tests.commands import opacity_node
from tests.integration.test_reload import hang_up, until


def said_by(*arguments):
    done = opacity_node(*arguments)
    assert done.exit_code == 0, done.stderr
    return done.stdout


def test_a_study_that_a_wrong_rule_excluded_runs_once_the_rule_is_mended_and_the_study_decided_again(tmp_path):
    paths = write(
        tmp_path / "study", to_datasets(make_chest(slices=60, rows=64, columns=64, spacing_mm=(5.0, 5.5, 5.5)))
    )
    with EmbeddedPacs(tmp_path / "pacs") as pacs:
        config = write_config(tmp_path, pacs_port=pacs.port)
        good = config.read_text()
        config.write_text(good.replace('modality = "CT"', 'modality = "CT"\nwhen = { slice_count = { max = 10 } }'))
        with RunningNode(config) as node:
            assert send_files(paths, node.peer).stored == len(paths)
            (before,) = until(lambda: [s for s in node.studies() if s.state == "settled"])
            uid = before.study_instance_uid
            assert ([d.runs for d in before.decisions], before.jobs) == ([False], [])

            config.write_text(good)
            hang_up(node, "configuration reloaded")
            otherwise = " ".join(said_by("route", uid, "--config", config).split())
            assert f"otherwise; opacity-node decide {uid} applies these rules" in otherwise
            said = said_by("decide", uid[-12:], "--config", config)
            assert f"study {uid} is decided again" in said
            (after,) = until(lambda: [s for s in node.studies() if _all_is_sent(s)])
            assert after.revision == 1
            assert after.decided_at > after.settled_at == before.settled_at
            assert [d.runs for d in after.decisions] == [True]
            assert "otherwise" not in said_by("route", uid, "--config", config)
            shown = said_by("status", uid, "--config", config)
            assert f"decisions of revision 1, made {after.decided_at:%Y-%m-%d %H:%M:%S} UTC" in shown
            received = len(pacs.received)
            assert received

            said_by("decide", uid, "--config", config)
            (again,) = until(lambda: [s for s in node.studies() if s.decided_at > after.decided_at])
            time.sleep(1.0)  # a job that were queued would have started
            assert [j.id for j in node.studies()[0].jobs] == [j.id for j in again.jobs] == [after.jobs[0].id]
            assert len(pacs.received) == received


def _all_is_sent(study):
    deliveries = [d for job in study.jobs for d in job.deliveries]
    return deliveries and all(d.state == "sent" for d in deliveries)

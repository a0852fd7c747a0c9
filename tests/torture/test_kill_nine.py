"""kill -9 of node, worker and sender, at random moments under load: nothing is lost, stuck, sent twice or left running.

`make test` kills the node twice in each window, `make torture` 40 times, and writes docs/evidence/torture.json. All
kills of a run hit one storage, one after the other. TORTURE_SEED repeats the plan of a run, not the machine's timing.
"""

import os
import secrets
from pathlib import Path

import pytest

from node.console import as_json
from tests.torture.pauses import SEED
from tests.torture.report import Report, torture

KILLS = int(os.environ.get("TORTURE_KILLS", "2"))
EVIDENCE = os.environ.get("TORTURE_EVIDENCE")
pytestmark = pytest.mark.timeout(300 + 60 * KILLS)


@pytest.fixture(scope="module")
def report(tmp_path_factory) -> Report:
    seed = int(os.environ.get(SEED) or secrets.randbelow(10**6))
    print(f"{SEED}={seed}")  # noqa: T201 - shown when a test fails
    report = torture(tmp_path_factory.mktemp("torture"), kills=KILLS, seed=seed)
    if EVIDENCE:
        Path(EVIDENCE).write_text(as_json(report) + "\n")
    return report


def test_every_window_was_open_when_the_node_was_killed_in_it(report):
    assert set(report.node_kills.values()) == {KILLS}
    assert report.node_kills_in_start == report.worker_kills == KILLS // 2


def test_what_was_acknowledged_is_kept(report):
    assert report.acknowledged > 50 * KILLS
    assert not report.lost


def test_every_job_succeeds_and_only_a_worker_that_died_while_its_node_lived_counts_against_it(report):
    assert report.jobs["succeeded"] >= KILLS // 2
    assert report.starts > sum(report.jobs.values())
    assert not report.failed


def test_every_study_settles_and_the_result_on_all_of_it_is_delivered(report):
    assert not report.stuck


def test_no_object_is_delivered_under_two_uids_or_with_two_contents(report):
    assert report.objects
    assert not report.misdelivered


def test_no_worker_outlives_its_node(report):
    assert report.left_behind == 0


def test_a_second_serve_on_the_same_storage_refuses(report):
    assert report.second_serve.startswith("exit 2: Another opacity-node already serves")

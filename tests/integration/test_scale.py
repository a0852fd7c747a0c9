"""That no stage gets slower as the archive grows: told by SQLite's own steps and its plans, never by a clock."""

import contextlib
import re
import subprocess
import sys

import pytest
from sqlalchemy import event

from node.bench.archive import Archive

GROWING = ("study", "series", "instance", "revision", "decision", "job", "job_instance", "result", "delivery")
GROWING += ("catalogued_study", "catalogued_series")
EVERY_IMAGE_ONCE_AN_HOUR = "SELECT count(*) AS count_1, coalesce(sum(instance.size), ?) AS coalesce_1 \nFROM instance"
COUNT_OF_A_TABLE = re.compile(r"SELECT count\(\*\) AS count_1 \nFROM \w+")
INDEX_OF_A_BACKLOG = "SCAN instance USING INDEX ix_instance_to_unlink"
A_FEW_FAILED_JOBS = 1000


class Watched:
    """An archive through which one new study has gone, and every statement that this took."""

    def __init__(self, archive):
        self.archive = archive
        self.statements = {}
        event.listen(archive.database.engine, "before_cursor_execute", self._note)
        archive.run(0)
        event.remove(archive.database.engine, "before_cursor_execute", self._note)
        self.steps = {name: readings[0].steps for name, readings in archive.readings.items()}

    def _note(self, _connection, _cursor, statement, parameters, _context, many):
        self.statements[statement] = parameters[0] if many else parameters

    def plans(self):
        """Return what SQLite does for each statement, as lines."""
        with self.archive.database.engine.connect() as connection:
            return {
                statement: [
                    step[3] for step in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters)
                ]
                for statement, parameters in self.statements.items()
                if statement.startswith(("SELECT", "UPDATE", "INSERT", "DELETE"))
            }


@pytest.fixture(scope="module")
def small_and_large(tmp_path_factory):
    """Archives of 60 and of 600 studies; both have more than any list shows."""
    folder = tmp_path_factory.mktemp("scale")
    with contextlib.ExitStack() as closing:
        archives = [Archive(folder / str(n), studies=n, instances=5, new_instances=60) for n in (60, 600)]
        for archive in archives:
            closing.callback(archive.close)
        yield [Watched(archive) for archive in archives]


def test_ten_times_the_archive_costs_no_more_steps(small_and_large):
    small, large = (watched.steps for watched in small_and_large)
    assert sum(small.values()) > 10_000
    grown = {name: (small[name], steps) for name, steps in large.items() if steps > small[name] + A_FEW_FAILED_JOBS}
    assert set(grown) <= {"retention, nothing to do"}  # which sums up all images, once an hour


def test_no_statement_of_any_stage_reads_a_growing_table_from_end_to_end(small_and_large):
    plans = small_and_large[0].plans()
    assert len(plans) > 30
    assert [(statement, plan) for statement, plan in plans.items() if _reads_all(statement, plan)] == []


def _reads_all(statement, plan):
    scans = any(re.match(rf"SCAN ({'|'.join(GROWING)})\b", step) and step != INDEX_OF_A_BACKLOG for step in plan)
    # In an order that is stored, up to a limit, and without a condition that few rows may meet.
    ends_early = "LIMIT" in statement and "WHERE" not in statement and not any("TEMP B-TREE" in step for step in plan)
    # SQLite counts the entries of an index page by page.
    counts = COUNT_OF_A_TABLE.fullmatch(statement) or statement.startswith(EVERY_IMAGE_ONCE_AN_HOUR)
    return scans and not ends_early and not counts


def test_status_waits_for_no_import_that_it_has_no_use_for():
    heavy = {"alembic", "torch", "scipy", "skimage", "SimpleITK", "highdicom", "apscheduler", "pebble"}
    code = f"import sys, node.cli, node.health; print(*sorted({heavy} & set(sys.modules)))"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert run.stdout.split() == []

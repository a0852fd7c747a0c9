"""How the stages behind the spool wake each other."""

from datetime import UTC, datetime, timedelta

import pytest

from handlers.association import Associations
from node.indexer import Indexed
from node.lull import Lull
from node.work import INDEX_PAUSE_S, Work


class FakeScheduler:
    def __init__(self):
        self.woken = []

    def wake(self, stage, *, in_s=0.0):
        self.woken.append((stage, in_s))


@pytest.mark.parametrize(("more", "pause_s", "settle_in_s"), [(True, 0.0, 1.0), (False, INDEX_PAUSE_S, 0.0)])
def test_a_backlog_is_indexed_without_a_pause_and_settling_does_not_get_in_its_way(more, pause_s, settle_in_s):
    work = Work.__new__(Work)
    work._scheduler = FakeScheduler()
    work._lull = Lull(Associations())
    work._indexer = type("FakeIndexer", (), {"run": lambda _: Indexed(left_over=7, more=more)})()
    due = work._index()
    assert abs(due - datetime.now(UTC) - timedelta(seconds=pause_s)) < timedelta(seconds=0.1)
    assert work._scheduler.woken == [("catalogue", 0.0), ("settle", settle_in_s)]


def test_nothing_is_indexed_while_a_lull_is_awaited():
    work = Work.__new__(Work)
    work._lull = type("Never", (), {"is_awaited": lambda _: True})()
    due = work._index()
    assert timedelta(0) < due - datetime.now(UTC) <= timedelta(seconds=INDEX_PAUSE_S)

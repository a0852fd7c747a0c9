"""Wraps the product's own functions, so that a harness knows what the node is doing and a kill finds every step open.

Nothing of this is in the product: the functions run as they are, between marks (:mod:`tests.torture.marks`) and with a
short random pause at each step that a crash could separate from the next: before and after fsync, rename, unlink,
commit and each answer of the PACS. A function that is renamed breaks this module at once, not the meaning of the test.
"""

import functools
import os
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from db.session import Database
from dicom_out.sender import Sender, SendOutcome
from handlers.fast_path import FastPath
from handlers.messages import Answer, Messages
from handlers.status import StoreStatus
from handlers.store import Arrival, Reception, StoreHandler
from node.dispatcher import Dispatcher
from node.engine import LocalEngine
from node.indexer import Indexer
from node.outbox import Outbox
from node.worker import JobSpec
from tests.torture import worker_under_test
from tests.torture.marks import MARKS, NodeMarks, Window
from tests.torture.pauses import pause, pause_around_system_calls


def instrument() -> None:
    """Prepare this process, before it serves."""
    marks = NodeMarks(Path(os.environ[MARKS]))
    _mark_start(marks)
    _mark_receiving(marks)
    _mark_indexing(marks)
    _mark_running(marks)
    _mark_sending(marks)
    _pause_at_every_step()


def _mark_start(marks: NodeMarks) -> None:
    """From here to the end of the first pass over what the life before left in the spool."""
    marks.open(Window.STARTING, "start")
    run = Indexer.run

    def first_pass(indexer: Indexer) -> Any:
        try:
            return run(indexer)
        finally:
            marks.close(Window.STARTING, ["start"])

    Indexer.run = first_pass


def _mark_receiving(marks: NodeMarks) -> None:
    """From a request to its answer on the wire; once its file is durable it is spooled and not indexed."""
    begin, send, abandon, keep = Reception.__init__, FastPath._send, Messages.abandon, StoreHandler.keep
    # All of it happens in the thread of an association, one instance after the other.
    under_way: dict[int, object] = {}

    def beginning(reception: Reception, *arguments: Any) -> None:
        under_way[threading.get_ident()] = token = object()
        marks.open(Window.RECEIVING, token)
        begin(reception, *arguments)

    def end() -> None:
        if token := under_way.pop(threading.get_ident(), None):
            marks.close(Window.RECEIVING, [token])

    def sending(path: FastPath, answer: Answer) -> None:
        send(path, answer)
        end()

    def abandoning(messages: Messages) -> None:
        abandon(messages)
        end()

    def keeping(handler: StoreHandler, arrival: Arrival) -> StoreStatus:
        status = keep(handler, arrival)
        if status is StoreStatus.SUCCESS:
            marks.open(Window.SPOOLED, arrival.spool_name)
            pause()  # durable, and not answered
        return status

    Reception.__init__ = beginning
    FastPath._send = sending
    Messages.abandon = abandoning
    StoreHandler.keep = keeping


def _mark_indexing(marks: NodeMarks) -> None:
    """Rows are committed when `_add` returns; then files move."""
    add, move = Indexer._add, Indexer._move

    def adding(indexer: Indexer, received: Sequence[Any], *rest: Any, **options: Any) -> Any:
        names = [instance.spool_name for instance in received]
        added = add(indexer, received, *rest, **options)
        marks.close(Window.SPOOLED, names)
        return added

    def moving(indexer: Indexer, *arguments: Any, **options: Any) -> Any:
        with marks.during(Window.MOVING):
            return move(indexer, *arguments, **options)

    Indexer._add = adding
    Indexer._move = moving


def _mark_running(marks: NodeMarks) -> None:
    """From a worker that takes a job, see `tests.torture.worker_under_test`, to an end that is committed."""
    submit, conclude = LocalEngine.submit, Dispatcher._conclude

    def submitting(engine: LocalEngine, specs: Sequence[JobSpec], device: str, done: Any) -> None:
        marks.hand_over()
        submit(engine, specs, device, done)

    def concluding(dispatcher: Dispatcher, spec: JobSpec, outcome: Any) -> None:
        conclude(dispatcher, spec, outcome)
        marks.end_run()

    LocalEngine.submit = submitting
    Dispatcher._conclude = concluding
    LocalEngine.__init__ = functools.partialmethod(LocalEngine.__init__, run=worker_under_test.run)


def _mark_sending(marks: NodeMarks) -> None:
    """From the look at what is due to the last outcome recorded."""
    deliver, store = Outbox._deliver, Sender.store

    def delivering(outbox: Outbox, *arguments: Any, **options: Any) -> Any:
        with marks.during(Window.SENDING):
            return deliver(outbox, *arguments, **options)

    def storing(sender: Sender, path: Path) -> SendOutcome:
        outcome = store(sender, path)
        pause()  # stored by the PACS, and not recorded
        return outcome

    Outbox._deliver = delivering
    Sender.store = storing


def _pause_at_every_step() -> None:
    pause_around_system_calls()
    write = Database.write

    @contextmanager
    def writing(database: Database) -> Iterator[Any]:
        with write(database) as session:
            yield session
            pause()
        pause()

    Database.write = writing

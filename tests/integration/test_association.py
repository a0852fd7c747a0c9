"""Associations under circumstances that a busy machine makes."""

import signal
import threading
import time

import pytest
from pydicom.uid import ImplicitVRLittleEndian
from pynetdicom.presentation import build_context
from pynetdicom.sop_class import Verification

from dicom_out.association import Peer, associate
from dicom_out.sender import SendState, connect
from node.demo.pacs import AE_TITLE, EmbeddedPacs
from phantom.ct import make_chest
from phantom.dicom import to_datasets, write


class LateToWake(threading.Event):
    """What pynetdicom's reactor waits for, on a machine that lets it run only a moment later."""

    def wait(self, timeout=None):
        woken = super().wait(timeout)
        time.sleep(0.05)
        return woken


def test_an_answer_that_pynetdicoms_reactor_takes_still_reaches_who_waits_for_it(tmp_path, monkeypatch):
    """The reactor, paused too late, polls for a message once more while the sender is about to wait for its answer."""
    paths = write(tmp_path / "sent", to_datasets(make_chest(slices=4, rows=16, columns=16, spacing_mm=(5, 9, 9))))
    with EmbeddedPacs(tmp_path / "pacs") as pacs:
        peer = Peer(host="127.0.0.1", port=pacs.port, ae_title=AE_TITLE, our_ae_title="TEST", timeout_s=3)
        with connect(paths, peer) as sender:
            association = sender._association
            ask = association.dimse.get_msg
            monkeypatch.setattr(association, "_reactor_checkpoint", LateToWake())
            association._reactor_checkpoint.set()

            def ask_late(block=False):
                if block:
                    time.sleep(0.2)
                return ask(block=block)

            monkeypatch.setattr(association.dimse, "get_msg", ask_late)
            states = [sender.store(path).state for path in paths]
    assert states == [SendState.SENT] * len(paths)


def test_whoever_breaks_off_does_not_wait_for_a_peer_that_hangs(fake_pacs):
    peer = Peer(
        host=fake_pacs.host, port=fake_pacs.port, ae_title=fake_pacs.ae_title, our_ae_title="TEST", timeout_s=20
    )
    verification = build_context(Verification, ImplicitVRLittleEndian)

    def hang():
        with associate(peer, [verification]) as association:
            fake_pacs.reading.clear()
            threading.Timer(0.3, signal.pthread_kill, (threading.get_ident(), signal.SIGINT)).start()
            association.send_c_echo()

    started = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        hang()
    assert time.monotonic() - started < 10

"""What the association of `dicom_out` does when the line goes."""

import time

from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian
from pynetdicom import evt
from pynetdicom.presentation import build_context

from dicom_out.association import Lines, Peer, associate
from phantom.ct import make_chest
from phantom.dicom import to_datasets


def test_a_request_on_a_line_that_went_a_moment_before_is_answered_at_once_and_not_at_the_limit(fake_pacs):
    (image, *_) = to_datasets(make_chest(slices=2, rows=16, columns=16))
    peer = Peer(host=fake_pacs.host, port=fake_pacs.port, ae_title=fake_pacs.ae_title, our_ae_title="US", timeout_s=60)
    lines = Lines()
    # While this sleeps, pynetdicom's reactor takes the one message that would wake us.
    slow_end = (evt.EVT_CONN_CLOSE, lambda _: time.sleep(0.1))
    context = build_context(CTImageStorage, ExplicitVRLittleEndian)
    with associate(peer, [context], lines=lines, handlers=[slow_end]) as association:
        lines.cut()
        association.join(10)
        association.is_established = True  # as it was when we looked
        began = time.monotonic()
        assert "Status" not in association.send_c_store(image)
        assert time.monotonic() - began < 10

"""A Storage SCP as pynetdicom's documentation writes it: ``python -m node.bench.plain_scp PORT FOLDER``."""

import logging
import sys
from pathlib import Path

from pynetdicom import AE, AllStoragePresentationContexts, evt
from pynetdicom.events import Event

AE_TITLE = "PLAIN"


def serve(port: int, folder: Path) -> None:
    """Serve until killed."""
    logging.getLogger("pynetdicom").setLevel(logging.CRITICAL)

    def store(event: Event) -> int:
        dataset = event.dataset
        dataset.file_meta = event.file_meta
        dataset.save_as(folder / f"{dataset.SOPInstanceUID}.dcm", enforce_file_format=True)
        return 0x0000

    entity = AE(ae_title=AE_TITLE)
    entity.maximum_pdu_size = 131072
    entity.maximum_associations = 100
    entity.supported_contexts = AllStoragePresentationContexts
    entity.start_server(("127.0.0.1", port), evt_handlers=[(evt.EVT_C_STORE, store)])


if __name__ == "__main__":
    serve(int(sys.argv[1]), Path(sys.argv[2]))

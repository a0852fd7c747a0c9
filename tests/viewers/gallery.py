"""Studies in Orthanc, OHIF before it, a browser before that: what every viewer test needs, started once."""

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

from playwright.sync_api import BrowserContext
from pydicom.dataset import Dataset

from dicom_out.sender import Peer
from node.study_files import send_files
from tests.orthanc import Orthanc
from tests.peers import dcmsend
from tests.viewers.browser import Opened, Viewer, browser, viewer
from tests.viewers.exhibits import Exhibit
from tests.viewers.ohif import need_ohif
from tests.viewers.site import DICOMWEB, ViewerSite

_DICOMWEB_SETTINGS = {
    "DicomWeb": {"Enable": True, "Root": f"{DICOMWEB}/", "StudiesMetadata": "Full", "SeriesMetadata": "Full"}
}


class Gallery:
    """Exhibits that can be looked at; made by :func:`gallery`."""

    def __init__(self, exhibits: Mapping[str, Exhibit], context: BrowserContext, address: str, folder: Path) -> None:
        self.exhibits = exhibits
        self._context = context
        self._address = address
        self._folder = folder

    @contextmanager
    def study(self, name: str) -> Iterator[Viewer]:
        """Open the study of an exhibit; when what follows fails, leave a screenshot behind and name it."""
        exhibit = self.exhibits[name]
        with viewer(self._context, self._address) as opened:
            try:
                opened.open_study(exhibit.study_instance_uid, series=1 + len(exhibit.objects))
                yield opened
            except BaseException as error:
                shot = self._folder / f"failed-{name}.png"
                opened.save(shot)
                error.add_note(f"what the viewer showed: {shot}; errors in the page: {opened.errors}")
                raise

    @contextmanager
    def shown(self, name: str, dataset: Dataset, opened: Opened) -> Iterator[Viewer]:
        """Open the study of an exhibit, and one of its objects."""
        with self.study(name) as at:
            at.open(int(dataset.SeriesNumber), opened)
            yield at


@contextmanager
def gallery(folder: Path, exhibits: Mapping[str, Exhibit]) -> Iterator[Gallery]:
    """Send exhibits to a new Orthanc and open the doors."""
    ohif = need_ohif()
    with ExitStack() as stack:
        context = stack.enter_context(browser())  # first: it is the likeliest to be absent
        plugins = (Orthanc.DICOMWEB, Orthanc.GDCM)
        orthanc = stack.enter_context(Orthanc(folder / "orthanc", plugins=plugins, settings=_DICOMWEB_SETTINGS))
        site = stack.enter_context(ViewerSite(ohif, orthanc.http_port))
        for exhibit in exhibits.values():
            _send(exhibit, orthanc)
        yield Gallery(exhibits, context, site.address, folder)


def _send(exhibit: Exhibit, orthanc: Orthanc) -> None:
    scanned = dcmsend(exhibit.sources, orthanc.host, orthanc.port, orthanc.ae_title)
    assert scanned.succeeded == len(exhibit.sources), scanned.output
    peer = Peer(host=orthanc.host, port=orthanc.port, ae_title=orthanc.ae_title, our_ae_title="OPACITY_NODE")
    delivered = send_files(exhibit.results, peer)
    assert delivered.stored == len(exhibit.results), delivered.failures

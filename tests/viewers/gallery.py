"""Studies in Orthanc, OHIF before it, a browser before that: what every viewer test needs, started once."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from playwright.sync_api import BrowserContext
from pydicom.dataset import Dataset

from dicom_out.sender import Peer
from node.bench import machine
from node.study_files import send_files
from tests.orthanc import Orthanc
from tests.peers import dcmsend
from tests.viewers.browser import Opened, Viewer, browser, viewer
from tests.viewers.exhibits import Exhibit
from tests.viewers.ohif import VERSION, need_ohif
from tests.viewers.site import DICOMWEB, ViewerSite

_DICOMWEB_SETTINGS = {
    "DicomWeb": {"Enable": True, "Root": f"{DICOMWEB}/", "StudiesMetadata": "Full", "SeriesMetadata": "Full"}
}

PLANTED = "planted weights, made for tests: only where things are drawn can be judged"


class Gallery:
    """Exhibits that can be looked at, and what was seen; made by :func:`gallery`.

    Attributes
    ----------
    exhibits
        By their names.
    """

    def __init__(
        self, exhibits: Mapping[str, Exhibit], context: BrowserContext, address: str, folders: tuple[Path, Path | None]
    ) -> None:
        self.exhibits = exhibits
        self._context = context
        self._address = address
        self._folder, self._documentation = folders
        self._seen: list[dict[str, Any]] = []

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

    def note(self, at: Viewer, name: str, what: str, measured: Mapping[str, float]) -> None:
        """Keep what was measured, and in a full run a screenshot, for the documentation if it shows it."""
        is_planted = self.exhibits[name].is_planted
        self._seen.append(
            {
                "study": name,
                "object": what,
                **({"found by": PLANTED} if is_planted else {}),
                "in place": {part: round(share, 4) for part, share in measured.items()},
                "errors in the page": list(at.errors),
            }
        )
        if self._documentation is None:
            return
        picture = f"viewers/{name}-{what.replace(' ', '-')}.png"
        is_shown = picture in (self._documentation / "viewers.md").read_text()
        assert not (is_shown and is_planted), f"{picture} would pass for a result: its weights are planted"
        kept = (self._documentation if is_shown else self._folder) / picture
        kept.parent.mkdir(exist_ok=True)
        at.save(kept)

    def evidence(self) -> dict[str, Any]:
        """Return who looked, with what, at what, and how much was in its place."""
        browser_version = self._context.browser.version if self._context.browser else None
        return {"machine": machine.describe(), "ohif": VERSION, "chromium": browser_version, "seen": self._seen}


@contextmanager
def gallery(
    folder: Path, exhibits: Callable[[Path], Mapping[str, Exhibit]], *, documentation: Path | None = None
) -> Iterator[Gallery]:
    """Make exhibits, send them to a new Orthanc and open the doors; what is absent is said first.

    Parameters
    ----------
    folder
        Takes what is made.
    exhibits
        Makes them in a folder.
    documentation
        Folder whose viewers.md shows screenshots, which are made anew.
    """
    ohif = need_ohif()
    with ExitStack() as stack:
        context = stack.enter_context(browser())
        plugins = (Orthanc.DICOMWEB, Orthanc.GDCM)
        orthanc = stack.enter_context(Orthanc(folder / "orthanc", plugins=plugins, settings=_DICOMWEB_SETTINGS))
        site = stack.enter_context(ViewerSite(ohif, orthanc.http_port))
        made = exhibits(folder)
        for exhibit in made.values():
            _send(exhibit, orthanc)
        yield Gallery(made, context, site.address, (folder, documentation))


def _send(exhibit: Exhibit, orthanc: Orthanc) -> None:
    scanned = dcmsend(exhibit.sources, orthanc.host, orthanc.port, orthanc.ae_title)
    assert scanned.succeeded == len(exhibit.sources), scanned.output
    peer = Peer(host=orthanc.host, port=orthanc.port, ae_title=orthanc.ae_title, our_ae_title="OPACITY_NODE")
    delivered = send_files(exhibit.results, peer)
    assert delivered.stored == len(exhibit.results), delivered.failures

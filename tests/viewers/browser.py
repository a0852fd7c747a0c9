"""A person at OHIF in a real browser: opens a study, reads its list, opens an object, looks at the picture."""

import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from enum import Enum
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from playwright.sync_api import BrowserContext, Locator, Page, sync_playwright
from playwright.sync_api import TimeoutError as PlaywrightTimeoutError

from tests.peers import need
from tests.viewers.pixels import Mask, Picture, Placement, coloured

TIMEOUT_S = 40
_CHANGE_TIMEOUT_S = 20
_FRAME = 2  # pixels of the active viewport's blue border
_LEAST_COLOURED = 2000  # pixels, more than all writing has
_PROGRAMS = ("chromium", "chromium-browser", "google-chrome")
_OPTIONS = (
    "--no-sandbox",  # root has no other choice, and it opens nothing but our own pages
    "--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE 127.0.0.1",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    "--use-gl=angle",
    "--use-angle=swiftshader",
    "--enable-unsafe-swiftshader",
    "--ignore-gpu-blocklist",
)
_SIZE = {"width": 1280, "height": 720}
_SEEN_THE_TOUR = """localStorage.setItem('shownTours', '["basicViewerTour"]')"""
_ENTRIES = '[data-cy^="study-browser-thumbnail"]'
_VIEWPORT = "window.cornerstone.getRenderingEngines().flatMap(engine => engine.getViewports())[0]"
_UID_OF = "(imageId => window.cornerstone.metaData.get('instance', imageId).SOPInstanceUID)"
_UID = f"{_UID_OF}({_VIEWPORT}.getCurrentImageId())"
_BOX = f"(({{ x, y, width, height }}) => ({{ x, y, width, height }}))({_VIEWPORT}.element.getBoundingClientRect())"
_POINTS = f"points => points.map(point => [...{_VIEWPORT}.worldToCanvas(point)])"
_JUMP = f"""async uid => {{
    const uids = {_VIEWPORT}.getImageIds().map({_UID_OF});
    const ahead = uids.indexOf(uid);
    for (const imageIndex of [ahead, uids.length - 1 - ahead]) {{  // a volume may count its slices the other way
        await window.cornerstone.utilities.jumpToSlice({_VIEWPORT}.element, {{ imageIndex }});
        if ({_UID} === uid) return;
    }}
}}"""
_NO_WRITING = ".viewport-overlay, .orientation-marker, [data-sonner-toaster] { visibility: hidden !important }"
"""It has a colour, or hides the object for some seconds, and is not the object."""
_ANNOTATIONS = "window.cornerstoneTools.annotation.state.getAllAnnotations()"


class Opened(Enum):
    """How one sees that an object was opened: a condition in the page."""

    SEGMENTATION = f"{_VIEWPORT}.getActors().some(actor => /labelmap/i.test(actor.representationUID))"
    REPORT = f"{_ANNOTATIONS}.some(annotation => annotation.metadata.toolName === 'DICOMSRDisplay')"
    OVERLAY = f"{_VIEWPORT}.getActors().length > 1"
    SOURCE = f"{_VIEWPORT}.getCurrentImageId() && {_VIEWPORT}.viewportStatus === 'rendered'"
    PICTURE = f"window.cornerstone.metaData.get('instance', {_VIEWPORT}.getCurrentImageId()).Modality === 'OT'"


_ASKED_ABOUT = (Opened.SEGMENTATION, Opened.REPORT)
_YES = "[data-cy=yes-hydrate-btn]"


@dataclass(frozen=True, kw_only=True)
class Entry:
    """An entry of the study's list."""

    modality: str
    description: str
    series_number: int
    instances: int


@dataclass(frozen=True, kw_only=True, eq=False)
class View:
    """The viewport as a person sees it, the image in it, and where that lies.

    Attributes
    ----------
    picture
        All that the viewport shows, writing and lines over it included.
    sop_instance_uid, size
        Of the image: rows and columns.
    placement
        From the image to the picture.
    """

    picture: Picture
    sop_instance_uid: str
    placement: Placement
    size: tuple[int, int]

    def expected(self, image: NDArray[np.generic]) -> NDArray[np.generic]:
        """Return an array on the image's grid as it should appear in the picture."""
        return self.placement.draw(image, self.picture.shape[:2])

    @property
    def within(self) -> Mask:
        """Where the image is and nothing of OHIF's own: not its writing beside the image, not the viewport's frame."""
        area = self.expected(np.ones(self.size, dtype=bool)).astype(bool)
        framed = np.zeros_like(area)
        framed[_FRAME:-_FRAME, _FRAME:-_FRAME] = area[_FRAME:-_FRAME, _FRAME:-_FRAME]
        return framed


class Viewer:
    """One page of the browser; made by :func:`viewer`.

    Attributes
    ----------
    errors
        What went wrong in the page, as it told the browser.
    """

    def __init__(self, page: Page, address: str) -> None:
        self.errors: list[str] = []
        self._page = page
        self._address = address
        page.set_default_timeout(TIMEOUT_S * 1000)
        page.on("pageerror", lambda error: self.errors.append(str(error)))

    def open_study(self, study_instance_uid: str, *, series: int) -> None:
        """Open a study, and wait until it shows an image and lists so many series."""
        self._page.goto(f"{self._address}/viewer?StudyInstanceUIDs={study_instance_uid}", wait_until="commit")
        self._wait(f"{_UID} && {_VIEWPORT}.viewportStatus === 'rendered'")
        self._wait(f"document.querySelectorAll('{_ENTRIES}').length >= {series}")

    def entries(self) -> list[Entry]:
        """Return what the study's list says, from top to bottom."""
        return [_entry(text) for text in self._page.locator(_ENTRIES).all_inner_texts()]

    def open(self, series_number: int, opened: Opened) -> None:
        """Double-click an entry, wait until the object is there, and agree to what OHIF asks."""
        self._entry(series_number).dblclick()
        self._wait(opened.value)
        if opened in _ASKED_ABOUT:
            self._page.locator(_YES).click()
            self._page.locator(_YES).wait_for(state="hidden")

    def try_to_open(self, series_number: int) -> None:
        """Double-click an entry of which nothing is known, and give OHIF the time that others take."""
        self._entry(series_number).dblclick()
        self._page.wait_for_timeout(5_000)

    def jump_to(self, sop_instance_uid: str) -> None:
        """Show another image of the series, and wait until the picture is another."""
        if self._page.evaluate(_UID) == sop_instance_uid:
            return
        before = self._picture()
        self._page.evaluate(_JUMP, sop_instance_uid)
        self._wait(f"{_UID} === '{sop_instance_uid}'")
        self._look_until(lambda picture: not np.array_equal(picture, before))

    def wait_for_colour(self) -> None:
        """Wait until something in the viewport is not grey, as overlays are; that nothing comes is not said.

        A busy OHIF may leave the lines of a report undrawn until it draws the image again, as any mouse move causes.
        """
        self._page.evaluate(f"{_VIEWPORT}.render()")
        self._look_until(lambda picture: np.count_nonzero(coloured(picture)) > _LEAST_COLOURED)

    def view(self, corners: Sequence[Sequence[float]], size: tuple[int, int]) -> View:
        """Look at the viewport, once its picture no longer changes.

        Parameters
        ----------
        corners : three points, in mm
            In the frame of reference: the centres of the first image's first pixel, of the last in its first row, of
            the last in its first column.
        size : tuple of 2 int
            Rows and columns.
        """
        picture = self._steady_picture()
        rows, columns = size
        return View(
            picture=picture,
            sop_instance_uid=self._page.evaluate(_UID),
            placement=Placement.through(
                [(0, 0), (columns - 1, 0), (0, rows - 1)],
                self._page.evaluate(_POINTS, [list(map(float, corner)) for corner in corners]),
            ),
            size=size,
        )

    def labels(self) -> list[str]:
        """Return what is written beside drawn lines, a text each."""
        return self._page.locator("svg.svg-layer text").all_text_contents()

    def save(self, path: Path) -> None:
        """Save a screenshot of the whole page as it is, in few colours."""
        with Image.open(BytesIO(self._page.screenshot())) as shot:
            shot.convert("RGB").quantize(192, dither=Image.Dither.NONE).save(path, optimize=True)

    def _entry(self, series_number: int) -> Locator:
        numbers = [entry.series_number for entry in self.entries()]
        return self._page.locator(_ENTRIES).nth(numbers.index(series_number))

    def _steady_picture(self) -> Picture:
        deadline = time.monotonic() + TIMEOUT_S
        before = self._picture()
        while time.monotonic() < deadline:
            self._page.wait_for_timeout(200)
            after = self._picture()
            if np.array_equal(before, after):
                return after
            before = after
        pytest.fail(f"the viewport still changes after {TIMEOUT_S} s")

    def _look_until(self, condition: Callable[[Picture], bool]) -> None:
        deadline = time.monotonic() + _CHANGE_TIMEOUT_S
        while not condition(self._picture()) and time.monotonic() < deadline:
            self._page.wait_for_timeout(100)

    def _picture(self) -> Picture:
        shot = self._page.screenshot(clip=self._page.evaluate(_BOX), style=_NO_WRITING)
        with Image.open(BytesIO(shot)) as image:
            return np.asarray(image.convert("RGB"))

    def _wait(self, condition: str) -> None:
        """Wait for something in the page; while OHIF exchanges a viewport there is none, and asking raises."""
        asked = f"() => {{ try {{ return Boolean({condition}) }} catch {{ return false }} }}"
        try:
            self._page.wait_for_function(asked, polling=100)
        except PlaywrightTimeoutError:
            pytest.fail(f"not so after {TIMEOUT_S} s: {condition}\nerrors in the page: {self.errors}")


@contextmanager
def browser() -> Iterator[BrowserContext]:
    """Start the system's Chromium, drawing in software, with nothing of an earlier user in it."""
    found = next((path for path in map(shutil.which, _PROGRAMS) if path), None)
    program = need(Path(found) if found else None, "Chromium is not installed (Debian: apt-get install chromium)")
    with (
        sync_playwright() as playwright,
        playwright.chromium.launch(executable_path=program, args=list(_OPTIONS)) as process,
    ):
        context = process.new_context(viewport=_SIZE)
        context.add_init_script(_SEEN_THE_TOUR)
        yield context


@contextmanager
def viewer(context: BrowserContext, address: str) -> Iterator[Viewer]:
    """Open a page; nothing of an earlier one is in it but the files it read."""
    with context.new_page() as page:
        yield Viewer(page, address)


def _entry(text: str) -> Entry:
    """Read "SEG / AI lungs: ... / S:9502 / 1"; the description may be absent."""
    modality, *description, number, instances = [line.strip() for line in text.splitlines() if line.strip()]
    return Entry(
        modality=modality,
        description=" ".join(description),
        series_number=int(number.removeprefix("S:")),
        instances=int(instances),
    )

"""Which images can be read: asked once, before hours are spent on the others."""

import json
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from multiprocessing import get_context
from pathlib import Path

from inference.findings import SelectionRefusedError
from training.images.labelled import Images, ImagesError, LabelledImage, Problem

_CHUNK = 16


def readable(images: Images, kept: Path, *, workers: int = 0, on_done: Callable[[], None] = lambda: None) -> Images:
    """Leave out what the pipelines would refuse to read.

    Parameters
    ----------
    images : Images
        A data set.
    kept : Path
        JSON file that takes the answers; what it has is not asked again.
    workers : int
        Processes that read.
    on_done : callable
        Called after each image.

    Raises
    ------
    ImagesError
        If none is left.
    """
    known: dict[str, str] = json.loads(kept.read_text(encoding="utf-8")) if kept.is_file() else {}
    digests = [image.digest for image in images.usable]
    asked = [(digest, one) for digest, one in zip(digests, images.usable, strict=True) if digest not in known]
    for (digest, _), why in zip(asked, _answers([image for _, image in asked], workers), strict=True):
        known[digest] = why
        on_done()
    kept.parent.mkdir(parents=True, exist_ok=True)
    part = kept.with_suffix(".part")
    part.write_text(json.dumps(known), encoding="utf-8")
    part.replace(kept)
    answers = [(image, known[digest]) for image, digest in zip(images.usable, digests, strict=True)]
    return replace(
        images,
        usable=tuple(image for image, why in answers if not why),
        left_out=(
            *images.left_out,
            *(Problem(file=image.path.name, row=None, why=why) for image, why in answers if why),
        ),
    ).checked()


def _answers(images: Sequence[LabelledImage], workers: int) -> Iterator[str]:
    if not workers or len(images) <= _CHUNK:
        yield from map(_why_not, images)
        return
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        yield from pool.map(_why_not, images, chunksize=_CHUNK)


def _why_not(image: LabelledImage) -> str:
    """Say why an image cannot be read; empty where it can."""
    try:
        image.read()
    except SelectionRefusedError as error:
        return error.refusal.reason
    except (ImagesError, OSError) as error:
        return str(error)
    return ""

"""Which data set a folder holds, by the tables that lie in it."""

from pathlib import Path

from training.images import annotated, rsna, siim
from training.images.labelled import Images, ImagesError


def read(folder: Path) -> Images:
    """Read a folder of images with their truth.

    Raises
    ------
    ImagesError
        If it is none that is known, or no image of it can be used.
    """
    for table, adapter in ((rsna.LABELS, rsna.read), (siim.IMAGES, siim.read)):
        if (folder / table).is_file():
            return adapter(folder)
    if (folder / "images").is_dir():
        return annotated.read(folder)
    raise ImagesError(
        f"{folder} holds neither {rsna.LABELS}, nor {siim.IMAGES}, nor a folder images; docs/training.md says what of "
        "each is read"
    )

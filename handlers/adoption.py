"""What an earlier life of this storage's node left behind where it received.

A sealed file is whole and was about to be answered with success, or was: it goes to the spool, under the name that it
had there if its move was lost with the power. What is not whole was never answered, and is removed.
"""

import json
import logging
import zlib
from pathlib import Path

from pydicom.filereader import read_file_meta_info

from db.files import Storage, is_spool_name, sync_folder
from handlers.quarantine import Quarantine

logger = logging.getLogger(__name__)

_CHUNK = 1 << 20
_FILE_META_OFFSET = 128 + 4 + 12
"""Preamble, prefix and the File Meta Information Group Length element itself (PS3.10 7.1)."""


def adopt(storage: Storage, quarantine: Quarantine) -> None:
    """Empty the folder of what is received, before anything is received.

    Parameters
    ----------
    storage : Storage
        Prepared and locked.
    quarantine : Quarantine
        Takes sealed files whose bytes are not those that came.
    """
    adopted = sum(_settle(path, storage, quarantine) for path in sorted(storage.incoming.glob("*.part")))
    if adopted:
        sync_folder(storage.spool)
        logger.warning(
            "%d instances were received as the node stopped; they are kept", adopted, extra={"action": "start"}
        )


def _settle(path: Path, storage: Storage, quarantine: Quarantine) -> bool:
    """Move or remove a file; say whether it was adopted."""
    try:
        spool_name, is_sound = _read_seal(path)
        if not is_spool_name(spool_name):
            path.unlink()
        elif is_sound:
            path.rename(storage.spool / spool_name)
            return True
        else:
            _set_aside(path, spool_name, quarantine)
    except OSError as error:  # of this machine, not of the file: it stays, for the next start
        logger.error(  # noqa: TRY400 - it names what a person can mend
            "%s, left over in %s, cannot be read: %s", path.name, path.parent, error.strerror, extra={"action": "start"}
        )
    return False


def _set_aside(path: Path, name: str, quarantine: Quarantine) -> None:
    reason = "its bytes are not those that came: the disk lost some; have it sent again"
    kept = quarantine.take(path, name=name, reason=reason)
    logger.error(
        "a file that was received is damaged; kept as quarantine/acknowledged/%s", kept.name, extra={"action": "start"}
    )


def _read_seal(path: Path) -> tuple[str, bool]:
    """Return the name in the spool that a file was sealed with, empty if it was not, and whether its bytes fit."""
    if not path.stat().st_size:
        return "", False
    try:
        meta = read_file_meta_info(path)
        circumstances = json.loads(meta.PrivateInformation)
        name, size, crc32 = (circumstances[key] for key in ("spool_name", "size", "crc32"))
        offset = _FILE_META_OFFSET + meta.FileMetaInformationGroupLength
    except OSError:
        raise
    except Exception:  # noqa: BLE001 - pydicom raises anything for what was written in part, or not at all
        return "", False
    return name, path.stat().st_size == offset + size and _crc32(path, offset) == crc32


def _crc32(path: Path, offset: int) -> int:
    crc32 = 0
    with path.open("rb") as file:
        file.seek(offset)
        while chunk := file.read(_CHUNK):
            crc32 = zlib.crc32(chunk, crc32)
    return crc32

"""What an earlier life of this storage's node left behind where it received.

A sealed file is whole and was about to be answered with success, or was: it goes to the spool, under the name that it
had there if its move was lost with the power. What is not whole was never answered, and is removed.
"""

import json
import logging
from dataclasses import fields
from pathlib import Path

from isal import isal_zlib
from pydicom.filereader import read_file_meta_info

from db.files import Storage, is_spool_name, new_spool_name, sync_folder
from handlers.quarantine import Quarantine
from handlers.receipt import Seal

logger = logging.getLogger(__name__)

_CHUNK = 1 << 20
_PREFIX = b"\0" * 128 + b"DICM"
_FILE_META_OFFSET = 128 + 4 + 12
"""Preamble, prefix and the File Meta Information Group Length element itself (PS3.10 7.1)."""


def adopt(storage: Storage, quarantine: Quarantine) -> None:
    """Empty the folder of what is received, before anything is received.

    Parameters
    ----------
    storage : Storage
        Prepared and locked.
    quarantine : Quarantine
        Takes files that were sealed and whose bytes are not those that came.
    """
    for path in storage.spool.glob("*.part"):  # of versions that received there
        path.unlink()
    adopted = sum(_settle(path, storage, quarantine) for path in sorted(storage.incoming.glob("*.part")))
    if adopted:
        sync_folder(storage.spool)
        logger.warning(
            "%d instances were received when the node stopped; they are kept", adopted, extra={"action": "start"}
        )


def _settle(path: Path, storage: Storage, quarantine: Quarantine) -> bool:
    """Move or remove a file; say whether it was adopted."""
    try:
        seal = _read_seal(path)
        if seal is None:
            path.unlink()
        elif _is_sound(path, seal):
            path.rename(storage.spool / seal.spool_name)
            return True
        else:
            _set_aside(path, seal.spool_name, quarantine)
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


def _read_seal(path: Path) -> Seal | None:
    """Return the seal of a file that was to go to the spool; of one whose header is damaged, one that does not fit.

    None if it was never sealed: the header is written last, and refused files get a seal without a name.
    """
    with path.open("rb") as file:
        if file.read(len(_PREFIX)) != _PREFIX:
            return None
    try:
        circumstances = json.loads(read_file_meta_info(path).PrivateInformation)
        seal = Seal(**{attribute.name: circumstances[attribute.name] for attribute in fields(Seal)})
    except OSError:
        raise
    except Exception:  # noqa: BLE001 - pydicom raises anything for what is damaged
        return Seal(own_name="", spool_name=new_spool_name(), size=-1, crc32=0)
    # A peer may imitate a header, where its own UIDs are unfit for one; it cannot know the name.
    return seal if seal.own_name == path.name and is_spool_name(seal.spool_name) else None


def _is_sound(path: Path, seal: Seal) -> bool:
    offset = path.stat().st_size - seal.size
    if seal.size < 0 or offset != _data_set_at(path):
        return False
    crc32 = 0
    with path.open("rb") as file:
        file.seek(offset)
        while chunk := file.read(_CHUNK):
            crc32 = isal_zlib.crc32(chunk, crc32)
    return crc32 == seal.crc32


def _data_set_at(path: Path) -> int:
    return _FILE_META_OFFSET + int(read_file_meta_info(path).FileMetaInformationGroupLength)

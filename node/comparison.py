"""Instances that came again with other bytes, and whether they show the image that we have.

Hashes and headers answer most; the rest is decoded in a process of its own, because decoders are native code that
reads hostile bytes, and what they break must not be the service.
"""

import logging
import multiprocessing
import os
from collections.abc import Sequence
from pathlib import Path

from pebble import ProcessFuture, ProcessPool

from db.files import Storage
from db.repository import intake
from db.repository.intake import KnownInstance, ReceivedInstance
from db.session import Database
from inference.likeness import same_image
from node.header import InstanceHeader
from node.worker_process import die_with

logger = logging.getLogger(__name__)

_LIMIT_S = 60.0
_PHOTOMETRIC = "photometric_interpretation"


def same_images(storage: Storage, database: Database, received: Sequence[ReceivedInstance]) -> frozenset[str]:
    """Return the spool names of those instances that show the same image as the current one of their UID.

    Parameters
    ----------
    storage, database : Storage, Database
        Hold the current instances.
    received : sequence of ReceivedInstance
        In the spool; no SOP Instance UID twice.
    """
    with database.read() as session:
        known = intake.known(session, [instance.sop_instance_uid for instance in received])
    again = [
        (instance, row)
        for instance in received
        if (row := known.get(instance.sop_instance_uid)) and _stands_where(row, instance)
    ]
    # What retention removed cannot be compared any more; where it stands and what it is called must do.
    alike = {
        instance.spool_name
        for instance, row in again
        if row.removed or (_tells_meaning(row, instance) and _equal_pixel_bytes(instance, row))
    }
    unclear = [(i, row) for i, row in again if i.spool_name not in alike]
    answers = _compare([(storage.root / row.path, storage.spool / i.spool_name) for i, row in unclear])
    return frozenset(alike | {i.spool_name for (i, _), same in zip(unclear, answers, strict=True) if same})


def _stands_where(row: KnownInstance, received: ReceivedInstance) -> bool:
    return (
        received.study_instance_uid == row.study_instance_uid
        and received.series_instance_uid == row.series_instance_uid
        and received.dataset_sha256 != row.dataset_sha256
        and _place(received.header) == _place(row.header)
        and (not _tells_meaning(row, received) or _is_inverse(received.header) is _is_inverse(row.header))
    )


def _place(header: dict[str, object]) -> tuple[object, ...]:
    read = InstanceHeader.from_json(header)
    return (
        read.frame_of_reference_uid,
        read.image_position_patient,
        read.image_orientation_patient,
        read.pixel_spacing,
        read.rows,
        read.columns,
        read.rescale_slope,
        read.rescale_intercept,
    )


def _tells_meaning(row: KnownInstance, received: ReceivedInstance) -> bool:
    """Say whether the row tells what pixels mean, if the received instance does; rows of earlier versions do not."""
    return _PHOTOMETRIC in row.header or _PHOTOMETRIC not in received.header


def _is_inverse(header: dict[str, object]) -> bool:
    return str(header.get(_PHOTOMETRIC)).upper() == "MONOCHROME1"


def _equal_pixel_bytes(received: ReceivedInstance, row: KnownInstance) -> bool:
    return (received.pixel_sha256, received.transfer_syntax_uid) == (row.pixel_sha256, row.transfer_syntax_uid)


def _compare(pairs: Sequence[tuple[Path, Path]]) -> list[bool]:
    """Say of each pair of files whether they show the same image; not so if that cannot be found out."""
    if not pairs:
        return []
    with ProcessPool(
        max_workers=1,
        context=multiprocessing.get_context("spawn"),
        initializer=die_with,
        initargs=[os.getpid()],
    ) as pool:
        futures = [pool.schedule(same_image, args=list(pair), timeout=_LIMIT_S) for pair in pairs]
        return [_answer(future) for future in futures]


def _answer(future: "ProcessFuture[bool]") -> bool:
    try:
        return bool(future.result())
    except FileNotFoundError:
        return False  # the file that we had is lost: a person must know
    except (OSError, MemoryError):
        raise  # of this machine, not of the images: they stay in the spool, and are compared again
    except Exception as error:  # noqa: BLE001 - whatever a decoder raises or dies of, the images differ
        logger.warning(
            "two receipts of an instance cannot be compared (%s)", type(error).__name__, extra={"action": "index"}
        )
        return False

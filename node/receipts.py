"""Receipts of one instance that contradict each other: in what they differ, for the person who chooses one."""

from collections.abc import Iterator, Mapping, Sequence

from pydicom.uid import UID

from db.models import Instance

_SHOWN = 5
_CHARACTERS = 40
_OF_THE_NODE = {"edition", "sop_instance_uid"}


def differences(receipts: Sequence[Instance]) -> list[str]:
    """Return for each receipt what it says where not all say the same.

    Parameters
    ----------
    receipts : sequence of Instance
        Of one SOP Instance UID.
    """
    told = [dict(_told(receipt)) for receipt in receipts]
    names = list(dict.fromkeys(name for one in told for name in one))
    differing = [name for name in names if len({one.get(name, "absent") for one in told}) > 1]
    if not differing:
        return ["only in attributes that the node does not read"] * len(told)
    return [_line(one, differing) for one in told]


def _told(receipt: Instance) -> Iterator[tuple[str, str]]:
    """Yield what a receipt says, what changes a result first."""
    yield "pixel data", f"#{receipt.pixel_sha256[:8]}"
    for name, value in receipt.header.items():
        if name not in _OF_THE_NODE:
            yield name.replace("_", " "), _shown(value)
    yield "patient id", receipt.patient_id or "absent"
    yield "patient birth date", receipt.patient_birth_date or "absent"
    yield "transfer syntax", UID(receipt.transfer_syntax_uid).name
    yield "size", f"{receipt.size} bytes"


def _line(told: Mapping[str, str], differing: Sequence[str]) -> str:
    parts = [f"{name} {told.get(name, 'absent')}" for name in differing[:_SHOWN]]
    more = len(differing) - _SHOWN
    return "; ".join(parts) + (f"; and {more} more" if more > 0 else "")


def _shown(value: object) -> str:
    text = "/".join(map(str, value)) if isinstance(value, list) else str(value)
    return text if len(text) <= _CHARACTERS else f"{text[:_CHARACTERS]}…"

"""UIDs derived from what they name, so that a second run of a job makes the same objects.

References
----------
PS3.5 B.2 UUID derived UID.
"""

import hashlib
import json
import uuid

from pydicom.uid import UID

from inference.findings import Algorithm

WRITER_VERSION = "0.2.0"
"""Changes whenever the writers would make other bytes from the same findings."""

_NAMESPACE = uuid.UUID("8f0b7a52-93c4-5d0e-9a51-0d7c5f4e6b21")


def derived_uid(*parts: str) -> UID:
    """Return the UID that belongs to an ordered list of texts.

    Parameters
    ----------
    *parts : str
        Whatever makes the named thing differ from others. Where one part ends and the next begins is significant.

    Returns
    -------
    UID
        ``2.25.`` and a version 5 UUID, at most 44 characters.
    """
    name = json.dumps(parts, ensure_ascii=True)
    return UID(f"2.25.{uuid.uuid5(_NAMESPACE, name).int}")


def parameters_hash(algorithm: Algorithm) -> str:
    """Return the SHA-256 over all parameters, hexadecimal, whatever their order."""
    text = json.dumps(sorted(algorithm.parameters.items()), ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()


def model_identity(pipeline: str, algorithm: Algorithm) -> tuple[str, ...]:
    """Return what tells one model from another: pipeline, name, version, weights, parameters."""
    return (pipeline, algorithm.name, algorithm.version, algorithm.weights_sha256 or "", parameters_hash(algorithm))


def device_uid(pipeline: str, algorithm: Algorithm) -> UID:
    """Return the Device UID (0018,1002) of a model with its weights and parameters."""
    return derived_uid("device", *model_identity(pipeline, algorithm))


def tracking_uid(study_instance_uid: str, *names: str) -> UID:
    """Return the Tracking UID (0062,0021) of what has these names in a study, the same from run to run."""
    return derived_uid("tracking", study_instance_uid, *names)

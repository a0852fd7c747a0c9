"""Passcodes of users, kept as scrypt hashes.

References
----------
RFC 7914 scrypt.
"""

import base64
import binascii
import hashlib
import hmac
import secrets
import threading

_COST, _BLOCK_SIZE, _PARALLEL = 16384, 8, 1
_MOST_COST, _MOST_BLOCK_SIZE, _MOST_PARALLEL = 131072, 16, 4
_SALT_BYTES = 16
_NAME = "scrypt"
_one_at_a_time = threading.Lock()
"""Each takes 16 MB and a twentieth of a second: whoever guesses shall not take more of either."""


class PasscodeError(ValueError):
    """A text is no hash of a passcode."""


def hashed(passcode: bytes) -> str:
    """Return what to keep of a passcode, salted."""
    salt = secrets.token_bytes(_SALT_BYTES)
    digest = _scrypt(passcode, salt, _COST, _BLOCK_SIZE, _PARALLEL)
    return f"{_NAME}${_COST}${_BLOCK_SIZE}${_PARALLEL}${_encoded(salt)}${_encoded(digest)}"


def fits(passcode: bytes, kept: str) -> bool:
    """Say whether a passcode is the one that a hash is of.

    Raises
    ------
    PasscodeError
        If it is no hash.
    """
    cost, block_size, parallel, salt, digest = _parts(kept)
    with _one_at_a_time:
        return hmac.compare_digest(_scrypt(passcode, salt, cost, block_size, parallel), digest)


def check(kept: str) -> str:
    """Return a hash as it is; raises `PasscodeError` if it is none."""
    _parts(kept)
    return kept


def _parts(kept: str) -> tuple[int, int, int, bytes, bytes]:
    try:
        name, cost, block_size, parallel, salt, digest = kept.split("$")
        numbers = int(cost), int(block_size), int(parallel)
        decoded = base64.b64decode(salt, validate=True), base64.b64decode(digest, validate=True)
    except (ValueError, binascii.Error) as error:
        raise PasscodeError("it is no hash of a passcode; `opacity-node hash-passcode` makes one") from error
    most = _MOST_COST, _MOST_BLOCK_SIZE, _MOST_PARALLEL
    in_bounds = all(1 <= number <= limit for number, limit in zip(numbers, most, strict=True))
    is_power = numbers[0] > 1 and numbers[0] & (numbers[0] - 1) == 0
    if name != _NAME or not in_bounds or not is_power or not all(decoded):
        raise PasscodeError("it is no hash of a passcode; `opacity-node hash-passcode` makes one")
    return (*numbers, *decoded)


def _scrypt(passcode: bytes, salt: bytes, cost: int, block_size: int, parallel: int) -> bytes:
    memory = 256 * cost * block_size * parallel + 1_000_000
    return hashlib.scrypt(passcode, salt=salt, n=cost, r=block_size, p=parallel, maxmem=memory, dklen=32)


def _encoded(octets: bytes) -> str:
    return base64.b64encode(octets).decode()

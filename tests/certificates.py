"""Certificates that tests make with the openssl command, as an administrator would."""

import subprocess
from dataclasses import dataclass
from pathlib import Path

from tests.peers import need_tool

_DAYS = "90"


@dataclass(frozen=True)
class Bearer:
    """A certificate and its key."""

    certificate: Path
    key: Path

    def fingerprint(self) -> str:
        """Return its SHA-256 fingerprint as openssl writes it, with colons."""
        said = _openssl("x509", "-in", self.certificate, "-noout", "-fingerprint", "-sha256")
        return said.strip().rpartition("=")[2]


class Authority:
    """Issues certificates.

    Parameters
    ----------
    folder
        Made for it; takes all files.
    """

    def __init__(self, folder: Path, name: str = "LabCA") -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self.certificate = folder / "ca.pem"
        self._key = folder / "ca.key"
        _openssl(
            *("req", "-x509", *_new_key(self._key), "-out", self.certificate, "-days", _DAYS, "-subj", f"/CN={name}"),
        )

    def issue(
        self,
        name: str,
        *,
        alternative: str = "DNS:localhost,IP:127.0.0.1",
        days: str = _DAYS,
        usage: str = "",
        curve: str = "prime256v1",
    ) -> Bearer:
        """Issue a certificate with a new key; for one extended key usage, or for all."""
        file = self._folder / name
        bearer = Bearer(file.with_suffix(".pem"), file.with_suffix(".key"))
        request, extensions = file.with_suffix(".csr"), file.with_suffix(".ext")
        extensions.write_text(f"subjectAltName={alternative}\n" + (f"extendedKeyUsage={usage}\n" if usage else ""))
        _openssl("req", *_new_key(bearer.key, curve), "-out", request, "-subj", f"/CN={name}")
        _openssl(
            *("x509", "-req", "-in", request, "-CA", self.certificate, "-CAkey", self._key, "-CAcreateserial"),
            *("-days", days, "-extfile", extensions, "-out", bearer.certificate),
        )
        return bearer


def _new_key(file: Path, curve: str = "prime256v1") -> tuple[str | Path, ...]:
    return ("-newkey", "ec", "-pkeyopt", f"ec_paramgen_curve:{curve}", "-nodes", "-keyout", file)


def _openssl(*arguments: str | Path) -> str:
    done = subprocess.run([need_tool("openssl"), *arguments], capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout

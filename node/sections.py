"""The sections of config.toml: every setting with its kind and its default."""

import ipaddress
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, field_validator, model_validator

from inference.compute import Limits, Precision
from node.fields import AETitle, AllowedAETitle, Name, NetworkText, Passcode, Port, PortOrOff, Seconds, Section
from node.rules import SOURCE


class Tls(Section):
    """What we show to peers over TLS, and whom we believe."""

    certificate: Path | None = None
    key: Path | None = None
    ca: Path | None = None
    require_client_certificate: bool = True


class Dicom(Section):
    """How peers reach us, and who may."""

    ae_title: AETitle = "OPACITY_NODE"
    host: str = "127.0.0.1"
    port: PortOrOff = 11112
    tls_port: PortOrOff = 0
    calling_ae_titles: tuple[AllowedAETitle, ...] = ()
    calling_networks: tuple[NetworkText, ...] = ()
    require_user_identity: bool = False
    maximum_associations: Annotated[int, Field(ge=1, le=300)] = 100
    network_timeout_s: Seconds = 60
    tls: Tls = Tls()
    certificates: Mapping[str, tuple[AETitle, ...]] = {}
    users: Mapping[str, Passcode] = {}

    @model_validator(mode="after")
    def _host_is_an_address(self) -> Self:
        try:
            ipaddress.ip_address(self.host)
        except ValueError as error:
            raise ValueError(f"host {self.host!r} is not an IP address; 0.0.0.0 listens on all of them") from error
        return self

    @model_validator(mode="after")
    def _listens_somewhere(self) -> Self:
        if self.port == self.tls_port:
            both = "both off (0): nobody could reach the node" if not self.port else f"both {self.port}"
            raise ValueError(f"port and tls_port are {both}; give each its own, or set one of them to 0")
        return self

    @model_validator(mode="after")
    def _tls_has_its_files(self) -> Self:
        tls = self.tls
        if self.tls_port and not (tls.certificate and tls.key):
            raise ValueError("tls_port needs certificate and key in [dicom.tls]; docs/security.md has the commands")
        if self.tls_port and tls.require_client_certificate and not tls.ca:
            raise ValueError(
                "[dicom.tls] needs ca, by which the certificates of peers are checked; or set "
                "require_client_certificate = false, and anyone may call over TLS"
            )
        if self.certificates and not (self.tls_port and tls.require_client_certificate):
            raise ValueError("[dicom.certificates] needs a tls_port and require_client_certificate = true")
        return self

    @model_validator(mode="after")
    def _users_are_known(self) -> Self:
        if self.require_user_identity and not self.users:
            raise ValueError("require_user_identity needs [dicom.users]: nobody could call; name some, or set it false")
        return self


class StorageSettings(Section):
    """Where data lie."""

    path: Path = Path("storage")
    weights: Path = Path("weights")
    quarantine_quota_mb: Annotated[int, Field(ge=0)] = 1024
    low_water_mb: Annotated[int, Field(ge=0)] = 2048


class Settle(Section):
    """When a study is taken as complete."""

    quiet_ct_s: Seconds = 60
    quiet_xray_s: Seconds = 15
    association_idle_s: Seconds = 30
    max_wait_s: Seconds = 1800
    max_revisions: Annotated[int, Field(ge=1, le=1000)] = 3


class EngineSettings(Section):
    """Where jobs run."""

    devices: Annotated[tuple[str, ...], Field(min_length=1)] = ("cpu",)
    time_limit_s: Seconds = 900
    max_attempts: Annotated[int, Field(ge=1, le=20)] = 3
    retry_after_s: Seconds = 30
    stop_grace_s: Seconds = 20
    memory_limit_mb: Annotated[int, Field(ge=0)] = 0
    priority_ageing_s: Seconds = 600
    precision: Precision = Precision.AUTO
    models_mb: Annotated[int, Field(ge=0)] = 8192
    gpu_memory_mb: Annotated[int, Field(ge=0)] = 0
    cpu_fallback: bool = True

    @property
    def limits(self) -> Limits:
        """What networks may take of a worker's device."""
        return Limits(
            precision=self.precision,
            models_mb=self.models_mb,
            gpu_memory_mb=self.gpu_memory_mb,
            cpu_fallback=self.cpu_fallback,
        )


class Results(Section):
    """How results look in the study."""

    series_number: Annotated[int, Field(ge=1, le=99000)] = 9500
    series_description_prefix: Annotated[str, Field(min_length=1, max_length=8)] = "AI"


class Outbox(Section):
    """How results are delivered."""

    retry_after_s: Seconds = 5
    retry_at_most_every_s: Seconds = 300
    timeout_s: Seconds = 30
    commitment_timeout_s: Seconds = 3600


class Retention(Section):
    """How long images are kept after their results have arrived; 0 keeps them for ever."""

    inputs_days: Annotated[float, Field(ge=0)] = 0


class Destination(Section):
    """A peer that takes results."""

    name: Name
    host: str
    port: Port
    ae_title: AETitle
    tls: bool = False
    tls_name: str = ""
    storage_commitment: bool = False
    objects: tuple[Literal["report", "segmentation", "key-image"], ...] = ("report", "segmentation", "key-image")
    maps: Literal["source-grid", "coarse", "none"] = "none"

    @field_validator("name")
    @classmethod
    def _name_is_free(cls, name: str) -> str:
        if name == SOURCE:
            raise ValueError(f"{SOURCE!r} means whoever sent the images; take another name")
        return name


class QueryRetrieve(Section):
    """Who may find and retrieve what the node holds; nobody, unless it is said."""

    calling_ae_titles: tuple[AllowedAETitle, ...] = ()


class StorageCommitment(Section):
    """Whom we promise to keep what it sent; nobody, unless it is said."""

    calling_ae_titles: tuple[AllowedAETitle, ...] = ()


class Log(Section):
    """What is written to standard error."""

    level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"

"""The sections of config.toml: every setting with its kind and its default."""

import ipaddress
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, field_validator, model_validator

from inference.compute import Limits, Precision
from node.fields import AETitle, Name, Port, Seconds, Section
from node.rules import SOURCE


class Dicom(Section):
    """How peers reach us."""

    ae_title: AETitle = "OPACITY_NODE"
    host: str = "127.0.0.1"
    port: Port = 11112
    calling_ae_titles: tuple[AETitle, ...] = ()
    maximum_associations: Annotated[int, Field(ge=1, le=1000)] = 100
    network_timeout_s: Seconds = 60

    @model_validator(mode="after")
    def _host_is_an_address(self) -> Self:
        try:
            ipaddress.ip_address(self.host)
        except ValueError as error:
            raise ValueError(f"host {self.host!r} is not an IP address; 0.0.0.0 listens on all of them") from error
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
    storage_commitment: bool = False
    objects: tuple[Literal["report", "segmentation", "key-image"], ...] = ("report", "segmentation", "key-image")
    maps: Literal["source-grid", "coarse", "none"] = "none"

    @field_validator("name")
    @classmethod
    def _name_is_free(cls, name: str) -> str:
        if name == SOURCE:
            raise ValueError(f"{SOURCE!r} means whoever sent the images; take another name")
        return name


class Log(Section):
    """What is written to standard error."""

    level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"

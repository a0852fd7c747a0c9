"""A configuration read again -> what takes effect while the node runs, and what waits for a restart. Pure."""

from dataclasses import dataclass

from pydantic import BaseModel

from node.config import Config

_WAITING_SECTIONS = ("storage", "log")
_WAITING = {
    "dicom": ("ae_title", "host", "port", "tls_port", "maximum_associations", "network_timeout_s"),
    "engine": ("devices", "time_limit_s", "memory_limit_mb"),
}
"""Of sections whose other settings take effect at once."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Reload:
    """What a running node makes of a configuration that was read again.

    Attributes
    ----------
    config : Config
        To use from now on: the new one, but for what needs a restart.
    changed : tuple of str
        Sections that are other than before.
    waiting : tuple of str
        Settings that need a restart to take effect.
    """

    config: Config
    changed: tuple[str, ...]
    waiting: tuple[str, ...]


def reload(running: Config, read: Config) -> Reload:
    """Compare the configuration in use with the one that was read."""
    update: dict[str, BaseModel] = {name: getattr(running, name) for name in _WAITING_SECTIONS}
    for section, names in _WAITING.items():
        kept = {name: getattr(getattr(running, section), name) for name in names}
        update[section] = getattr(read, section).model_copy(update=kept)
    config = read.model_copy(update=update)
    waiting = [
        f"{section}.{name}"
        for section in ("dicom", *_WAITING_SECTIONS, "engine")
        for name in _differing(getattr(config, section), getattr(read, section))
    ]
    return Reload(config=config, changed=tuple(_differing(running, config)), waiting=tuple(waiting))


def _differing(one: BaseModel, other: BaseModel) -> list[str]:
    return [name for name in type(one).model_fields if getattr(one, name) != getattr(other, name)]

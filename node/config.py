"""config.toml -> frozen, validated settings.

Every error of a file is reported at once, each with its place and what to do. Environment variables override single
values: ``OPACITY_NODE_DICOM__PORT=11112`` sets ``port`` of ``[dicom]``.
"""

import tomllib
from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Self, get_args

from pydantic import BaseModel, ValidationError, model_validator
from pydantic_core import ErrorDetails
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    SettingsError,
    TomlConfigSettingsSource,
)

from inference.card import SettingValue
from node.contradictions import contradictions, unbelieved
from node.fields import IN_WORDS
from node.rules import Rule, When
from node.sections import (
    Destination,
    Dicom,
    EngineSettings,
    Log,
    Outbox,
    QueryRetrieve,
    Results,
    Retention,
    Settle,
    StorageCommitment,
    StorageSettings,
)

DEFAULT_FILE = Path("config.toml")
_ENVIRONMENT_PREFIX = "OPACITY_NODE_"
_SECRET = ("dicom", "users")
"""Where a wrong value may be a passcode."""


class ConfigError(Exception):
    """The configuration cannot be used; the message names every place and its remedy."""


class Config(BaseSettings):
    """All settings of a node."""

    model_config = SettingsConfigDict(
        frozen=True, extra="forbid", env_prefix=_ENVIRONMENT_PREFIX, env_nested_delimiter="__"
    )

    dicom: Dicom = Dicom()
    storage: StorageSettings = StorageSettings()
    settle: Settle = Settle()
    engine: EngineSettings = EngineSettings()
    results: Results = Results()
    outbox: Outbox = Outbox()
    retention: Retention = Retention()
    query_retrieve: QueryRetrieve = QueryRetrieve()
    storage_commitment: StorageCommitment = StorageCommitment()
    log: Log = Log()
    pipelines: Mapping[str, Mapping[str, SettingValue]] = {}
    destinations: tuple[Destination, ...] = (
        Destination(name="pacs", host="127.0.0.1", port=4242, ae_title="ORTHANC", maps="source-grid"),
    )
    rules: tuple[Rule, ...] = (
        Rule(name="chest CT", modality=("CT",), pipelines=("lung-densitometry",), destinations=("pacs",)),
        Rule(name="chest X-ray", modality=("CR", "DX"), pipelines=("lung-fields",), destinations=("pacs",)),
    )

    @model_validator(mode="after")
    def _names_are_known(self) -> Self:
        given = self.model_dump(include={"dicom", "destinations", "rules"})
        problems = contradictions(given["destinations"], given["rules"], self.pipelines)
        if problems := [*problems, *unbelieved(given["destinations"], given["dicom"])]:
            raise ValueError("; ".join(problems))
        return self

    def destination(self, name: str) -> Destination | None:
        """Return the destination of that name."""
        return next((d for d in self.destinations if d.name == name), None)


def chosen(path: Path | None) -> Path | None:
    """Return the file that `load` reads: the given one, else ``config.toml`` of the working folder if there is one."""
    return path or (DEFAULT_FILE if DEFAULT_FILE.is_file() else None)


def shipped() -> str:
    """Return config.toml as it comes: a wheel holds it beside this module, a checkout above it."""
    here = Path(__file__).parent
    return next(file for file in (here / DEFAULT_FILE, here.parent / DEFAULT_FILE) if file.is_file()).read_text()


def load(path: Path | None = None) -> Config:
    """Read the configuration.

    Parameters
    ----------
    path : Path or None
        None takes ``config.toml`` of the working folder if there is one, else the defaults.

    Returns
    -------
    Config
        With absolute paths: relative ones in a file count from the file's folder.

    Raises
    ------
    ConfigError
        If the file is absent, is not TOML, or says something that cannot be.
    """
    if path is not None and not path.is_file():
        raise ConfigError(f"{path}: there is no such file. `opacity-node config > {path}` writes one to begin with.")
    file = chosen(path)
    base = (file.parent if file else Path()).resolve()
    given: dict[str, Any] = {}
    try:
        config = _read(file, given)
    except ValidationError as error:
        raise ConfigError("\n".join(_complaints(error, given, file))) from error
    except OSError as error:
        raise ConfigError(f"{file}: cannot be read: {error.strerror}. Let the node's user read it.") from error
    except SettingsError as error:
        raise ConfigError(f"environment: {error}. Give JSON, or unset the variable.") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{file}: is not TOML: {error}. Compare with `opacity-node config`.") from error
    storage = config.storage.model_copy(
        update={"path": base / config.storage.path, "weights": base / config.storage.weights}
    )
    tls = config.dicom.tls
    files = {name: base / file for name in ("certificate", "key", "ca") if (file := getattr(tls, name))}
    dicom = config.dicom.model_copy(update={"tls": tls.model_copy(update=files)})
    return config.model_copy(update={"storage": storage, "dicom": dicom})


def _read(file: Path | None, given: dict[str, Any]) -> Config:
    """Read and check; `given` takes what file and environment say, also where it is wrong."""

    class FromFile(Config):
        """Config that knows its file; sources are class-level in pydantic-settings."""

        @model_validator(mode="before")
        @classmethod
        def _keep(cls, data: dict[str, Any]) -> dict[str, Any]:
            given.update(data)
            return data

        @classmethod
        def settings_customise_sources(
            cls,
            settings_cls: type[BaseSettings],
            init_settings: PydanticBaseSettingsSource,
            env_settings: PydanticBaseSettingsSource,
            dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - pydantic-settings' signature
            file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - pydantic-settings' signature
        ) -> tuple[PydanticBaseSettingsSource, ...]:
            """Let the environment win over the file."""
            toml = (TomlConfigSettingsSource(settings_cls, toml_file=file),) if file else ()
            return (init_settings, env_settings, *toml)

    return FromFile()


def _complaints(error: ValidationError, given: dict[str, Any], file: Path | None) -> Iterator[str]:
    """Yield every error, contradictions between settings too, which are not sought in a model that has other errors."""
    source = file or "environment"
    for detail in error.errors():
        if detail["loc"]:
            yield f"{source}: {_explain(detail, given)}"
    pipelines = given.get("pipelines")
    tables = (_tables(given, "destinations"), _tables(given, "rules"))
    for problem in contradictions(*tables, pipelines if isinstance(pipelines, dict) else {}):
        yield f"{source}: {problem}"
    for problem in unbelieved(tables[0], given.get("dicom")):
        yield f"{source}: {problem}"


def _explain(detail: ErrorDetails, given: dict[str, Any]) -> str:
    place = ".".join(f"[{part}]" if isinstance(part, int) else str(part) for part in detail["loc"]).replace(".[", "[")
    words = IN_WORDS.get(detail["type"])
    message = words % detail.get("ctx", {}) if words else detail["msg"].removeprefix("Value error, ")
    if detail["type"] == "extra_forbidden":
        message = _unknown(detail["loc"], otherwise=message)
    is_told = not isinstance(detail["input"], dict | list | BaseModel) and detail["loc"][:2] != _SECRET
    value = f" = {detail['input']!r}" if is_told else ""
    return f"{place}{value}: {message}{_whose(detail['loc'], given)}"


def _unknown(place: tuple[int | str, ...], *, otherwise: str) -> str:
    """Say that a name means nothing, and which one may be meant."""
    section: type[BaseModel] = Config
    for part in place[:-1]:
        if isinstance(part, str):
            kind: Any = section.model_fields[part].annotation
            section = next(iter(get_args(kind)), kind)
    what = "condition" if section is When else "setting"
    if close := get_close_matches(str(place[-1]).lower(), section.model_fields, n=1):
        return f"there is no such {what}; did you mean `{close[0]}`?"
    return f"there is no such {what}; there are: {', '.join(When.model_fields)}" if section is When else otherwise


def _whose(place: tuple[int | str, ...], given: dict[str, Any]) -> str:
    """Return the name of the rule or destination that an error is in, where it has one."""
    match place:
        case ("rules" | "destinations" as section, int(index), *_):
            tables = given.get(section)
            table = tables[index] if isinstance(tables, list | tuple) and index < len(tables) else None
            if isinstance(table, dict) and isinstance(name := table.get("name"), str):
                return f" (in {section.removesuffix('s')} {name!r})"
    return ""


def _tables(given: dict[str, Any], section: str) -> list[dict[str, Any]]:
    """Return the tables that are given, else those that are built in."""
    if section not in given:
        return [table.model_dump() for table in Config.model_fields[section].default]
    tables = given[section]
    return [table for table in tables if isinstance(table, dict)] if isinstance(tables, list | tuple) else []

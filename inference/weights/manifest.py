"""What weights there are: `inference/weights.toml`, read and checked.

A *slot* is a place for the weights of one network. It says which file belongs there, that it comes with the program, or
that a site brings its own, and what the network's outputs mean.
"""

import tomllib
from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, TypeAdapter, model_validator

from inference.weights.pins import Pin

MANIFEST = Path(__file__).parents[1] / "weights.toml"
SHIPPED = Path(__file__).parents[1] / "shipped"
"""Folder of the weights that come with the program."""

Name = Annotated[str, StringConstraints(pattern=r"^[a-z0-9]+(-[a-z0-9]+)*$")]
FileName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")]
Url = Annotated[str, StringConstraints(pattern=r"^https?://[^\s]+$")]


class Form(StrEnum):
    """How the bytes are to be read."""

    STATE_DICT = "state-dict"
    PICKLED_MODEL = "pickled-model"
    NNUNET_FOLDER = "nnunet-folder"
    ARRAYS = "arrays"


class Slot(BaseModel):
    """A place for the weights of one network.

    Attributes
    ----------
    name : str
        As commands, cards and messages name it.
    title : str
        What it is, for people.
    file : str
        Name within the weights folder; of a folder or a site's own weights, the name to begin with.
    form : Form
        How it is read.
    network : str
        What the weights are of; weights of another network do not fit.
    url : str or None
        Where it is published; None where it is shipped, or a site brings its own.
    shipped : bool
        Whether it comes with the program, in `SHIPPED`.
    size, about_mib : int or None
        Bytes, exactly; mebibytes, where only that is known.
    pin : Pin or None
        What it must hash to; None where nobody published that.
    licence : str
        SPDX expression, or where it is stated.
    outputs : tuple of str
        What the outputs mean, in their order.
    output_key : str or None
        Tensor whose first axis counts the outputs.
    thresholds : Mapping[str, float]
        Of outputs.
    entry, prefix : str
        Under which key of the checkpoint the state dict lies; what all its keys begin with. Empty for none.
    recipe : str
        Recipe of `opacity-node train` with which a site can make its own; empty for none.
    required_by, optional_for, training_start_for : tuple of str
        Pipelines.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: Name
    title: str
    file: FileName
    form: Form = Form.STATE_DICT
    network: str
    url: Url | None = None
    shipped: bool = False
    size: Annotated[int, Field(gt=0)] | None = None
    about_mib: Annotated[int, Field(gt=0)] | None = None
    pin: Pin | None = None
    licence: str
    outputs: tuple[str, ...] = ()
    output_key: str | None = None
    thresholds: Mapping[str, float] = {}
    entry: str = ""
    prefix: str = ""
    recipe: str = ""
    required_by: tuple[Name, ...] = ()
    optional_for: tuple[Name, ...] = ()
    training_start_for: tuple[Name, ...] = ()

    @model_validator(mode="after")
    def _agrees_with_itself(self) -> Self:
        if self.shipped and (self.url is not None or self.pin is None):
            raise ValueError("a shipped file has a pin and no url")
        if self.pin is not None and self.url is None and not self.shipped:
            raise ValueError("a pin is of a published file; give its url")
        if self.form is Form.NNUNET_FOLDER and self.url is not None:
            raise ValueError("a folder has no url")
        if len(set(self.outputs)) != len(self.outputs):
            raise ValueError("two outputs have the same name")
        if unknown := set(self.thresholds) - set(self.outputs):
            raise ValueError(f"thresholds of {', '.join(sorted(unknown))}, which are no outputs")
        return self

    @property
    def expected_bytes(self) -> int | None:
        """Bytes, as exactly as they are known."""
        return self.size or (self.about_mib << 20 if self.about_mib else None)

    @property
    def command(self) -> str:
        """The command that installs it; what is shipped comes with the program, and needs none."""
        if self.shipped:
            return "install opacity-node anew"
        if self.url is None:
            return f"opacity-node models add {self.name} PATH"
        return f"opacity-node models fetch {self.name}" + ("" if self.pin else " --accept-unpinned")

    @property
    def instruction(self) -> str:
        """The command that installs it, and where its PATH comes from, for people."""
        return "; ".join([self.command, *([self.made_with] if self.made_with else [])])

    @property
    def made_with(self) -> str:
        """Where the PATH of the command comes from; empty where that is not for us to say."""
        return f"PATH can be made with `opacity-node train {self.recipe}`: docs/training.md" if self.recipe else ""


class _Manifest(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    slots: tuple[Slot, ...]


def read(path: Path = MANIFEST) -> Mapping[str, Slot]:
    """Read a manifest.

    Raises
    ------
    ValueError
        If it says something that cannot be, or two slots have the same name or file.
    """
    slots = TypeAdapter(_Manifest).validate_python(tomllib.loads(path.read_text(encoding="utf-8"))).slots
    for key in ("name", "file"):
        values = [getattr(slot, key) for slot in slots]
        if doubled := sorted({value for value in values if values.count(value) > 1}):
            raise ValueError(f"{path}: several slots have the {key} {', '.join(doubled)}")
    return MappingProxyType({slot.name: slot for slot in slots})


SLOTS = read()

"""The state dict of a pickled model, read without running any of its code.

torchxrayvision publishes its DenseNets as whole pickled models. Names in the pickle are looked up in a list: tensors
and containers are what they are, layers become empty shells that only hold what was in them, anything else is
refused. So no constructor, no method and no function of a network runs, and no module is imported.

References
----------
Python documentation, pickle, "Restricting Globals".
"""

import io
import pickle
import warnings
from collections import OrderedDict
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

if TYPE_CHECKING:
    from torch import Tensor

_LAYERS = {
    "torchxrayvision.models": {"DenseNet", "_DenseBlock", "_DenseLayer", "_Transition"},
    "torchvision.models.densenet": {"DenseNet", "_DenseBlock", "_DenseLayer", "_Transition"},
    "torch.nn.modules.container": {"Sequential"},
    "torch.nn.modules.conv": {"Conv2d"},
    "torch.nn.modules.batchnorm": {"BatchNorm2d"},
    "torch.nn.modules.activation": {"ReLU"},
    "torch.nn.modules.pooling": {"MaxPool2d", "AvgPool2d"},
    "torch.nn.modules.linear": {"Linear"},
}
_REBUILD = {"_rebuild_tensor_v2", "_rebuild_tensor", "_rebuild_parameter"}
_STORAGES = {"FloatStorage", "DoubleStorage", "HalfStorage", "LongStorage", "IntStorage", "ByteStorage", "BoolStorage"}
_ZIP = b"PK\x03\x04"
_LEGACY = b"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19"  # protocol 2, and torch's magic number


class _Shell:
    """Stands for a layer; holds what `pickle` puts into it, and does nothing."""

    dump_patches = False  # torch asks every class that a legacy file names


class _Unpickler(pickle.Unpickler):
    """Knows tensors and shells."""

    def find_class(self, module: str, name: str) -> Any:  # noqa: ANN401 - as pickle's
        import torch

        if name in _LAYERS.get(module, ()):
            return _Shell
        if module == "torch._utils" and name in _REBUILD:
            return getattr(torch._utils, name)  # noqa: SLF001 - what every torch file calls
        if module == "torch" and name in _STORAGES:
            return getattr(torch, name)
        if (module, name) == ("collections", "OrderedDict"):
            return OrderedDict
        if (module, name) in (("__builtin__", "set"), ("builtins", "set")):
            return set
        raise pickle.UnpicklingError(f"it asks for {module}.{name}, which no weights need")


class _Restricted:
    """The part of `pickle` that torch.load uses, with the restricted unpickler."""

    __name__ = "inference.weights.pickles"
    Unpickler = _Unpickler
    UnpicklingError = pickle.UnpicklingError

    @staticmethod
    def load(file: BinaryIO, **_: object) -> Any:  # noqa: ANN401 - as pickle's
        return _Unpickler(file).load()


def state_of_model(path: Path) -> "dict[str, Tensor]":
    """Read the parameters and buffers of a pickled model, by the names that its state dict would have.

    Raises
    ------
    pickle.UnpicklingError
        If the file is of another format, or names anything that is not on the list.
    """
    import torch

    data = path.read_bytes()
    if not data.startswith((_ZIP, _LEGACY)):
        raise pickle.UnpicklingError("it is neither of torch's two formats")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", torch.serialization.SourceChangeWarning)  # shells are no layers: as meant
        model = torch.load(io.BytesIO(data), map_location="cpu", pickle_module=_Restricted, weights_only=False)
    if not isinstance(model, _Shell):
        raise pickle.UnpicklingError("it holds no model")
    return dict(_tensors(model, ""))


def _tensors(layer: _Shell, prefix: str) -> "Iterator[tuple[str, Tensor]]":
    held = vars(layer)
    unsaved = held.get("_non_persistent_buffers_set") or ()
    for kind in ("_parameters", "_buffers"):
        for name, value in (held.get(kind) or {}).items():
            if value is not None and not (kind == "_buffers" and name in unsaved):
                yield prefix + name, value
    for name, child in (held.get("_modules") or {}).items():
        if isinstance(child, _Shell):
            yield from _tensors(child, f"{prefix}{name}.")

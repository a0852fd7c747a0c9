"""How networks are computed in this process: with which precision, in how much memory, and where when that runs out.

The worker sets the limits once, from the settings; in a notebook the defaults hold. They are of the process, as torch's
own settings are. torch is imported when a network is about to run.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import TypeVar

    import torch
    from torch import nn

    Network = TypeVar("Network", bound=nn.Module)

CPU = "cpu"


class Precision(StrEnum):
    """Of the numbers inside networks."""

    AUTO = "auto"
    FLOAT32 = "float32"
    BFLOAT16 = "bfloat16"


@dataclass(frozen=True, kw_only=True, slots=True)
class Limits:
    """What networks may take.

    Attributes
    ----------
    precision : Precision
        ``auto`` takes bfloat16 where the machine has matrix units for it, which are GPUs and CPUs with AMX, else
        float32.
    models_mb : int
        Networks that were used stay loaded up to this size on each device; what is in use may exceed it.
    gpu_memory_mb : int
        Of each GPU, all told; 0 sets no bound.
    cpu_fallback : bool
        Whether what does not fit on the GPU one by one is computed on the CPU.
    """

    precision: Precision = Precision.AUTO
    models_mb: int = 8192
    gpu_memory_mb: int = 0
    cpu_fallback: bool = True


_limits = Limits()


def set_limits(new: Limits) -> None:
    """Have every network of this process keep to other limits from now on."""
    global _limits  # noqa: PLW0603 - the process has one memory and one set of devices
    _limits = new


def limits() -> Limits:
    """Return what holds now."""
    return _limits


def dtype_on(device: str) -> "torch.dtype":
    """Return the type that networks compute with on a device."""
    import torch

    precision = _limits.precision
    if precision is Precision.AUTO:
        precision = Precision.BFLOAT16 if _has_bfloat16_units(device) else Precision.FLOAT32
    return torch.bfloat16 if precision is Precision.BFLOAT16 else torch.float32


def cast(network: "Network", dtype: "torch.dtype") -> "Network":
    """Give convolutions and linear layers the type that they are computed with.

    Autocast would do so for every batch anew, with the same result; it is still needed for what lies between.
    """
    from torch import nn

    for layer in network.modules():
        if isinstance(layer, nn.Conv1d | nn.Conv2d | nn.Conv3d | nn.Linear):
            layer.to(dtype)
    return network


def prepare(device: str) -> None:
    """Bound what torch takes of a device, and have it compute the same way each time."""
    import torch

    if torch.device(device).type != "cuda":
        return
    torch.backends.cudnn.benchmark = False
    torch.backends.cudnn.deterministic = True
    # TF32 keeps 10 bits: whoever asks for float32 asks for all of them.
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = False
    total_mb = torch.cuda.get_device_properties(device).total_memory / 1e6
    bound = _limits.gpu_memory_mb / total_mb if _limits.gpu_memory_mb else 1.0
    torch.cuda.set_per_process_memory_fraction(min(bound, 1.0), device)


def _has_bfloat16_units(device: str) -> bool:
    import torch

    if torch.device(device).type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    return bool(torch.cpu.get_capabilities().get("amx_bf16"))

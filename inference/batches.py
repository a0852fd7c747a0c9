"""A network over many inputs: in batches that fit into memory, wherever they fit.

Out of GPU memory, other networks are let go of, then the batch is halved, then the CPU takes over where that is
allowed; the result says so. Nothing that was computed before is computed again.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from inference import compute, resident

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    NetworkOn = Callable[[str], Callable[[Tensor], Tensor]]


class GPUMemoryError(RuntimeError):
    """One input does not fit into the memory of the GPU, and the CPU is not allowed."""

    def __init__(self, device: str) -> None:
        super().__init__(
            f"one image does not fit into the memory of {device}; raise engine.gpu_memory_mb, free the GPU, or set "
            "engine.cpu_fallback = true"
        )


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Computed:
    """What a network said, and how that came about.

    Attributes
    ----------
    outputs : ndarray
        First axis as that of the inputs.
    parameters : Mapping[str, str]
        For `Algorithm.parameters`: where and how exactly it was computed.
    warnings : tuple of str
        For `Findings.warnings`.
    """

    outputs: NDArray[Any]
    parameters: Mapping[str, str]
    warnings: tuple[str, ...] = ()


class Batches:
    """Calls a network in batches.

    Parameters
    ----------
    network_on : callable
        Returns the network on a device, as `inference.resident.resident` does; may also end in a reduction, so that
        little has to leave the GPU.
    device : str
        Torch device to begin with.
    batch : int
        Most inputs at once.
    dtype : torch.dtype, optional
        What it computes with; by default what `inference.compute.dtype_on` says of the device.
    """

    def __init__(self, network_on: "NetworkOn", *, device: str, batch: int, dtype: "torch.dtype | None" = None) -> None:
        self._network_on = network_on
        self._device = device
        self._batch = batch
        self._dtype = dtype
        self._used: dict[tuple[str, str], None] = {}
        self._warnings: list[str] = []

    def __call__(self, inputs: "Tensor") -> "Tensor":
        """Compute.

        Parameters
        ----------
        inputs : Tensor of float32, shape (n, ...)
            On the CPU.

        Returns
        -------
        Tensor, shape (n, ...)
            On the CPU; float32 where the network says floating point.

        Raises
        ------
        GPUMemoryError
            If one input does not fit and the CPU is not allowed.
        """
        import torch

        outputs: list[Tensor] = []
        done = 0
        while done < len(inputs):
            try:
                part = self._run(inputs[done : done + self._batch])
            except torch.OutOfMemoryError:
                part = None
            if part is None:  # after the handler: while it runs, the failed batch is still referred to
                self._retreat()
                continue
            outputs.append(part)
            done += len(part)
        return torch.cat(outputs)

    @property
    def parameters(self) -> dict[str, str]:
        """Where and how exactly it was computed so far."""
        devices, precisions = zip(*self._used, strict=True) if self._used else ((), ())
        return {"device": _each_once(devices), "precision": _each_once(precisions)}

    @property
    def warnings(self) -> tuple[str, ...]:
        """What a reader must know of it."""
        return tuple(self._warnings)

    def _run(self, inputs: "Tensor") -> "Tensor":
        import torch

        kind = torch.device(self._device).type
        dtype = self._dtype or compute.dtype_on(self._device)
        network = self._network_on(self._device)
        with torch.inference_mode(), torch.autocast(kind, dtype, enabled=dtype != torch.float32):
            said = network(inputs.to(self._device, non_blocking=True))
            said = (said.float() if said.is_floating_point() else said).cpu()
        self._used[kind, str(dtype).removeprefix("torch.")] = None
        return said

    def _retreat(self) -> None:
        import torch

        others = resident.release_others(self._device)
        torch.cuda.empty_cache()
        if others:
            return
        if self._batch > 1:
            self._batch //= 2
            self._warn(f"The memory of the GPU ran out: the batch was halved to {self._batch}.")
        elif compute.limits().cpu_fallback and self._device != compute.CPU:
            self._device = compute.CPU
            self._warn("The memory of the GPU ran out: the rest was computed on the CPU.")
        else:
            raise GPUMemoryError(self._device)

    def _warn(self, warning: str) -> None:
        self._warnings.append(warning)


def in_batches(
    network_on: "NetworkOn",
    inputs: NDArray[np.float32],
    *,
    device: str,
    batch: int,
    dtype: "torch.dtype | None" = None,
) -> Computed:
    """Run a network over the first axis of an array; see `Batches`."""
    import torch

    run = Batches(network_on, device=device, batch=batch, dtype=dtype)
    outputs = run(torch.from_numpy(np.ascontiguousarray(inputs)))
    return Computed(outputs=outputs.numpy(), parameters=run.parameters, warnings=run.warnings)


def joined_parameters(parts: Iterable[Mapping[str, str]]) -> dict[str, str]:
    """Return the parameters of several computations as those of one; values that differ are listed."""
    values: dict[str, dict[str, None]] = {}
    for part in parts:
        for name, value in part.items():
            values.setdefault(name, {}).update(dict.fromkeys(value.split(", ")))
    return {name: ", ".join(different) for name, different in values.items()}


def _each_once(values: Iterable[str]) -> str:
    return ", ".join(dict.fromkeys(values))

"""What the benchmark knows of `opacity-ensemble`: its networks, and which places are refined."""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from inference.opacity_ensemble import ensemble, experts
from inference.opacity_ensemble.crops import Crops
from inference.opacity_ensemble.ensemble import CONVNEXT, NNUNET_336, NNUNET_768

if TYPE_CHECKING:
    from inference.weights import Verified
    from node.bench.clock import Clock

SETTINGS: Mapping[str, float] = {"threshold": 0.0}
MIRRORED = 4
"""Passes of an nnU-Net for each patch."""
CROPS = ((0.45, 0.75, 0.12, 0.42), (0.45, 0.75, 0.58, 0.88))
"""First and last row and column of what is refined, as shares of the image: networks of random weights mark nothing."""

Floats = NDArray[np.float32]


def begin(weights: "Mapping[str, Verified]", *, is_naive: bool, device: str) -> type:
    """Load networks and use each once, as `node.bench.xray_run.Networks` says."""
    if is_naive:
        from node.bench.xray_naive import Naive

        naive = Naive(weights, device)
        vars(experts)["Networks"] = lambda *_: naive
    vars(ensemble)["crops"] = _crops
    networks = experts.Networks(weights, device)
    image = np.linspace(0, 1, 1 << 16, dtype=np.float32).reshape(256, 256)
    networks.classify([image])
    networks.lungs([image])
    networks.segment(CONVNEXT, [image])
    if not is_naive:  # they are loaded when they are first asked; of nothing they are not run
        nothing = [np.zeros_like(image)]
        networks.segment(NNUNET_336, nothing)
        networks.segment(NNUNET_768, nothing)
        networks.refine(nothing)
    return type(networks)


def listen() -> dict[str, Floats]:
    """Have what the experts say of the image that was looked at first written down."""
    said: dict[str, Floats] = {}
    look: Callable[..., list[Any]] = ensemble.look

    def heard(*args: Any) -> list[Any]:  # noqa: ANN401
        seen = look(*args)
        if not said:
            first = seen[0]
            said.update(first.maps)
            said["DenseNet-121"] = np.array(list(first.findings.values()), dtype=np.float32)
        return seen

    vars(ensemble)["look"] = heard
    return said


def watch(networks: type, clock: "Clock") -> None:
    """Time every network from now on."""
    clock.watch(networks, "classify", lambda _, images: clock.count("DenseNet-121", len(images)))
    clock.watch(networks, "segment", lambda _, name, images: clock.count(name, len(images) * _passes(name)))
    clock.watch(networks, "refine", lambda _, crops: clock.count("refinement", len(crops) * MIRRORED))
    clock.watch(networks, "lungs", lambda _, images: clock.count("PSPNet", len(images)))


def _crops(union: NDArray[np.bool_]) -> Crops:
    rows, columns = union.shape
    return Crops(
        places=tuple(
            (slice(int(top * rows), int(bottom * rows)), slice(int(left * columns), int(right * columns)))
            for top, bottom, left, right in CROPS
        )
    )


def _passes(name: str) -> int:
    return MIRRORED if name.startswith("nnU-Net") else 1

"""What images may look like elsewhere: turned, shifted, squeezed, dim, noisy, collimated, hidden by devices.

Everything draws from torch's own random numbers: a seed repeats a training.
"""

import torch
from torch import Tensor
from torchvision import tv_tensors
from torchvision.transforms import InterpolationMode, v2
from torchvision.transforms.v2 import functional as F  # noqa: N812 - as torchvision's own examples name it

_AFFINE = v2.RandomAffine(
    degrees=12,
    translate=(0.08, 0.08),
    scale=(0.8, 1.25),
    shear=(-5, 5, -5, 5),
    interpolation=InterpolationMode.BILINEAR,
)
_BLUR = v2.GaussianBlur(kernel_size=5, sigma=(0.1, 1.5))
_DEVICES = v2.RandomErasing(p=1.0, scale=(0.001, 0.02), ratio=(0.1, 10.0), value=1.0)


def augmented(image: Tensor, labels: Tensor, *, flipped: float, turned: float) -> tuple[Tensor, Tensor]:
    """Change an image and its labels at random.

    Parameters
    ----------
    image : Tensor of float32, shape (1, side, side)
        From 0 to 1.
    labels : Tensor of uint8, shape (1, side, side)
        0 background, 1 right, 2 left lung.
    flipped, turned : float
        Shares that are mirrored, the lungs changing their names; and that lie on a side or upside down, which are to
        be found to show no lung.

    Returns
    -------
    tuple of Tensor
        As they came in; values in [0, 1].
    """
    image, labels = _moved(tv_tensors.Image(image), tv_tensors.Mask(labels))
    if _chance(flipped):
        image, labels = image.flip(-1), torch.tensor([0, 2, 1], dtype=torch.uint8)[labels.flip(-1).long()]
    if _chance(turned):
        image, labels = image.rot90(int(torch.randint(1, 4, ())), dims=(-2, -1)), torch.zeros_like(labels)
    return _covered(_lit(image) if _chance(0.75) else image), labels


def _moved(image: tv_tensors.Image, labels: tv_tensors.Mask) -> tuple[Tensor, Tensor]:
    image, labels = _AFFINE(image, labels)
    side = image.shape[-1]
    shift = _smooth(side, cells=_uniform(3, 8), count=2) * _uniform(0.0, 0.03)
    shift = shift.permute(0, 2, 3, 1)
    image, labels = F.elastic(image, shift), F.elastic(labels, shift)
    return image.as_subclass(Tensor), labels.as_subclass(Tensor)


def _lit(image: Tensor) -> Tensor:
    """Change the greys: uneven light, veils and opacities, another gamma, a narrow window, blur and noise."""
    side, spread = image.shape[-1], float(image.std())
    for cells in (3, 6, 12):
        if _chance(0.4):
            image = image + _smooth(side, cells=cells, count=1)[0] * spread * _uniform(0.0, 0.35)
    image = image.clamp(0.0, 1.0) ** float(torch.exp2(torch.tensor(_uniform(-1.0, 1.0))))
    if _chance(0.3):
        low, high = _uniform(0.0, 0.25), _uniform(0.75, 1.0)
        image = ((image - low) / (high - low)).clamp(0.0, 1.0)
    if _chance(0.4):
        image = _BLUR(image)
    if _chance(0.5):
        image = image + torch.randn_like(image) * spread * _uniform(0.0, 0.3)
    return image.clamp(0.0, 1.0)


def _covered(image: Tensor) -> Tensor:
    """Lay bright devices and letters over an image, and dark collimators around it."""
    for _ in range(int(torch.randint(0, 4, ()))):
        image = _DEVICES(image)
    for turns in range(4):
        if _chance(0.15):
            image = image.rot90(turns, dims=(-2, -1)).clone()
            image[..., : int(_uniform(1, 0.12 * image.shape[-1]))] = 0.0 if _chance(0.8) else 1.0
            image = image.rot90(-turns, dims=(-2, -1))
    return image


def _smooth(side: int, *, cells: float, count: int) -> Tensor:
    """Return random hills of unit variance at their tops, (1, count, side, side)."""
    coarse = torch.randn(1, count, int(cells), int(cells))
    return torch.nn.functional.interpolate(coarse, size=(side, side), mode="bicubic", align_corners=True)


def _chance(share: float) -> bool:
    return bool(torch.rand(()) < share)


def _uniform(low: float, high: float) -> float:
    return low + (high - low) * float(torch.rand(()))

"""Where training starts: torchvision's weights of ImageNet under the names that timm gives to the same layers.

References
----------
torchvision ``models/convnext.py``; timm ``models/convnext.py``. Both are Liu et al., CVPR 2022, arXiv:2201.03545.
"""

import re
from collections.abc import Mapping

from torch import Tensor

_WITHIN_BLOCK = {
    "layer_scale": "gamma",
    "block.0": "conv_dw",
    "block.2": "norm",
    "block.3": "mlp.fc1",
    "block.5": "mlp.fc2",
}
_BLOCK = re.compile(r"features\.(?P<place>[1357])\.(?P<block>\d+)\.(?P<part>layer_scale|block\.\d)(?P<value>.*)")
_BETWEEN = re.compile(r"features\.(?P<place>[246])\.(?P<rest>.*)")


def convnext_encoder(imagenet: Mapping[str, Tensor], *, channels: int = 1) -> dict[str, Tensor]:
    """Rename the weights of torchvision's ConvNeXt to those of timm's feature extractor.

    Parameters
    ----------
    imagenet : Mapping of Tensor
        State dict of ``torchvision.models.convnext_tiny``, or of one of its other sizes.
    channels : int
        Of the images: of one, the weights of red, green and blue are added up, so that a grey image gives what it
        would have given as three equal channels.

    Returns
    -------
    dict of Tensor
        For ``timm.create_model("convnext_tiny", features_only=True)``; the classifier is left out.

    Raises
    ------
    ValueError
        If a name is none of torchvision's.
    """
    kept = {name: value for name, value in imagenet.items() if not name.startswith("classifier.")}
    renamed = {
        _renamed(name): value.flatten() if name.endswith("layer_scale") else value for name, value in kept.items()
    }
    if channels == 1:
        renamed["stem_0.weight"] = renamed["stem_0.weight"].sum(dim=1, keepdim=True)
    return renamed


def _renamed(name: str) -> str:
    if name.startswith("features.0."):
        return name.replace("features.0.", "stem_")
    if found := _BLOCK.fullmatch(name):
        stage, part = int(found["place"]) // 2, _WITHIN_BLOCK.get(found["part"])
        if part:
            return f"stages_{stage}.blocks.{found['block']}.{part}{found['value']}"
    if found := _BETWEEN.fullmatch(name):
        return f"stages_{int(found['place']) // 2}.downsample.{found['rest']}"
    raise ValueError(f"{name} is no weight of torchvision's ConvNeXt")

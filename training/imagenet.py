"""Where training starts: torchvision's weights of ImageNet under the names that timm gives to the same layers.

References
----------
torchvision ``models/convnext.py``; timm ``models/convnext.py``. Both are Liu et al., CVPR 2022, arXiv:2201.03545.
torchvision ``models/efficientnet.py``; timm ``models/efficientnet.py``. Both are Tan and Le, ICML 2019,
arXiv:1905.11946.
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
_DOTTED = re.compile(r"^(stem|stages)_")
_MBCONV = re.compile(r"features\.(?P<stage>[1-7])\.(?P<block>\d+)\.block\.(?P<part>\d\.(?:\d|fc\d))\.(?P<value>.*)")
_AROUND_BLOCKS = {
    "features.0.0.": "conv_stem.",
    "features.0.1.": "bn1.",
    "features.8.0.": "conv_head.",
    "features.8.1.": "bn2.",
}
_WITHIN_FIRST = {
    "0.0": "conv_dw",
    "0.1": "bn1",
    "1.fc1": "se.conv_reduce",
    "1.fc2": "se.conv_expand",
    "2.0": "conv_pw",
    "2.1": "bn2",
}
_WITHIN_MBCONV = {
    "0.0": "conv_pw",
    "0.1": "bn1",
    "1.0": "conv_dw",
    "1.1": "bn2",
    "2.fc1": "se.conv_reduce",
    "2.fc2": "se.conv_expand",
    "3.0": "conv_pwl",
    "3.1": "bn3",
}


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


def convnext_classifier(imagenet: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Rename the weights of torchvision's ConvNeXt to those of timm's for grey images, without the last layer.

    Parameters
    ----------
    imagenet : Mapping of Tensor
        As `convnext_encoder` takes it.

    Returns
    -------
    dict of Tensor
        For ``timm.create_model("convnext_tiny", in_chans=1)``; ``head.fc`` is left out.
    """
    encoder = {_DOTTED.sub(r"\1.", name): value for name, value in convnext_encoder(imagenet).items()}
    return encoder | {f"head.norm.{part}": imagenet[f"classifier.0.{part}"] for part in ("weight", "bias")}


def efficientnet_classifier(imagenet: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Rename the weights of torchvision's EfficientNet to those of timm's, for grey images, without its last layer.

    Parameters
    ----------
    imagenet : Mapping of Tensor
        State dict of ``torchvision.models.efficientnet_b4``, or of one of the sizes up to it.

    Returns
    -------
    dict of Tensor
        For ``timm.create_model("efficientnet_b4", in_chans=1)``; ``classifier`` is left out.

    Raises
    ------
    ValueError
        If a name is none of torchvision's.
    """
    kept = {name: value for name, value in imagenet.items() if not name.startswith("classifier.")}
    renamed = {_renamed_in_efficientnet(name): value for name, value in kept.items()}
    renamed["conv_stem.weight"] = renamed["conv_stem.weight"].sum(dim=1, keepdim=True)
    return renamed


def _renamed_in_efficientnet(name: str) -> str:
    for ours, theirs in _AROUND_BLOCKS.items():
        if name.startswith(ours):
            return name.replace(ours, theirs, 1)
    if found := _MBCONV.fullmatch(name):
        first = found["stage"] == "1"  # whose blocks do not expand
        part = (_WITHIN_FIRST if first else _WITHIN_MBCONV).get(found["part"])
        if part:
            return f"blocks.{int(found['stage']) - 1}.{found['block']}.{part}.{found['value']}"
    raise ValueError(f"{name} is no weight of torchvision's EfficientNet")


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

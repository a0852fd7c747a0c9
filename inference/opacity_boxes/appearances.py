"""What a box can be of: the four classes of the SIIM-FISABIO-RSNA challenge, and how results call them.

References
----------
Litmanovich et al., J Thorac Imaging 2020;35:354-360: typical, indeterminate and atypical appearance, negative for
pneumonia. No public scheme has codes for them.
"""

from collections.abc import Mapping, Sequence
from types import MappingProxyType

from inference.codes import SCHEME
from inference.coding import Code
from inference.weights import Verified, WrongWeightsError

BACKGROUND, NO_PNEUMONIA = "background", "no pneumonia"
TYPICAL, ATYPICAL, INDETERMINATE = "typical appearance", "atypical appearance", "indeterminate appearance"
CODES: Mapping[str, Code] = MappingProxyType(
    {
        NO_PNEUMONIA: Code("CXRNOPNEUMONIA", SCHEME, "No pneumonia"),
        TYPICAL: Code("CXRTYPICAL", SCHEME, "Typical appearance"),
        ATYPICAL: Code("CXRATYPICAL", SCHEME, "Atypical appearance"),
        INDETERMINATE: Code("CXRINDETERMINATE", SCHEME, "Indeterminate appearance"),
    }
)


def checked(weights: Verified) -> Sequence[str]:
    """Return the classes of a network in their order, background first.

    Raises
    ------
    WrongWeightsError
        If a class is none of ours, or background is not the first, as torchvision wants it.
    """
    first, *others = weights.outputs or ("",)
    if unknown := [name for name in others if name not in CODES]:
        raise WrongWeightsError(
            weights.slot, f"nobody knows its class {', '.join(unknown)}; there are: {', '.join(CODES)}"
        )
    if first != BACKGROUND:
        raise WrongWeightsError(weights.slot, f"its first output is {first!r}; torchvision's is {BACKGROUND}")
    return weights.outputs

"""Network weights on disk: declared in a manifest, found in one folder, verified, and only then loaded.

`manifest` says what there is, `pins` hashes, `records` remembers what an operator installed, `shelf` finds and
verifies, `refusals` say why not, `loading` makes a network of what was verified (`pickles` and `nnunet` for what is no
plain state dict). Nothing here knows the internet: downloads are the node's affair.
"""

from inference.weights.refusals import MissingWeightsError, WeightsRefusedError, WrongWeightsError
from inference.weights.shelf import Shelf, Verified, combined_sha256

__all__ = ["MissingWeightsError", "Shelf", "Verified", "WeightsRefusedError", "WrongWeightsError", "combined_sha256"]
